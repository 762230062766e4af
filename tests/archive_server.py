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

    ``files`` by path; ``cuts`` are after how many bytes the connections of the next answers break; ``refusals`` are
    statuses of the next answers. ``ranges`` and ``validators`` say what it can do; ``asked`` and ``sent`` what it did.
    """

    files: dict[str, bytes]
    version: str = '"one"'
    cuts: list[int] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)
    ranges: bool = True
    validators: bool = True
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
                self.send_header("Retry-After", "0")
                self.end_headers()
                return
            content = site.files.get(self.path.removeprefix("/"))
            if content is None:
                self.send_error(404)
                return
            start = 0
            if wanted and site.ranges and self.headers.get("If-Range", site.version) == site.version:
                (digits,) = re.fullmatch(r"bytes=(\d+)-", wanted).groups()  # type: ignore[union-attr]
                start = int(digits)
            if start >= len(content) > 0:
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if site.validators:
                self.send_header("ETag", site.version)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            part = content[start:]
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
