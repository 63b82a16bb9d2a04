"""deploy/nginx and deploy/caddy: the files as they are, run by the real servers, with the service behind them.

Only names, ports and the files of the certificate are replaced. `apt install nginx caddy` installs both on Debian.
"""

import json
import shutil
import signal
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.process.broker import free_port
from tests.end_to_end.stack import ROOT, end
from tests.service.api_support import fill, service_at
from tests.service.live import served
from tests.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.long

NAME = "rain.example.org"
LOOPBACK = "127.0.0.1"
SERVERS = ("nginx", "caddy")
FORGED = {
    "X-Forwarded-For": "127.0.0.1",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Prefix": "/evil",
    "Forwarded": "for=127.0.0.1;host=evil.example;proto=http",
}
NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{servers}
}}
"""


def program(name: str) -> str:
    """The path of a server's program; Debian's stands where users have no path to it."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed: `apt install {name}`")
    return found


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate and its key for the name of the files and for this machine."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificate")
    chain, key = folder / "fullchain.pem", folder / "privkey.pem"
    names = f"subjectAltName=DNS:{NAME},IP:{LOOPBACK}"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={NAME}", "-addext", names, "-keyout", str(key), "-out", str(chain)]
    subprocess.run(command, check=True, capture_output=True)
    return chain, key


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Host and port of a service that trusts proxies of this machine."""
    service = service_at(tmp_path_factory.mktemp("home"), trusted_proxies=(f"{LOOPBACK}/32",))
    fill(service)
    service.forecast_stored()
    with served(service) as url:
        yield url.removeprefix("http://")


@contextmanager
def running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    with (folder / "server.log").open("wb") as log:
        environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder, env=environment)
    try:
        wait_until(lambda: _listens(port), "port", lambda: (folder / "server.log").read_text(), process=process)
        yield
    finally:
        end(process, signal.SIGTERM, PATIENCE_S)


def _listens(port: int) -> bool:
    try:
        httpx2.get(f"http://{LOOPBACK}:{port}/", timeout=PATIENCE_S)
    except (httpx2.ConnectError, httpx2.ConnectTimeout):
        return False
    except httpx2.HTTPError:
        return True
    return True


@contextmanager
def nginx(servers: str, port: int, folder: Path) -> Iterator[None]:
    found, file = program("nginx"), folder / "nginx.conf"
    file.write_text(NGINX.format(folder=folder, servers=servers))
    with running([found, "-p", str(folder), "-e", "stderr", "-c", str(file)], port, folder):
        yield


@contextmanager
def in_front(name: str, address: str, certificate: tuple[Path, Path], folder: Path) -> Iterator[tuple[int, int]]:
    """The server with its file of `deploy`; gives the ports of HTTPS and HTTP, 0 where the test has none."""
    chain, key = certificate
    secure, plain = free_port(LOOPBACK), free_port(LOOPBACK)
    if name == "nginx":
        text = (ROOT / "deploy" / "nginx" / "nowcast.conf").read_text()
        replaced = {
            "127.0.0.1:8000": address,
            "    listen [::]:80;\n": "",
            "    listen [::]:443 ssl;\n": "",
            "listen 80;": f"listen {LOOPBACK}:{plain};",
            "listen 443 ssl;": f"listen {LOOPBACK}:{secure} ssl;",
            "/etc/ssl/nowcast/fullchain.pem": str(chain),
            "/etc/ssl/nowcast/privkey.pem": str(key),
        }
        with nginx(_replaced(text, replaced), plain, folder):
            yield secure, plain
        return
    text = (ROOT / "deploy" / "caddy" / "Caddyfile").read_text()
    site = (
        f"{{\n\tadmin off\n\tauto_https off\n}}\nhttps://{NAME}:{secure} {{\n\ttls {chain} {key}\n\tbind {LOOPBACK}\n"
    )
    file = folder / "Caddyfile"
    file.write_text(
        _replaced(
            text,
            {
                "\treverse_proxy {$UPSTREAM:127.0.0.1:8000}": f"\treverse_proxy {address}",
                f"\n{{$SITE:{NAME}}} {{\n": f"\n{site}",
            },
        )
    )
    command = [program("caddy"), "run", "--config", str(file), "--adapter", "caddyfile"]
    with running(command, secure, folder):
        yield secure, 0


def _replaced(text: str, words: dict[str, str]) -> str:
    for old, new in words.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def client_of(port: int, certificate: tuple[Path, Path]) -> httpx2.Client:
    """A client of the public name; the name stands for this machine."""
    context = ssl.create_default_context(cafile=str(certificate[0]))
    headers = {"Host": f"{NAME}:{port}"}
    return httpx2.Client(base_url=f"https://{LOOPBACK}:{port}", verify=context, headers=headers, timeout=PATIENCE_S)


def get(client: httpx2.Client, path: str, **options: Any) -> httpx2.Response:
    return client.get(path, extensions={"sni_hostname": NAME}, **options)


@pytest.mark.parametrize("name", SERVERS)
def test_links_are_public_and_nothing_of_a_client_is_believed(name, address, certificate, tmp_path):
    with (
        in_front(name, address, certificate, tmp_path) as (secure, plain),
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
            moved = httpx2.get(f"http://{LOOPBACK}:{plain}/x?y=1", headers={"Host": NAME})
            assert (moved.status_code, moved.headers["location"]) == (301, f"https://{NAME}/x?y=1")


@pytest.mark.parametrize("name", SERVERS)
def test_events_go_out_at_once(name, address, certificate, tmp_path):
    with (
        in_front(name, address, certificate, tmp_path) as (secure, _),
        client_of(secure, certificate) as client,
        client.stream("GET", "/events", extensions={"sni_hostname": NAME}) as answer,
    ):
        assert answer.status_code == 200
        assert next(answer.iter_bytes())  # a buffered stream would give nothing until it ends


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
            posted = httpx2.post(f"http://{LOOPBACK}:{port}/nowcast", json={"model": "persistence"})
            assert posted.status_code == 401
            assert httpx2.get(f"http://{LOOPBACK}:{port}/livez").status_code == 200


def test_under_a_path_of_another_site(address, certificate, tmp_path):
    port = free_port(LOOPBACK)
    headers = "proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Host $http_host;"
    location = (
        f"location /rain/ {{ proxy_pass http://{address}/; {headers} proxy_set_header X-Forwarded-Prefix /rain; }}"
    )
    with nginx(f"server {{ listen {LOOPBACK}:{port}; {location} }}", port, tmp_path):
        root = f"http://{LOOPBACK}:{port}"
        forecast = httpx2.get(f"{root}/rain/nowcast/latest").json()
        assert forecast["links"]["self"].startswith("/rain/nowcast/")
        assert httpx2.get(root + forecast["links"]["file"]).status_code == 200
        assert httpx2.get(root + forecast["links"]["pictures"][-1]["href"]).content.startswith(b"\x89PNG")
        landing = httpx2.get(f"{root}/rain/").json()
        for link in landing["links"]:
            assert link["href"].startswith(f"{root}/rain/"), link
            assert httpx2.get(link["href"]).status_code == 200
        tiles = httpx2.get(f"{root}/rain/tiles").json()["layers"][0]
        tile = tiles["tiles"].format(time=tiles["forecast_times"][0], z=5, x=16, y=10)
        assert httpx2.get(root + tile).content.startswith(b"\x89PNG")
        page = httpx2.get(f"{root}/rain/", headers={"Accept": "text/html"}).text
        assert 'src="page/page.js"' in page  # relative: it is found below any path
        assert httpx2.get(f"{root}/rain/page/page.js").status_code == 200
        moved = httpx2.get(f"{root}/rain/nowcast/latest/")
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
