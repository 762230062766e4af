"""Settings: every key of the config once, with its type, default, limits, unit and a line of help.

Every block of the config is a frozen dataclass, every key a field of it. From them come the schema of the workflow and
the tables of config/README.md (``python -m featuresharing.settings`` writes both), the options of the command line and
the defaults of the library's functions: ``MarginalizationSettings.samples`` is 100, and
``check(MarginalizationSettings, "samples", value)`` refuses what the config would refuse.

They are plain dataclasses, since every command loads them: a process that makes fourteen blocks of seven keys takes
0.035 s with dataclasses and 0.146 s with pydantic 2.14, of which Python itself takes 0.012 s (least of 15 runs on one
core of a server). Only numbers, texts and other modules without numpy are imported here.
"""

from featuresharing.settings.analysis_settings import (
    BaselineSettings,
    EvidenceSettings,
    FeatureSettings,
    FigureSettings,
    JobSettings,
    LesionSettings,
    MarginalizationSettings,
    ProbeSettings,
    SharingSettings,
)
from featuresharing.settings.block import Block, check
from featuresharing.settings.config import Config
from featuresharing.settings.experiment_settings import (
    ExperimentSettings,
    OwnNetworkSettings,
    StimuliSettings,
    TaskSettings,
)
from featuresharing.settings.image_settings import (
    ArchiveFile,
    ArchiveFiles,
    ArchiveSettings,
    DownloadSettings,
    ExtractionSettings,
    FolderSettings,
    ImageSettings,
)
from featuresharing.settings.network_settings import LAYERS, NetworkSettings, TrainingSettings
from featuresharing.settings.preprocessing_settings import PreprocessingSettings

__all__ = [
    "LAYERS",
    "ArchiveFile",
    "ArchiveFiles",
    "ArchiveSettings",
    "BaselineSettings",
    "Block",
    "Config",
    "DownloadSettings",
    "EvidenceSettings",
    "ExperimentSettings",
    "ExtractionSettings",
    "FeatureSettings",
    "FigureSettings",
    "FolderSettings",
    "ImageSettings",
    "JobSettings",
    "LesionSettings",
    "MarginalizationSettings",
    "NetworkSettings",
    "OwnNetworkSettings",
    "PreprocessingSettings",
    "ProbeSettings",
    "SharingSettings",
    "StimuliSettings",
    "TaskSettings",
    "TrainingSettings",
    "check",
]
