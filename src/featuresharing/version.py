"""Versions: of the package, of the numeric code and of the file formats."""

PACKAGE = "0.1.0"

NUMERICS = 2
"""Raised whenever a change of the code changes a number; the workflow then computes those numbers anew."""

FORMAT = 3
"""Version of the HDF5 files; readers refuse a newer one."""
