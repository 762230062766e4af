"""The whole config: all blocks, and what holds between them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from featuresharing.replicates import MOST_REPLICATES
from featuresharing.settings.analysis_settings import (
    BaselineSettings,
    EvidenceSettings,
    FeatureSettings,
    FigureSettings,
    JobSettings,
    LesionSettings,
    MarginalizationSettings,
    SharingSettings,
)
from featuresharing.settings.block import Block, Problem
from featuresharing.settings.experiment_settings import ExperimentSettings
from featuresharing.settings.fields import LINE, MOST_SEED, needed, setting
from featuresharing.settings.image_settings import ArchiveSettings, FolderSettings, ImageSettings
from featuresharing.settings.network_settings import LAYERS, NetworkSettings, TrainingSettings


@dataclass(frozen=True, kw_only=True)
class Config(Block):
    """Everything that a run of the workflow is told."""

    seed: int = setting(
        0,
        "seed of everything: renderings, training, choice of images, prior draws, bootstrap",
        least=0,
        most=MOST_SEED,
    )
    replicates: int = setting(
        1,
        "networks of each experiment, which differ by their seeds alone",
        least=1,
        most=MOST_REPLICATES,
    )
    device: str = setting(
        "auto",
        "where networks are trained and marginalized; `auto` takes a GPU where there is one",
        pattern="auto|cpu|mps|cuda(:[0-9]{1,3})?",
        accepted="auto, cpu, mps, cuda or cuda:N",
    )
    source: str = setting(
        "drawings",
        "where images and networks are from",
        pattern=LINE,
        longest=1000,
        accepted="the name of a source, or the path of its file, which ends in .smk",
    )
    archives: ArchiveSettings = setting(ArchiveSettings(), "the archives of `source: archives`")
    folders: FolderSettings = setting(FolderSettings(), "the images of `source: folders`")
    images: ImageSettings = setting(ImageSettings(), "the stimulus set of the drawings")
    experiments: tuple[ExperimentSettings, ...] = needed(
        "which tasks a network is trained on",
        fewest=1,
        longest_list=1000,
        accepted="a list of experiments",
    )
    network: NetworkSettings = setting(NetworkSettings(), "the multi-task AlexNet")
    training: TrainingSettings = setting(TrainingSettings(), "how it is trained")
    baseline: BaselineSettings = setting(BaselineSettings(), "the images that are analysed")
    layers: str | Mapping[str, str] = setting(
        LAYERS,
        "aliases and module paths of the layers that are analysed; or a pattern of module paths, or `all` of them",
        names="[A-Za-z0-9.][A-Za-z0-9.-]*",
        names_accepted="names of letters, digits, . and -, which do not start with -",
        longest_list=100,
        fewest=1,
        longest=200,
        pattern=LINE,
        accepted='aliases and their module paths, such as conv5: "0.0.10", a pattern such as layer*.conv1, or all',
        each="a module path in quotes",
    )
    method: str = setting(
        "marginalize",
        "how units are taken out: averaged over what their weights might have been, or set to zero",
        choices=("marginalize", "lesion"),
    )
    marginalization: MarginalizationSettings = setting(MarginalizationSettings(), "how a unit is marginalized out")
    lesions: LesionSettings = setting(LesionSettings(), "units set to zero")
    features: FeatureSettings = setting(FeatureSettings(), "what drives a unit")
    jobs: JobSettings = setting(JobSettings(), "how marginalization is cut into jobs")
    evidence: EvidenceSettings = setting(EvidenceSettings(), "how evidence is measured")
    sharing: SharingSettings = setting(SharingSettings(), "how sharing is measured")
    figures: FigureSettings = setting(FigureSettings(), "how figures are drawn")

    def contradictions(self) -> Iterator[Problem]:
        """Yield what is wrong with blocks together."""
        names = [experiment.name for experiment in self.experiments]
        for index, name in enumerate(names):
            if names.index(name) != index:
                text = f": found '{name}' a second time; accepted are distinct names"
                yield Problem(f"experiments.{index}.name", text)
        if len(self.images.basic_classes) == 1:
            yield Problem("images.basic_classes", ": found one class; accepted are at least two, or none for all")
        units = self.jobs.units
        for alias in units if isinstance(units, Mapping) else ():
            if isinstance(self.layers, Mapping) and alias not in self.layers:
                accepted = ", ".join(map(str, self.layers))
                yield Problem("jobs.units", f": found layer {alias!r}; accepted are {accepted}")
        if self.method == "lesion" and not self.lesions.softmax and self.evidence.method != "probdiff":
            found = self.evidence.method
            text = f": found {found}; accepted is probdiff for raw scores (lesions.softmax)"
            yield Problem("evidence.method", text)
