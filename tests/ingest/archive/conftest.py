"""The built-in settings, and an HTTP server on the loopback."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ingest.archive.settings import ArchiveSettings, archive_settings


@pytest.fixture(scope="session")
def settings() -> ArchiveSettings:
    return archive_settings()


class Server:
    """Files by path; what goes wrong is ordered by path, one thing per request, in order."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        self.pages: dict[str, bytes] = {}
        self.trouble: dict[str, list[int | str]] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.url = ""

    def gets(self, path: str) -> list[dict[str, str]]:
        """The headers of all requests for a file."""
        return [headers for method, asked, headers in self.asked if method == "GET" and asked == path]


def _handler(state: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            state.asked.append((self.command, self.path, dict(self.headers.items())))
            ordered = state.trouble.get(self.path, []) if self.command == "GET" else []
            trouble = ordered.pop(0) if ordered else None
            if isinstance(trouble, int):
                self._send(trouble, {"Retry-After": "7"} if trouble == 429 else {}, b"as ordered")
            elif self.path in state.pages:
                self._send(200, {}, state.pages[self.path])
            elif self.path not in state.files:
                self._send(404, {}, b"")
            else:
                self._send_file(state.files[self.path], state.etags.get(self.path, '"one"'), cut=trouble == "cut")

        def _send_file(self, content: bytes, etag: str, *, cut: bool) -> None:
            start = 0
            if "Range" in self.headers and self.headers.get("If-Range") == etag:
                start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(content) > 0:
                self._send(416, {"Content-Range": f"bytes */{len(content)}"}, b"")
                return
            headers = {"ETag": etag}
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            body = content[start:]
            self._send(206 if start else 200, headers, body, only=len(body) // 2 if cut else None)

        def _send(self, status: int, headers: dict[str, str], body: bytes, only: int | None = None) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body[:only])
            self.close_connection = only is not None or self.close_connection

        def log_message(self, *_: object) -> None:
            pass

    Handler.protocol_version = "HTTP/1.1"
    return Handler


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    state.url = f"http://127.0.0.1:{http.server_address[1]}"
    yield state
    http.shutdown()
    thread.join()
    http.server_close()
