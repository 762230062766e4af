"""Errors in input or machine, explained in one sentence."""


class InputError(ValueError):
    """Bad input, described in one sentence that names the place, what was found and what is accepted.

    The command line prints it without a traceback; callers of the library may catch it as a ``ValueError``.
    """


class DiskFullError(InputError):
    """No space is left for an output, or a quota is used up."""
