"""A web server on this computer for the tests of downloads; no test reaches any other."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """One path's answer: cut_at ends the body early, once; stall sleeps before the answer."""

    content: bytes = b""
    status: int = 200
    ranges: bool = True
    etag: str | None = '"1"'
    content_type: str = "application/octet-stream"
    cut_at: int | None = None
    stall_seconds: float = 0.0
    length: bool = True


@dataclass
class FileServer:
    """url(name) of each file, and the Range header of each request in order."""

    port: int
    files: dict[str, Served] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextmanager
def serving() -> Iterator[FileServer]:
    """Run the server in a thread."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            name = self.path.lstrip("/")
            wanted = self.headers.get("Range")
            state.asked.append((name, wanted))
            served = state.files.get(name)
            if served is None:
                self.send_error(404)
                return
            time.sleep(served.stall_seconds)
            content, start, status = served.content, 0, served.status
            same = self.headers.get("If-Range") in (None, served.etag)
            if wanted and served.ranges and same:
                start, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
            if start >= len(content) > 0:
                self.send_error(416)
                return
            self.send_response(status)
            self.send_header("Content-Type", served.content_type)
            if served.length:
                self.send_header("Content-Length", str(len(content) - start))
            if served.etag:
                self.send_header("ETag", served.etag)
            if status == 206:
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                )
            self.end_headers()
            end = len(content)
            if served.cut_at is not None:
                end, served.cut_at = served.cut_at, None
            with suppress(ConnectionError):  # a client that has refused what it was told
                self.wfile.write(content[start:end])
            self.close_connection = end < len(content) or not served.length

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = FileServer(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
