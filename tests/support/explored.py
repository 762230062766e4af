"""The page to explore in a browser's window, and what a reader does in it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Watched, opened

START = "#e=unrelated&l=fc2&k=200&t=bird&t=word"


def written(folders: pytest.TempPathFactory, page: str) -> Path:
    path = folders.mktemp("page") / "explorer.html"
    path.write_text(page, encoding="utf-8")
    return path


class Explorer:
    """The page in a window, and what its reader does."""

    def __init__(self, watched: Watched) -> None:
        self.page = watched.page
        self.page.wait_for_selector("body.ready")
        self.settled(0)

    def rests(self) -> int:
        """Return how often the page has come to rest."""
        return int(self.page.evaluate("Number(document.body.dataset.rest ?? 0)"))

    def settled(self, before: int) -> None:
        """Wait until the page has come to rest after ``before``."""
        self.page.wait_for_function("before => Number(document.body.dataset.rest ?? 0) > before", arg=before)

    @contextmanager
    def doing(self) -> Iterator[None]:
        """Do something, and wait until the page has followed."""
        before = self.rests()
        yield
        self.settled(before)

    def data(self, source: str) -> dict[str, list[Any]]:
        """Return the columns of a plot's source."""
        code = (
            "name => JSON.stringify(Object.fromEntries(Object.entries(Bokeh.documents[0].get_model_by_name(name).data)"
        )
        code += ".map(([key, values]) => [key, [...values]])))"
        return dict(json.loads(self.page.evaluate(code, source)))

    def title(self, plot: str) -> str:
        """Return the title of a plot."""
        return str(self.page.evaluate("name => Bokeh.documents[0].get_model_by_name(name).title.text", plot))

    def chosen(self, source: str) -> list[int]:
        """Return what is selected in a source."""
        code = "name => [...Bokeh.documents[0].get_model_by_name(name).selected.indices].sort((a, b) => a - b)"
        return list(self.page.evaluate(code, source))

    def place(self, plot: str, x: float, y: float) -> tuple[float, float]:
        """Return where a point of a plot is in the window."""
        self.page.locator(f"#{plot}").scroll_into_view_if_needed()
        code = """([name, x, y]) => {
            const view = Bokeh.index.get_one(Bokeh.documents[0].get_model_by_name(name));
            const box = view.el.getBoundingClientRect();
            return [box.x + view.frame.x_scale.compute(x), box.y + view.frame.y_scale.compute(y)];
        }"""
        found = self.page.evaluate(code, [plot, x, y])
        return found[0], found[1]

    def unit(self, plot: str, unit: int) -> tuple[float, float]:
        """Return where a unit is in the window, on the map or the scatter of a pane."""
        columns = self.data(f"units{plot[-1]}")
        x, y = ("x", "y") if plot.startswith("map") else ("a", "b")
        return self.place(plot, columns[x][unit], columns[y][unit])

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)

    def link(self) -> str:
        return str(self.page.evaluate("location.hash"))


@contextmanager
def explored(running: Any, path: Path, link: str = START, **window: Any) -> Iterator[Explorer]:
    with opened(running, path, link=link, **window) as watched:
        yield Explorer(watched)
