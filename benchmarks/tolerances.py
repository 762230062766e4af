"""Time what a tolerance in bits costs, beside fixed bounds on conditionals, on the images of a run's experiment.

    python benchmarks/tolerances.py results object_text 3400

A row for each layer and tolerance: seconds, and how far off the evidence for an image may be and is for the draws that
are left out. Of the masses, the second is what the certificate of a tolerance in bits takes where conditionals are 0.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from featuresharing import Conditionals, Estimation, Marginalization, weight_of_evidence
from featuresharing.data.lists import ListFiles
from featuresharing.estimators.log_odds import COUNT
from featuresharing.networks.alexnet.names import LAYERS
from featuresharing.runs.subjects import Subject, subject_of_files

BITS = 1e-3

TOLERANCES = {
    "mass 1e-6": {},
    f"mass {(2**BITS - 1) / COUNT:.1e}": {"tolerance": (2**BITS - 1) / COUNT},
    f"{BITS:g} bits": {"tolerance_bits": BITS},
}


def main() -> None:
    """Print a row for each layer and tolerance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder of a run")
    parser.add_argument("experiment")
    parser.add_argument("checkpoint")
    parser.add_argument("--layers", nargs="+", default=["conv1", "conv3", "fc6"])
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results, experiment = options.results, options.experiment
    listed = ListFiles(results / f"baseline/{experiment}/kept.txt", results / f"lists/{experiment}/classes.csv")
    subject = subject_of_files(results / f"networks/{experiment}/{options.checkpoint}.pt", listed)
    print("| layer | tolerance | seconds of CPU | largest bound [bits] | largest error [bits] |\n|---|---|---|---|---|")
    for layer in options.layers:
        exact, _ = marginalized(subject, layer, {"tolerance": 0.0})
        for name, settings in TOLERANCES.items():
            found, seconds = marginalized(subject, layer, settings)
            bound, error = errors(subject, found, exact)
            print(f"| {layer} | {name} | {seconds:.2f} | {bound:.2g} | {error:.2g} |", flush=True)


def marginalized(subject: Subject, layer: str, settings: dict[str, float]) -> tuple[Conditionals, float]:
    """Return the conditionals of a layer, and the seconds of CPU that they took."""
    run = Marginalization(
        subject.network, LAYERS[layer], subject.images, Estimation(**settings), targets=subject.targets, memory=10**9
    )
    start = time.process_time()
    return run.collect(), time.process_time() - start


def errors(subject: Subject, found: Conditionals, exact: Conditionals) -> tuple[float, float]:
    """Return how far off the evidence for true classes may be, and how far it is, at most."""
    left = found.skipped_mass[:, None] if found.skipped_mass_by_image is None else found.skipped_mass_by_image
    bounds, wrong = [], []
    for task, (some, every, classes) in enumerate(zip(found, exact, subject.classes.values(), strict=True)):
        true = (..., np.arange(some.shape[1]), subject.targets[:, task])
        q, whole = (values[true].astype(np.float64) for values in (some, every))
        own = {"classes": classes}
        p = np.full(q.shape[1], 0.5)  # its evidence cancels
        lowest = weight_of_evidence(p, np.minimum(q + left, 1), **own)
        bounds.append((weight_of_evidence(p, q, **own) - lowest).max())
        wrong.append(np.abs(weight_of_evidence(p, q, **own) - weight_of_evidence(p, whole, **own)).max())
    return max(bounds), max(wrong)


if __name__ == "__main__":
    main()
