"""deploy/nginx and deploy/caddy: the files as they are, run by the real servers, with the service behind them.

`apt install nginx caddy` installs both on Debian.
"""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from service.process.broker import free_port
from tests import asking
from tests.end_to_end.stack import ROOT
from tests.service.api_support import fill, service_at
from tests.service.live import served
from tests.web_servers import LOOPBACK, NAME, client_of, get, in_front, make_certificate, nginx, program

pytestmark = pytest.mark.long

SERVERS = ("nginx", "caddy")
FORGED = {
    "X-Forwarded-For": "127.0.0.1",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Prefix": "/evil",
    "Forwarded": "for=127.0.0.1;host=evil.example;proto=http",
}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Host and port of a service that trusts proxies of this machine."""
    service = service_at(tmp_path_factory.mktemp("home"), trusted_proxies=(f"{LOOPBACK}/32",))
    fill(service)
    service.forecast_stored()
    with served(service) as url:
        yield url.removeprefix("http://")


@pytest.mark.parametrize("name", SERVERS)
def test_links_are_public_and_nothing_of_a_client_is_believed(name, address, certificate, tmp_path):
    with (
        in_front(name, [address], certificate, tmp_path) as (secure, plain),
        client_of(secure, certificate) as client,
    ):
        public = f"https://{NAME}:{secure}"
        for headers in ({}, FORGED):
            landing = get(client, "/", headers=headers)
            assert landing.json()["links"][0]["href"] == f"{public}/?f=json"
            capabilities = get(client, "/wms?service=WMS&request=GetCapabilities", headers=headers).text
            assert f'xlink:href="{public}/wms' in capabilities
            assert "evil" not in capabilities
            moved = get(client, "/nowcast/latest/", headers=headers)
            assert moved.headers["location"] == f"{public}/nowcast/latest"
            body = json.dumps({"model": "persistence"})
            kinds = {**headers, "Content-Type": "application/json"}
            posted = client.post("/nowcast", content=body, headers=kinds, extensions={"sni_hostname": NAME})
            assert posted.status_code == 401
        assert "max-age" in landing.headers["strict-transport-security"]
        assert get(client, "/metrics").status_code == 404
        assert get(client, "/", headers={"Accept": "text/html"}).text.startswith("<!")
        assert get(client, "/nowcast/latest/image/30.png").content.startswith(b"\x89PNG")
        if plain:
            moved = asking.get(f"http://{LOOPBACK}:{plain}/x?y=1", headers={"Host": NAME})
            assert (moved.status_code, moved.headers["location"]) == (301, f"https://{NAME}/x?y=1")


@pytest.mark.parametrize("name", SERVERS)
def test_events_go_out_at_once(name, address, certificate, tmp_path):
    with (
        in_front(name, [address], certificate, tmp_path) as (secure, _),
        client_of(secure, certificate) as client,
        client.stream("GET", "/events", extensions={"sni_hostname": NAME}) as answer,
    ):
        assert answer.status_code == 200
        assert next(answer.iter_bytes())  # a buffered stream would give nothing until it ends


@contextmanager
def starting_api() -> Iterator[str]:
    """Host and port of a server that answers 503, as an API does until it has opened its stores."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"{LOOPBACK}:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("other", ["starts", "is away"])
def test_no_client_sees_that_one_of_two_apis_starts_or_is_away(other, address, certificate, tmp_path):
    with starting_api() as starting:
        first = starting if other == "starts" else f"{LOOPBACK}:{free_port(LOOPBACK)}"
        with (
            in_front("nginx", [first, address], certificate, tmp_path) as (secure, _),
            client_of(secure, certificate) as client,
        ):
            assert {get(client, "/nowcast/latest").status_code for _ in range(10)} == {200}


def test_what_no_api_can_answer_is_their_503_and_shuts_none_out(address, certificate, tmp_path):
    with (
        starting_api() as one,
        starting_api() as two,
        in_front("nginx", [one, two], certificate, tmp_path) as (secure, _),
        client_of(secure, certificate) as client,
    ):
        assert [get(client, "/nowcast/latest").status_code for _ in range(6)] == [503] * 6


@pytest.mark.parametrize(
    ("more", "settings"),
    [("", {}), ("proxy_http_version 1.1;", {"local_without_key": False}), ("proxy_set_header Host $host;", {})],
)
def test_a_plain_proxy_pass_makes_nobody_this_machine(more, settings, tmp_path):
    port = free_port(LOOPBACK)
    service = service_at(tmp_path / "home", **settings)
    with served(service) as url:
        servers = f"server {{ listen {LOOPBACK}:{port}; {more} location / {{ proxy_pass {url}; }} }}"
        with nginx(servers, port, tmp_path):
            posted = asking.post(f"http://{LOOPBACK}:{port}/nowcast", json={"model": "persistence"})
            assert posted.status_code == 401
            assert asking.get(f"http://{LOOPBACK}:{port}/livez").status_code == 200


def test_under_a_path_of_another_site(address, certificate, tmp_path):
    port = free_port(LOOPBACK)
    headers = "proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Host $http_host;"
    location = (
        f"location /rain/ {{ proxy_pass http://{address}/; {headers} proxy_set_header X-Forwarded-Prefix /rain; }}"
    )
    with nginx(f"server {{ listen {LOOPBACK}:{port}; {location} }}", port, tmp_path):
        root = f"http://{LOOPBACK}:{port}"
        forecast = asking.get(f"{root}/rain/nowcast/latest").json()
        assert forecast["links"]["self"].startswith("/rain/nowcast/")
        assert asking.get(root + forecast["links"]["file"]).status_code == 200
        assert asking.get(root + forecast["links"]["pictures"][-1]["href"]).content.startswith(b"\x89PNG")
        landing = asking.get(f"{root}/rain/").json()
        for link in landing["links"]:
            assert link["href"].startswith(f"{root}/rain/"), link
            assert asking.get(link["href"]).status_code == 200
        tiles = asking.get(f"{root}/rain/tiles").json()["layers"][0]
        tile = tiles["tiles"].format(time=tiles["forecast_times"][0], z=5, x=16, y=10)
        assert asking.get(root + tile).content.startswith(b"\x89PNG")
        page = asking.get(f"{root}/rain/", headers={"Accept": "text/html"}).text
        assert 'src="page/page.js"' in page  # relative: it is found below any path
        assert asking.get(f"{root}/rain/page/page.js").status_code == 200
        moved = asking.get(f"{root}/rain/nowcast/latest/")
        assert moved.headers["location"] == f"{root}/rain/nowcast/latest"


@pytest.mark.parametrize("site", ["rain.example.org", "other.example.org"])
def test_the_name_and_the_service_of_caddy_may_come_from_variables(site: str, tmp_path: Path):
    variables = {} if site == NAME else {"SITE": site, "UPSTREAM": "api:8000"}
    command = [program("caddy"), "adapt", "--config", str(ROOT / "deploy" / "caddy" / "Caddyfile")]
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", **variables}
    done = subprocess.run([*command, "--adapter", "caddyfile"], env=environment, capture_output=True, check=True)
    (server,) = json.loads(done.stdout)["apps"]["http"]["servers"].values()
    assert server["routes"][0]["match"] == [{"host": [site]}]
    assert f'"dial":"{variables.get("UPSTREAM", "127.0.0.1:8000")}"'.encode() in done.stdout
