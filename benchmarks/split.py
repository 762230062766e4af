"""What the jobs of runs took, summed by rule: how many there were, their CPU-seconds, and the most memory of one.

Snakemake samples these while jobs run; it leaves them in ``results/benchmarks``.
"""

import argparse
from pathlib import Path

import pandas as pd


def split_of(results: Path) -> pd.DataFrame:
    """Return a row a rule of the run: jobs, cpu_s and mb, the rule that took most first."""
    folder = results / "benchmarks"
    rows = [
        pd.read_csv(path, sep="\t", na_values="-").assign(rule=path.relative_to(folder).parts[0].removesuffix(".tsv"))
        for path in sorted(folder.rglob("*.tsv"))
    ]
    jobs = pd.concat(rows).groupby("rule")
    split = pd.DataFrame({"jobs": jobs.size(), "cpu_s": jobs["cpu_time"].sum(), "mb": jobs["max_rss"].max()})
    return split.sort_values("cpu_s", ascending=False)


def main() -> None:
    """Print the split of each run, and its sum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+", help="results/ of a run")
    for results in parser.parse_args().results:
        split = split_of(results)
        print(f"{results}: {split['jobs'].sum()} jobs, {split['cpu_s'].sum():.0f} CPU-seconds")
        print(split.to_string(float_format="%.0f"), end="\n\n")


if __name__ == "__main__":
    main()
