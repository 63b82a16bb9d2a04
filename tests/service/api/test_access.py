"""Who may do what, and how often."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends
from pydantic import SecretStr
from starlette.testclient import TestClient

from core.errors import ConfigError, ConflictError, NoDataError
from core.settings import Settings
from service.access.callers import Caller, is_loopback
from service.access.keybook import KeyBook
from service.access.start import SOCKET, check_start, uvicorn_host
from service.api.access import AdminDep, admin
from service.app import create_app
from service.forecasts.nowcast import NowcastService
from service.process.broker import embedded
from tests.service.api_support import BASE_URL, HERE, fill, service_at
from tests.waiting import PATIENCE_S

AWAY = ("203.0.113.7", 40000)
PUBLIC_URL = "http://radar.example:8000"
BODY = {"model": "persistence"}


@contextmanager
def asked(service: NowcastService, client: tuple[str, int] = AWAY, base_url: str = PUBLIC_URL) -> Iterator[TestClient]:
    app = create_app(service)

    @app.put("/switch")
    def switch(caller: AdminDep) -> str:
        return caller.name

    @app.get("/secret", dependencies=[Depends(admin)])
    def secret() -> str:
        return "document"

    with TestClient(app, base_url, raise_server_exceptions=False, client=client) as opened:
        assert app.state.backend.wait_warm(timeout_s=PATIENCE_S)
        yield opened


@pytest.fixture
def service(tmp_path: Path) -> NowcastService:
    made = service_at(tmp_path)
    fill(made)
    return made


@pytest.fixture
def book(service: NowcastService) -> KeyBook:
    return KeyBook.from_settings(service.settings)


def test_a_key_is_shown_once_and_only_its_hash_is_stored(service, book):
    key = book.create("hydrology", "forecast")
    found = book.find(key)
    assert found is not None
    assert (found.name, found.scope) == ("hydrology", "forecast")
    files = [path.read_bytes() for path in service.settings.home.glob("keys.sqlite*")]
    assert files
    secret = key.split("_", 2)[2]  # it may hold a "_" of its own
    assert len(secret) == 43
    assert not any(secret.encode() in content for content in files)
    assert (service.settings.home / "keys.sqlite").stat().st_mode & 0o077 == 0


def test_what_is_no_key_is_not_found(book):
    key = book.create("a", "read")
    other = "x" if key[-1] != "x" else "y"
    for wrong in ("", "nowcast", "nowcast__", key[:-1], key[:-1] + other, key + "x", key.upper(), "a_b_c", key * 100):
        assert book.find(wrong) is None, wrong


def test_a_revoked_key_is_none_and_its_name_is_free_again(book):
    key = book.create("a", "read")
    with pytest.raises(ConflictError, match="in use"):
        book.create("a", "admin")
    assert book.revoke("a").revoked_at
    assert book.find(key) is None
    assert not book.has_valid()
    with pytest.raises(NoDataError, match="no valid key has the id or name 'a'"):
        book.revoke("a")
    assert book.find(book.create("a", "read"))
    assert [bool(each.revoked_at) for each in book.list()] == [True, False]


@pytest.mark.parametrize("scope", ["read", "forecast", "admin"])
def test_a_scope_allows_what_those_below_it_do(service, book, scope):
    headers = {"X-API-Key": book.create("somebody", scope)}
    reached = ("read", "forecast", "admin").index(scope)
    with asked(service) as client:
        assert client.get("/scans", headers=headers).status_code == 200
        assert client.post("/nowcast", json=BODY, headers=headers).status_code == (200 if reached >= 1 else 403)
        switched = client.put("/switch", headers=headers)
        assert switched.status_code == (200 if reached >= 2 else 403)
        assert client.get("/secret", headers=headers).status_code == (200 if reached >= 2 else 403)
        if reached < 2:
            assert f"got one with the scope {scope}" in switched.json()["detail"]


def test_a_key_comes_as_bearer_too(service, book):
    with asked(service) as client:
        key = book.create("a", "forecast")
        assert client.post("/nowcast", json=BODY, headers={"Authorization": f"bearer {key}"}).status_code == 200
        assert client.post("/nowcast", json=BODY, headers={"Authorization": f"Basic {key}"}).status_code == 401


def test_from_elsewhere_only_get_works_without_a_key(service):
    with asked(service) as client:
        for path in ("/", "/scans", "/models", "/livez", "/readyz", "/docs", "/page/page.js"):
            assert client.get(path).status_code == 200, path
        for answer in (client.post("/nowcast", json=BODY), client.put("/switch"), client.get("/secret")):
            assert answer.status_code == 401
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "expected an API key" in answer.json()["detail"]
        assert service.list() == []


def test_a_wrong_key_is_refused_even_where_none_is_needed(service):
    with asked(service) as client:
        answer = client.get("/scans", headers={"X-API-Key": "nowcast_12345678_wrong"})
        assert answer.status_code == 401
        assert "not valid" in answer.json()["detail"]
        assert client.get("/livez", headers={"X-API-Key": "nowcast_12345678_wrong"}).status_code == 200


def test_on_this_machine_all_but_administration_works_without_a_key(service):
    with asked(service, HERE, BASE_URL) as client:
        assert client.post("/nowcast", json=BODY).status_code == 200
        assert client.put("/switch").status_code == 401
        assert client.get("/secret").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"X-Real-IP": "127.0.0.1"},
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_a_proxy_or_a_foreign_page_on_this_machine_is_not_this_machine(service, headers):
    with asked(service, HERE, BASE_URL) as client:
        assert client.post("/nowcast", json=BODY, headers=headers).status_code == 401


def test_the_own_page_is_no_foreign_one(service):
    with asked(service, HERE, BASE_URL) as client:
        assert client.post("/nowcast", json=BODY, headers={"Origin": BASE_URL}).status_code == 200


def test_a_limit_counts_by_address_and_states_when_to_retry(tmp_path):
    service = service_at(tmp_path, limit_per_address="3/minute")
    with asked(service) as client:
        answers = [client.get("/scans") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == ["r=2", "r=1", "r=0", "r=0", "r=0"]
        assert answers[0].headers["ratelimit-policy"] == '"default";q=3;w=60'
        assert "retry-after" not in answers[0].headers
        assert 1 <= int(answers[3].headers["retry-after"]) <= 60
        assert answers[3].headers["content-type"] == "application/problem+json"
        for path in ("/livez", "/readyz"):
            assert client.get(path).status_code == 200
            assert "ratelimit" not in client.get(path).headers
        assert client.get("/scans", headers={"X-Forwarded-For": "198.51.100.1"}).status_code == 429
    with asked(service, ("203.0.113.8", 1)) as other:
        assert other.get("/scans").status_code == 200


def test_guessing_keys_is_limited(tmp_path):
    with asked(service_at(tmp_path, limit_per_address="2/minute")) as client:
        guesses = [client.get("/scans", headers={"X-API-Key": f"nowcast_1234_{n}"}).status_code for n in range(3)]
        assert guesses == [401, 401, 429]


def test_a_key_has_a_limit_of_its_own(tmp_path):
    service = service_at(tmp_path, limit_per_key="2/minute", limit_per_address="1/minute")
    book = KeyBook.from_settings(service.settings)
    usual, more = book.create("usual", "read"), book.create("more", "read", "4/minute")
    with asked(service) as client:
        for key, expected in ((usual, 2), (more, 4), (None, 1)):
            headers = {"X-API-Key": key} if key else {}
            answers = [client.get("/scans", headers=headers).status_code for _ in range(expected + 1)]
            assert answers == [200] * expected + [429]


def test_this_machine_without_a_key_is_not_limited(tmp_path):
    with asked(service_at(tmp_path, limit_per_address="1/minute"), HERE, BASE_URL) as client:
        assert {client.get("/scans").status_code for _ in range(5)} == {200}


def test_one_subscriber_of_ipv6_counts_as_one():
    assert Caller("2001:db8:1:2::1", is_local=False).name == Caller("2001:db8:1:2:ffff::9", is_local=False).name
    assert Caller("2001:db8:1:2::1", is_local=False).name != Caller("2001:db8:1:3::1", is_local=False).name


def test_the_address_behind_a_trusted_proxy_counts_and_no_invented_one(tmp_path):
    document: Any = {"limit_per_address": "1/hour", "trusted_proxies": ("10.0.0.0/8", "127.0.0.1")}
    service = service_at(tmp_path, **document)
    with asked(service, ("10.1.2.3", 1)) as client:

        def from_(chain: str) -> int:
            return client.get("/scans", headers={"X-Forwarded-For": chain}).status_code

        assert [from_("198.51.100.1"), from_("198.51.100.2"), from_("198.51.100.1")] == [200, 200, 429]
        assert from_("1.1.1.1, 198.51.100.1") == 429  # what stands before the client's own address is its invention
        assert from_("198.51.100.1, 10.9.9.9") == 429  # a second proxy of ours
    with asked(service_at(tmp_path / "other", trusted_proxies=("127.0.0.1",)), HERE, BASE_URL) as client:
        assert client.post("/nowcast", json=BODY, headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 401
        assert client.post("/nowcast", json=BODY).status_code == 401  # a proxy's request is never this machine's


@pytest.mark.stack
def test_processes_count_together_and_each_alone_when_redis_is_gone(tmp_path):
    broker = embedded(tmp_path)
    with subprocess.Popen(broker.command) as server:
        try:
            while not broker.answers():
                assert server.poll() is None
            document: Any = {"limit_per_address": "4/minute", "redis_url": SecretStr(broker.url)}
            one, two = (service_at(tmp_path / name, **document) for name in ("one", "two"))
            with asked(one) as first, asked(two) as second:
                codes = [client.get("/scans").status_code for _ in range(3) for client in (first, second)]
                assert codes == [200] * 4 + [429] * 2
                server.kill()
                server.wait()
                assert first.get("/scans").status_code == 200
        finally:
            server.kill()


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("localhost", True)]
    + [(host, False) for host in ("0.0.0.0", "::", "192.0.2.1", "example.org", "", SOCKET, "localhost.evil.example")],
)  # fmt: skip
def test_loopback(host, expected):
    assert is_loopback(host) == expected


def test_beyond_this_machine_it_starts_only_with_a_key_or_the_setting(tmp_path):
    settings = Settings(home=tmp_path)
    check_start(settings, "127.0.0.1")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match=r"would listen on 0\.0\.0\.0.*python -m service\.keys create"):
        check_start(settings, "0.0.0.0")
    check_start(settings.model_copy(update={"allow_no_keys": True}), "0.0.0.0")
    book = KeyBook.from_settings(settings)
    book.create("a", "read")
    check_start(settings, "0.0.0.0")
    check_start(Settings(home=tmp_path / "invented", keys_home=tmp_path), "0.0.0.0")
    book.revoke("a")
    with pytest.raises(ConfigError, match="no API key"):
        check_start(settings, "0.0.0.0")


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["/venv/bin/uvicorn", "service.app:app"], "127.0.0.1"),
        (["/venv/bin/uvicorn", "service.app:app", "--host", "0.0.0.0", "--port", "80"], "0.0.0.0"),
        (["/x/uvicorn/__main__.py", "--host=::", "service.app:app"], "::"),
        (["/venv/bin/uvicorn", "service.app:app", "--uds", "/run/x"], SOCKET),
        (["/venv/bin/uvicorn", "service.app:app", "--fd", "0"], SOCKET),
        (["/venv/bin/pytest", "--host", "0.0.0.0"], None),
        (["-c"], None),
    ],
)
def test_where_uvicorn_listens_is_read_as_it_reads_it(argv, expected):
    assert uvicorn_host(argv) == expected


def test_uvicorns_own_variable_counts(monkeypatch):
    monkeypatch.setenv("UVICORN_HOST", "0.0.0.0")
    assert uvicorn_host(["uvicorn", "service.app:app"]) == "0.0.0.0"


@pytest.mark.stack
@pytest.mark.parametrize(
    ("command", "code"),
    [(["-m", "uvicorn", "service.app:app", "--host", "0.0.0.0"], 3), (["-m", "service.run", "--host", "0.0.0.0"], 2)],
)
def test_both_ways_to_start_refuse_in_one_line(tmp_path, monkeypatch, command, code):
    monkeypatch.setenv("NOWCAST_HOME", str(tmp_path))
    done = subprocess.run([sys.executable, *command, "--port", "0"], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == code
    assert done.stderr.count("cannot start: the service would listen on 0.0.0.0") == 1
    assert "Traceback" not in done.stderr


def test_a_setting_that_is_no_limit_or_network_stops_the_start(tmp_path):
    for wrong in ({"limit_per_key": "many"}, {"limit_per_address": ""}, {"trusted_proxies": ("proxy",)}):
        with (
            pytest.raises(ConfigError, match=r"expected (one|addresses)"),
            TestClient(create_app(service_at(tmp_path, **wrong))),
        ):
            pass


def test_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setenv("NOWCAST_HOME", str(tmp_path))

    def keys(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([sys.executable, "-m", "service.keys", *words], capture_output=True, text=True)

    made = keys("create", "flood desk", "--scope", "forecast", "--limit", "10/second")
    key = made.stdout.strip()
    found = KeyBook.from_settings(Settings(home=tmp_path)).find(key)
    assert found is not None
    assert (found.name, found.scope, found.rate_limit) == ("flood desk", "forecast", "10/second")
    assert "\tforecast\t10/second\t" in keys("list").stdout
    assert key not in keys("list").stdout
    assert keys("revoke", "flood desk").returncode == 0
    assert "\trevoked " in keys("list").stdout
    for wrong, expected in (
        (("create", "b", "--limit", "x"), "rate limit: expected"),
        (("revoke", "b"), "no valid key"),
    ):
        done = keys(*wrong)
        assert done.returncode == 2
        assert expected in done.stderr
