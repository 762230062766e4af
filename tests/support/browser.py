"""A headless Chromium in which tests look at pages from disk; what they ask of it is an event, never a time."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

LAPTOP = (1366, 768)
DESKTOP = (1920, 1080)
PHONE = (390, 844)
"""Widths and heights of windows in which pages must read well, in pixels."""

LONGEST = 60_000
"""Milliseconds after which an event that does not come fails a test."""

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def missing() -> str:
    """Return why no browser can run here; an empty text if one can."""
    if not _program():
        return "Chromium is not installed: no chromium"
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed"
    return ""


def _program() -> str | None:
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator["Browser"]:
    """Start a browser, one for all tests of a file, and close it in the end."""
    from playwright.sync_api import sync_playwright

    # its sandbox needs a user; its GPU's process only costs time
    options = ["--no-sandbox"] if os.getuid() == 0 else []
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=_program(), args=[*options, "--disable-gpu"])
        try:
            yield running
        finally:
            running.close()


class Watched:
    """A ``page`` that is watched: what it asks for beside files, and every complaint of its console and scripts."""

    def __init__(self, page: "Page") -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.set_default_timeout(LONGEST)
        page.on("request", self._note_request)
        page.on("console", self._note_message)
        page.on("pageerror", lambda error: self.complaints.append(error.stack or str(error)))

    def _note_request(self, request: "Request") -> None:
        """Note a request for anything; those of a page's own file, and of what it holds itself, are none."""
        own = request.is_navigation_request() and request.url.startswith("file:")
        if not (own or request.url.startswith(("data:", "blob:"))):
            self.requests.append(request.url)

    def _note_message(self, message: "ConsoleMessage") -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def check(self) -> None:
        """Assert that the page asked for nothing and complained of nothing."""
        assert self.requests == []
        assert self.complaints == []


@contextmanager
def opened(
    running: "Browser", path: Path, *, size: tuple[int, int] = LAPTOP, touch: bool = False, link: str = ""
) -> Iterator[Watched]:
    """Open a page from disk in a window of a ``size``, of a phone if ``touch``, at a ``link`` such as #unit=3.

    In the end it must have asked for nothing and complained of nothing.
    """
    viewport = {"width": size[0], "height": size[1]}
    with running.new_context(viewport=viewport, has_touch=touch, is_mobile=touch, accept_downloads=True) as context:  # type: ignore[arg-type]
        watched = Watched(context.new_page())
        watched.page.goto(path.resolve().as_uri() + link)
        yield watched
        watched.check()
