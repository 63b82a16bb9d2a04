"""The public address behind proxies, and who is this machine."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from core.settings import Settings
from service.access.callers import caller_from, trusted_networks
from service.access.forwarded import Hop, hops
from service.access.start import local_access_text, with_local_access
from service.api.proxies import PREFIX
from service.app import create_app
from service.forecasts.nowcast import NowcastService
from tests.service.api_support import BASE_URL, HERE, fill, service_at
from tests.waiting import PATIENCE_S

PROXY = ("10.1.2.3", 40000)
FORWARDED = "for=198.51.100.7;proto=https;host=rain.example.org"
CAPABILITIES = {"service": "WMS", "request": "GetCapabilities"}
BODY = {"model": "persistence"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NowcastService:
    service = service_at(tmp_path_factory.mktemp("home"))
    fill(service)
    service.forecast_stored()
    return service


@contextmanager
def asked(
    made: NowcastService, client: tuple[str, int] = PROXY, http_version: str = "1.1", **settings: Any
) -> Iterator[TestClient]:
    """The application on the same store with other settings."""
    made = service_at(made.settings.home, **settings)
    app = create_app(made)

    async def versioned(scope, receive, send):
        await app({**scope, "http_version": http_version} if scope["type"] == "http" else scope, receive, send)

    with TestClient(versioned, BASE_URL, raise_server_exceptions=False, client=client) as opened:
        assert app.state.backend.wait_warm(timeout_s=PATIENCE_S)
        yield opened


def addresses(client: TestClient, headers: Mapping[str, str] | None = None) -> dict[str, str]:
    """A link of each part of the interface that makes any."""
    latest = client.get("/nowcast/latest", headers=headers).json()
    landing = client.get("/?f=json", headers=headers).json()
    collection = client.get("/collections/nowcast", headers=headers).json()
    tiles = client.get("/tiles", headers=headers).json()
    maps = client.get("/public/weather-maps.json", headers=headers).json()
    capabilities = client.get("/wms", params=CAPABILITIES, headers=headers).text
    job_page = client.get("/docs", headers=headers).text
    moved = client.get("/nowcast/latest/", headers=headers, follow_redirects=False)
    openapi = client.get("/openapi.json", headers=headers).json()
    return {
        "forecast": latest["links"]["self"],
        "picture": latest["links"]["pictures"][-1]["href"],
        "landing": landing["links"][-1]["href"],
        "collection": collection["links"][0]["href"],
        "query": collection["data_queries"]["position"]["link"]["href"],
        "tiles": tiles["layers"][0]["tiles"],
        "rainviewer": maps["host"],
        "wms": capabilities.partition('xlink:href="')[2].partition('"')[0],
        "viewer": job_page.partition('src="')[2].partition('"')[0],
        "redirect": moved.headers.get("location", ""),
        "servers": openapi.get("servers", [{"url": ""}])[0]["url"],
    }


@pytest.mark.parametrize(
    ("settings", "headers"),
    [
        ({"public_url": "https://rain.example.org/weather"}, {}),
        ({"public_url": "https://rain.example.org/weather/"}, {"X-Forwarded-Host": "other.example"}),
        (
            {"trusted_proxies": ("10.0.0.0/8",)},
            {
                "X-Forwarded-For": "198.51.100.7",
                "X-Forwarded-Proto": "https",
                "X-Forwarded-Host": "rain.example.org",
                "X-Forwarded-Prefix": "/weather",
            },
        ),
    ],
)
def test_every_link_begins_with_the_public_address(made, settings, headers):
    with asked(made, **settings) as client:
        found = addresses(client, headers)
        for name in ("landing", "collection", "query", "wms", "viewer", "redirect", "rainviewer"):
            assert found[name].startswith("https://rain.example.org/weather"), (name, found[name])
        for name in ("forecast", "picture", "tiles", "servers"):
            assert found[name].startswith("/weather"), (name, found[name])
        assert client.get(found["forecast"], headers=headers).status_code == 200  # with the prefix left on


def test_rights_and_limits_are_the_same_with_the_prefix_left_on(made):
    prefix = "/weather"
    settings = {"public_url": "https://rain.example.org/weather", "limit_per_address": "2/hour"}
    with asked(made, ("198.51.100.7", 40000), **settings) as client:
        stopped = client.post(f"{prefix}/rules/email/stop/no.code")
        assert stopped.status_code == 422, stopped.text  # the code is the credential: no API key is asked for
        assert client.get(f"{prefix}/nowcast/latest").status_code == 200
        assert client.get(f"{prefix}/nowcast/latest").status_code == 429
        assert client.get(f"{prefix}/nowcast/latest/image/30.png").status_code == 200
        assert client.get(f"{prefix}/livez").status_code == 200
        assert client.get(f"{prefix}/readyz").headers["cache-control"] == "no-store"


def test_forwarded_alone_gives_the_address_too(made):
    with asked(made, trusted_proxies=("10.0.0.0/8",)) as client:
        found = addresses(client, {"Forwarded": FORWARDED})
        assert found["wms"].startswith("https://rain.example.org/wms")
        assert found["redirect"].startswith("https://rain.example.org/nowcast/latest")
        both = {"Forwarded": FORWARDED, "X-Forwarded-For": "198.51.100.7", "Host": "radar.example"}
        assert addresses(client, both)["wms"].startswith("http://radar.example/wms")
        invented = {"Forwarded": f"for=1.2.3.4;proto=http;host=evil.example, {FORWARDED}, for=10.9.9.9;host=inner"}
        assert addresses(client, invented)["wms"].startswith("https://rain.example.org/wms")
    with asked(made) as client:
        assert "example.org" not in str(addresses(client, {"Forwarded": FORWARDED}))


def test_a_limit_counts_the_client_that_forwarded_names(made):
    with asked(made, trusted_proxies=("10.0.0.0/8",), limit_per_address="1/hour") as client:

        def from_(address: str) -> int:
            return client.get("/scans", headers={"Forwarded": f'for="{address}"'}).status_code

        assert [from_("198.51.100.1"), from_("198.51.100.2:4711"), from_("198.51.100.1:80")] == [200, 200, 429]
        assert [from_("[2001:db8:1:2::1]:99"), from_("[2001:db8:1:2::2]")] == [200, 429]


TWO_KINDS = {"Forwarded": "for=198.51.100.7;host=one.example", "X-Forwarded-For": "203.0.113.9"}
"""One of the two is the proxy's, the other its client's invention."""


@pytest.mark.parametrize(
    ("kind", "headers", "expected"),
    [
        ("auto", TWO_KINDS, PROXY[0]),
        ("forwarded", TWO_KINDS, "198.51.100.7"),
        ("x-forwarded", TWO_KINDS, "203.0.113.9"),
        ("auto", {**TWO_KINDS, "X-Forwarded-For": "198.51.100.7"}, "198.51.100.7"),
        ("auto", {**TWO_KINDS, "X-Forwarded-For": "198.51.100.7, 10.9.9.9"}, "198.51.100.7"),
        ("auto", {"Forwarded": "for=198.51.100.7", "X-Forwarded-Host": "evil.example"}, PROXY[0]),
        ("forwarded", {"X-Forwarded-For": "203.0.113.9"}, PROXY[0]),
        ("x-forwarded", {"Forwarded": "for=198.51.100.7"}, PROXY[0]),
        ("auto", {"X-Forwarded-For": "203.0.113.9"}, "203.0.113.9"),
        ("auto", {"Forwarded": "for=198.51.100.7"}, "198.51.100.7"),
    ],
)
def test_a_client_behind_a_proxy_does_not_choose_its_address(kind, headers, expected):
    fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    connection = {"type": "http", "headers": fields, "client": PROXY, "http_version": "1.1"}
    found = caller_from(connection, trusted_networks(["10.0.0.0/8"]), kind)
    assert (found.address, found.is_local) == (expected, False)


def test_invented_addresses_do_not_multiply_the_limit(made):
    with asked(made, trusted_proxies=("10.0.0.0/8",), limit_per_address="2/hour", proxy_headers="forwarded") as client:

        def invented(number: int) -> int:
            headers = {"Forwarded": FORWARDED, "X-Forwarded-For": f"203.0.113.{number}"}
            return client.get("/scans", headers=headers).status_code

        assert [invented(number) for number in range(3)] == [200, 200, 429]
    with asked(made, trusted_proxies=("10.0.0.0/8",), proxy_headers="forwarded") as client:
        evil = {"Forwarded": FORWARDED, "X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "/evil"}
        found = addresses(client, evil)
        assert found["wms"].startswith("https://rain.example.org/wms")
        assert "evil" not in str(found)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("for=192.0.2.60;proto=http;by=203.0.113.43", [Hop("192.0.2.60", "http", "")]),
        ('For="[2001:db8:cafe::17]:4711"', [Hop("2001:db8:cafe::17", "", "")]),
        ('for=_hidden, for="_SEVKISEK:80"', [Hop("_hidden", "", ""), Hop("_SEVKISEK", "", "")]),
        ('host="a,b;c\\"d";for=unknown', [Hop("unknown", "", 'a,b;c"d')]),
        ("", []),
        (',, ;"', [Hop("", "", "")]),
    ],
)
def test_forwarded_is_read_as_rfc_7239_writes_it(field, expected):
    assert hops([field]) == expected


def test_one_header_may_come_in_several_lines():
    assert [hop.address for hop in hops(["for=a, for=b", "for=c"])] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "url",
    ["rain.example.org", "ftp://x", "https://", "https://user@host", "https://x/a b", "https://x/?q", "https://x//y"],
)
def test_a_public_address_of_another_form_stops_the_start(tmp_path: Path, url: str):
    with pytest.raises(ValidationError, match="public_url"):
        Settings(home=tmp_path, public_url=url)


def test_the_prefix_of_a_public_address_is_one_that_proxies_may_state():
    for url in ("https://x", "https://x:8443/", "http://[::1]:80/a/b.c/"):
        found = Settings(public_url=url).public_url
        assert found == url
        prefix = url.partition("://")[2].partition("/")[2].rstrip("/")
        assert not prefix or PREFIX.fullmatch(f"/{prefix}")


@pytest.mark.parametrize(
    ("settings", "http_version", "expected"),
    [
        ({}, "1.1", 200),
        ({}, "1.0", 401),  # as nginx passes requests on where only `proxy_pass` is given
        ({"local_without_key": True}, "1.1", 200),
        ({"local_without_key": False}, "1.1", 401),
    ],
)
def test_a_proxy_that_states_no_client_is_not_this_machine(made, settings, http_version, expected):
    with asked(made, HERE, http_version, **settings) as client:
        assert client.post("/nowcast", json=BODY).status_code == expected


def test_without_the_setting_only_a_tree_of_its_own_lets_this_machine_in(tmp_path: Path):
    settings = Settings(home=tmp_path)

    def decided(settings: Settings, *, embedded: bool) -> bool | None:
        return with_local_access(settings, embedded=embedded).local_without_key

    assert decided(settings, embedded=True) is True
    assert decided(settings, embedded=False) is False
    assert decided(Settings(public_url="https://x.example"), embedded=True) is False
    assert decided(Settings(trusted_proxies=("127.0.0.1",)), embedded=True) is False
    for explicit in (True, False):
        for embedded in (True, False):
            assert decided(Settings(local_without_key=explicit), embedded=embedded) is explicit
    texts = {local_access_text(Settings(local_without_key=each)) for each in (True, False)}
    assert len(texts) == 2
    assert all("NOWCAST_LOCAL_WITHOUT_KEY" in text for text in texts)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("evil.example, rain.example.org", "http://10.1.1.1"),
        ("rain.example.org, evil.example", "http://10.1.1.1"),
        ("rain.example.org, rain.example.org", "https://rain.example.org"),
        ("rain.example.org", "https://rain.example.org"),
    ],
)
def test_of_several_hosts_none_is_taken(made, sent, expected):
    with asked(made, trusted_proxies=("10.0.0.0/8",)) as client:
        proto = "https" if expected.startswith("https") else "https, http"
        headers = {"X-Forwarded-Host": sent, "X-Forwarded-Proto": proto, "Host": "10.1.1.1"}
        found = addresses(client, headers)
        assert found["wms"].startswith(f"{expected}/wms"), found["wms"]
