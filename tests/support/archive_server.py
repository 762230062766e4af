"""A local web server for large files, with the faults that real ones have."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What a server gives, and how it fails.

    ``files`` by path, in a ``version`` that the header ``validator`` names; ``cuts`` are after how many bytes the
    connections of the next answers break; ``refusals`` are statuses of the next answers, with ``retry_after``.
    ``ranges``, ``validators``, ``lengths`` and ``if_range`` say what it can do; its parts begin ``shift`` bytes late,
    have at most ``most`` bytes, and come with ``content_range`` and, if ``part_validators``, a validator. ``headers``
    are more of them. ``asked`` and ``sent`` say what it did.
    """

    files: dict[str, bytes]
    version: str = '"one"'
    validator: str = "ETag"
    cuts: list[int] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)
    retry_after: str = "0"
    ranges: bool = True
    validators: bool = True
    lengths: bool = True
    if_range: bool = True
    shift: int = 0
    most: int | None = None
    content_range: str = "bytes {start}-{end}/{size}"
    part_validators: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    sent: int = 0
    url: str = ""


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    """Serve ``site`` at its ``url`` for a block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            site.asked.append((self.path, wanted))
            if site.refusals:
                self.send_response(site.refusals.pop(0))
                self.send_header("Content-Length", "0")
                self.send_header("Retry-After", site.retry_after)
                self.end_headers()
                return
            content = site.files.get(self.path.removeprefix("/"))
            if content is None:
                self.send_error(404)
                return
            start = 0
            same = self.headers.get("If-Range", site.version) == site.version
            if wanted and site.ranges and (same or not site.if_range):
                (digits,) = re.fullmatch(r"bytes=(\d+)-", wanted).groups()  # type: ignore[union-attr]
                start = int(digits)
            if start >= len(content) > 0:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            part = content[start:]
            if start:
                start += site.shift
                part = content[start:][: site.most]
                end = start + len(part) - 1
                said = site.content_range.format(start=start, end=end, size=len(content))
                self.send_header("Content-Range", said)
            if site.validators and (site.part_validators or not start):
                self.send_header(site.validator, site.version)
            for name, value in site.headers.items():
                self.send_header(name, value)
            if site.lengths:
                self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            cut = site.cuts.pop(0) if site.cuts and site.cuts[0] < len(part) else len(part)
            site.sent += len(part[:cut])
            self.wfile.write(part[:cut])
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}/"
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
