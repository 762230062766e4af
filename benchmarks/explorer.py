"""How fluid the page to explore is: time of a frame while the slider moves, on layers of the paper's size.

    python benchmarks/explorer.py            # two experiments, two layers of 4,096 units, 20 checkpoints
    python benchmarks/explorer.py --small    # a few units, for a check that it runs
    python benchmarks/explorer.py --page results/explorer.html

Needs Chromium and the packages of the extra test. Times are of this machine: without a GPU, Chromium draws on the CPU.
"""

import argparse
import os
import re
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

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
    """Measure one pane, one with a selection, and two."""
    parser = argparse.ArgumentParser(description="Measure frames of the page to explore.")
    parser.add_argument("--small", action="store_true", help="a few units only")
    parser.add_argument("--page", type=Path, help="a page that is there, in place of one of the paper's size")
    parser.add_argument("--frames", type=int, default=60, help="steps of the slider")
    options = parser.parse_args()
    if reason := missing():
        print(f"Not measured: {reason}.")
        return
    with tempfile.TemporaryDirectory() as folder, browser() as running:
        path = options.page or Path(folder) / "explorer.html"
        if not options.page:
            size = (50, 3) if options.small else (4096, 20)
            path.write_text(explorer_page({"contributions": made_contributions(*size)}), encoding="utf-8")
        print(f"{_processor()}; Chromium {running.version}; page of {path.stat().st_size / 1e6:.1f} MB")
        for what, link in views(path):
            print(f"{what}: {measured(running, path, link, 6 if options.small else options.frames)}", flush=True)


def views(path: Path) -> list[tuple[str, str]]:
    """Return what is looked at, with a link to it: of the first experiment and the second of the page."""
    first, second = re.findall(r'"name":"([^"]+)","tasks"', path.read_text(encoding="utf-8"))[:2]
    selected = ("one pane, 200 units selected", f"#e={first}&u=0-199")
    return [("one pane", f"#e={first}"), selected, ("two panes", f"#e={first}&e2={second}")]


def measured(running: Any, path: Path, link: str, frames: int) -> str:
    """Move the slider of a page, and say how long a frame took, and how busy the machine was before."""
    load = os.getloadavg()[0]
    with opened(running, path, size=LAPTOP, link=link) as watched:
        watched.page.wait_for_selector("body[data-rest]")
        watched.page.evaluate(MOVE, 5)
        client = watched.page.context.new_cdp_session(watched.page)
        client.send("Performance.enable", {"timeDomain": "threadTicks"})
        before = _cpu_seconds(client)
        times = np.array(watched.page.evaluate(MOVE, frames))
        cpu = 1000 * (_cpu_seconds(client) - before) / frames
    middle, high = np.percentile(times, [50, 95])
    return f"median {middle:.0f} ms, 95th percentile {high:.0f} ms, {cpu:.1f} ms of CPU a frame; load {load:.1f}"


def _processor() -> str:
    """Return the name and number of the machine's processors."""
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return f"{os.cpu_count()} x {found[1] if found else 'unknown'}"


def _cpu_seconds(client: Any) -> float:
    """Return how long the page's main thread has computed."""
    found = client.send("Performance.getMetrics")["metrics"]
    return float(next(each["value"] for each in found if each["name"] == "TaskDuration"))


if __name__ == "__main__":
    main()
