"""Figures of an analysis: maps of the units of a layer, their animations, and curves over layers and training steps."""

from featuresharing.errors import InputError

try:
    import matplotlib  # noqa: F401 whether it can be
except ValueError as error:  # a matplotlibrc in another encoding, or an MPLBACKEND that it does not have
    raise InputError(
        f"matplotlib cannot be loaded ({error}); accepted are a matplotlibrc in UTF-8 and an MPLBACKEND that it has."
    ) from None
