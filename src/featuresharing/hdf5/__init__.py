"""HDF5 files of ours: written with checksums of everything in them, checked before anything in them is believed.

A file ends in a seal (:mod:`.seals`), the SHA-256 of all bytes before it, which is compared before HDF5 sees the file:
its library may crash or never end on damaged files. Files of older versions have no seal; another process reads them
first (:mod:`.trials`). :mod:`.reading` opens files of both kinds, :mod:`.writing` makes sealed ones.
"""

from featuresharing.hdf5.reading import DamagedError, GoneError, Source, opened

__all__ = ["DamagedError", "GoneError", "Source", "opened"]
