"""nginx and Caddy with the files of `deploy`: only names, ports and the files of the certificate are replaced."""

import shutil
import signal
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.process.broker import free_port
from tests.end_to_end.stack import ROOT, end
from tests.waiting import PATIENCE_S, wait_until

NAME = "rain.example.org"
LOOPBACK = "127.0.0.1"
UPSTREAM = "server 127.0.0.1:8000 max_fails=0;"
"""The line of one API in the file of nginx."""

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


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate and its key for the name of the files and for this machine."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    chain, key = folder / "fullchain.pem", folder / "privkey.pem"
    names = f"subjectAltName=DNS:{NAME},IP:{LOOPBACK}"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={NAME}", "-addext", names, "-keyout", str(key), "-out", str(chain)]
    subprocess.run(command, check=True, capture_output=True)
    return chain, key


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
def in_front(
    name: str, addresses: Sequence[str], certificate: tuple[Path, Path], folder: Path
) -> Iterator[tuple[int, int]]:
    """The server with its file of `deploy`; gives the ports of HTTPS and HTTP, 0 where the test has none.

    Args:
        name: of the server.
        addresses: host and port of each API.
        certificate: its file and that of its key.
        folder: for the server's own files.
    """
    chain, key = certificate
    secure, plain = free_port(LOOPBACK), free_port(LOOPBACK)
    if name == "nginx":
        text = (ROOT / "deploy" / "nginx" / "nowcast.conf").read_text()
        replaced = {
            UPSTREAM: "\n    ".join(UPSTREAM.replace("127.0.0.1:8000", each) for each in addresses),
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
                "\treverse_proxy {$UPSTREAM:127.0.0.1:8000}": f"\treverse_proxy {' '.join(addresses)}",
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
