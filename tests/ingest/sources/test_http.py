"""Redirects of servers: followed within one server, refused to any other."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2 as httpx
import pytest

from core.errors import UnavailableError
from ingest.archive.download import Downloader
from ingest.archive.partial import RemoteFile
from ingest.sources.dwd import DwdSource
from ingest.sources.http import RedirectError, get, is_within, open_client


class Redirects:
    """A server that redirects some paths, and the paths that were requested."""

    def __init__(self) -> None:
        self.to: dict[str, str] = {}
        self.asked: list[str] = []
        self.url = ""


def _serve() -> tuple[Redirects, ThreadingHTTPServer]:
    state = Redirects()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.path)
            target = state.to.get(self.path)
            self.send_response(302 if target else 200)
            if target:
                self.send_header("Location", target)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"bytes")

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{http.server_address[1]}"
    return state, http


@pytest.fixture
def servers() -> Iterator[tuple[Redirects, Redirects]]:
    pairs = [_serve(), _serve()]
    threads = [threading.Thread(target=http.serve_forever, args=(0.01,)) for _, http in pairs]
    for thread in threads:
        thread.start()
    yield pairs[0][0], pairs[1][0]
    for (_, http), thread in zip(pairs, threads, strict=True):
        http.shutdown()
        thread.join()
        http.server_close()


@pytest.mark.parametrize(
    ("source", "target", "followed"),
    [
        ("http://h/x", "/y", True),
        ("http://h/x", "http://H:80/", True),
        ("http://h/x", "https://h/x", True),
        ("http://h:8080/x", "https://h:8443/x", True),
        ("https://h/x", "http://h/x", False),
        ("https://h/x", "https://h:444/x", False),
        ("http://h:1/x", "http://h:2/x", False),
        ("http://h/x", "//other/x", False),
        ("http://h/x", "http://h@other/x", False),
        ("http://h/x", "http://h.other/x", False),
        ("http://h/x", "ftp://h/x", False),
    ],
)
def test_a_redirect_stays_on_its_host_and_never_loses_its_encryption(source, target, followed):
    assert is_within(httpx.URL(source), httpx.URL(source).join(target)) is followed


def test_a_redirect_on_the_same_server_is_followed(servers):
    server, _ = servers
    server.to["/old"] = "/new"
    with open_client("test", 5.0) as client:
        assert get(client, f"{server.url}/old", max_bytes=10, deadline_s=5).content == b"bytes"
    assert server.asked == ["/old", "/new"]


def test_a_redirect_to_another_server_is_refused_before_it_is_requested(servers):
    server, other = servers
    server.to["/old"] = f"{other.url}/new"
    with open_client("test", 5.0) as client, pytest.raises(RedirectError, match="same host"):
        get(client, f"{server.url}/old", max_bytes=10, deadline_s=5)
    assert other.asked == []


def test_dwd_s_source_reports_a_redirect_elsewhere_as_an_outage(servers, tmp_path):
    server, other = servers
    server.to["/radolan/ry/"] = f"{other.url}/radolan/ry/"
    source = DwdSource(server.url, tmp_path / "inbox", known=lambda _: False, poll_s=30)
    with pytest.raises(UnavailableError, match="same host"):
        list(source.look())
    assert other.asked == []
    assert source.wait_s >= 30


def test_downloads_refuse_a_redirect_elsewhere_at_once(servers, tmp_path):
    server, other = servers
    server.to["/f"] = f"{other.url}/f"
    waits: list[float] = []
    downloader = Downloader("test", wait=waits.append)
    calls = (downloader.content, downloader.size_bytes, lambda url: downloader.fetch(RemoteFile(url, tmp_path / "f")))
    for call in calls:
        with pytest.raises(UnavailableError, match="same host"):
            call(f"{server.url}/f")
    downloader.close()
    assert (other.asked, waits, [*tmp_path.glob("f")]) == ([], [], [])
