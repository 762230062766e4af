"""The one exception that means: the user's input is wrong, and this sentence says how."""


class InputError(ValueError):
    """Bad input, described in one sentence that names the place, what was found and what is accepted.

    The command line prints it without a traceback; callers of the library may catch it as a ``ValueError``.
    """
