"""How fluid the page to explore is: time of a frame while the slider moves, on layers of the paper's size.

    python benchmarks/explorer.py            # two experiments, two layers of 4,096 units, 20 checkpoints
    python benchmarks/explorer.py --small    # a few units, for a check that it runs

Needs Chromium and the packages of the extra test. Times are of this machine: without a GPU, Chromium draws on the CPU.
"""

import argparse
import sys
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from featuresharing.explorer import explorer_page
from tests.support.browser import LAPTOP, browser, missing, opened

TASKS = {"related": ("object", "category"), "unrelated": ("object", "word")}

MOVE = """async (frames) => {
  const slider = document.getElementById("checkpoint0");
  const times = [];
  for (let frame = 0; frame < frames; frame += 1) {
    const start = performance.now();
    slider.value = String(frame % (Number(slider.max) + 1));
    slider.dispatchEvent(new Event("input"));
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
    times.push(performance.now() - start);
  }
  return times;
}"""


def made_contributions(units: int, checkpoints: int) -> pd.DataFrame:
    """Return contributions of two experiments with two layers each, drawn from a log-normal distribution."""
    random = np.random.default_rng(0)
    frames = []
    for (experiment, tasks), layer, step in product(TASKS.items(), ("fc6", "fc7"), range(checkpoints)):
        for task in tasks:
            values = random.lognormal(sigma=1, size=units) * (step + 0.1) / checkpoints
            columns = {"experiment": experiment, "replicate": 1, "checkpoint": str(500 * step), "layer": layer}
            columns |= {"unit": np.arange(units), "task": task, "contribution": values, "effective_samples": 1.1}
            frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def main() -> None:
    """Measure one pane and two."""
    parser = argparse.ArgumentParser(description="Measure frames of the page to explore.")
    parser.add_argument("--small", action="store_true", help="a few units only")
    small = parser.parse_args().small
    if reason := missing():
        print(f"Not measured: {reason}.")
        return
    page = explorer_page({"contributions": made_contributions(50 if small else 4096, 3 if small else 20)})
    print(f"page: {len(page) / 1e6:.1f} MB")
    with tempfile.TemporaryDirectory() as folder, browser() as running:
        path = Path(folder) / "explorer.html"
        path.write_text(page, encoding="utf-8")
        for what, link in (("one pane", "#e=related"), ("two panes", "#e=related&e2=unrelated")):
            with opened(running, path, size=LAPTOP, link=link) as watched:
                watched.page.wait_for_selector("body[data-rest]")
                watched.page.evaluate(MOVE, 5)
                client = watched.page.context.new_cdp_session(watched.page)
                client.send("Performance.enable", {"timeDomain": "threadTicks"})
                before = _cpu_seconds(client)
                frames = 6 if small else 60
                times = np.array(watched.page.evaluate(MOVE, frames))
                cpu = 1000 * (_cpu_seconds(client) - before) / frames
                middle, high = np.percentile(times, [50, 95])
                print(f"{what}: median {middle:.0f} ms, 95th percentile {high:.0f} ms, {cpu:.0f} ms of CPU a frame")


def _cpu_seconds(client: object) -> float:
    """Return how long the page's main thread has computed."""
    found = client.send("Performance.getMetrics")["metrics"]  # type: ignore[attr-defined]
    return float(next(each["value"] for each in found if each["name"] == "TaskDuration"))


if __name__ == "__main__":
    main()
