"""Versions: of the package, of the numeric code and of the file formats."""

PACKAGE = "0.1.0"

NUMERICS = {
    "stimuli": 2,
    "training": 3,
    "probes": 1,
    "predictions": 2,
    "marginalization": 3,
    "removal": 3,
    "lesions": 4,
    "features": 4,
    "evidence": 2,
    "sharing": 3,
    "words": 2,
}
"""Version of the numeric code of each stage, raised whenever a change of that code changes a number.

The workflow then computes the stage's numbers anew, and what is made of them; CHANGELOG.md says what changed.
"""

FORMAT = 3
"""Version of the HDF5 files; readers refuse a newer one."""
