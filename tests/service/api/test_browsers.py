"""What web pages of other sites may do, and what browsers refuse."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from ingest.store.database import reading
from service.api.access import RequestKind, kind_of
from service.api.browsers import SHOWN, policy_of
from tests.service.api.test_access import asked
from tests.service.api_support import BASE_URL, fill, running, service_at

ORIGIN = "https://map.example"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    service = service_at(tmp_path_factory.mktemp("home"))
    fill(service)
    service.forecast_stored()
    with running(service) as opened:
        yield opened


def preflight(client: TestClient, origin: str, method: str, headers: str):
    asked_for = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return client.options("/nowcast/latest", headers=asked_for)


def test_every_site_may_read_without_credentials(client):
    answer = client.get("/nowcast/latest", headers={"Origin": ORIGIN})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    assert set(answer.headers["access-control-expose-headers"].split(", ")) == set(SHOWN)
    for path in ("/nowcast/none", "/nothing"):  # a script sees why it failed
        assert client.get(path, headers={"Origin": ORIGIN}).headers["access-control-allow-origin"] == "*"


def test_a_script_may_revalidate(client):
    tag = client.get("/nowcast/latest").headers["etag"]
    allowed = preflight(client, ORIGIN, "GET", "If-None-Match, X-API-Key, Accept")
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "*")
    assert "if-none-match" in allowed.headers["access-control-allow-headers"].lower()
    held = client.get("/nowcast/latest", headers={"Origin": ORIGIN, "If-None-Match": tag})
    assert (held.status_code, held.headers["access-control-allow-origin"]) == (304, "*")
    for method in ("POST", "PUT", "DELETE"):
        assert preflight(client, ORIGIN, method, "Content-Type").status_code == 400


def test_a_named_site_may_write_and_all_others_read(tmp_path: Path):
    with running(service_at(tmp_path, cors_origins=("*", ORIGIN))) as client:
        assert preflight(client, ORIGIN, "POST", "Content-Type").status_code == 200
        assert preflight(client, "https://other.example", "POST", "Content-Type").status_code == 400
        assert preflight(client, "https://other.example", "GET", "If-None-Match").status_code == 200


def test_answers_refuse_frames_and_guessed_types(client):
    for path in ("/nowcast/latest", "/?f=json", "/docs", "/nothing", "/wms", "/openapi.json", "/page/page.js"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "same-origin", path
        assert headers["x-frame-options"] == "DENY", path
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
    embedded = client.get("/embed").headers
    assert "x-frame-options" not in embedded
    assert "frame-ancestors *" in embedded["content-security-policy"]


def test_pages_run_their_own_scripts_alone(client):
    page = client.get("/", headers={"Accept": "text/html"})
    rules = page.headers["content-security-policy"]
    assert "default-src 'self'" in rules
    assert "unsafe" not in rules
    assert "<script>" not in page.text
    assert "default-src 'none'" in client.get("/nowcast/latest").headers["content-security-policy"]
    viewer = client.get("/docs")
    assert viewer.headers["content-security-policy"] == policy_of(viewer.text)
    assert "script-src 'self' 'sha256-" in viewer.headers["content-security-policy"]
    assert policy_of(viewer.text) != policy_of(viewer.text.replace("SwaggerUIBundle", "Other"))


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/tiles/rainfall_rate/2024-06-01T12:00:00Z/5/16/10.png", RequestKind.PICTURES),
        ("/v2/radar/1/256/5/16/10/2/0_0.png", RequestKind.PICTURES),
        ("/wms", RequestKind.PICTURES),
        ("/nowcast/latest/image/30.png", RequestKind.PICTURES),
        ("/page/page.js", RequestKind.PICTURES),
        ("/tiles", RequestKind.DEFAULT),
        ("/nowcast/latest/point", RequestKind.DEFAULT),
        ("/wmsx", RequestKind.DEFAULT),
        ("/metrics", RequestKind.MONITORING),
        ("/readyz", RequestKind.MONITORING),
        ("/livez", None),
    ],
)
def test_kinds_of_requests(path, kind):
    assert kind_of(path) is kind


def refused(client: TestClient) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(
        float(line.split()[-1]) for line in lines if line.startswith('nowcast_refused_total{reason="rate_limit"')
    )


def test_a_map_uses_up_no_forecasts_and_refusals_are_counted(tmp_path: Path):
    service = service_at(
        tmp_path, limit_per_address="2/minute", limit_pictures_per_address="3/minute", limit_monitoring="4/minute"
    )
    fill(service)
    service.forecast_stored()
    with asked(service) as client:
        before = refused(client)
        tiles = [client.get("/nowcast/latest/image/30.png") for _ in range(4)]
        assert [tile.status_code for tile in tiles] == [200, 200, 200, 429]
        assert tiles[0].headers["ratelimit-policy"] == '"pictures";q=3;w=60'
        assert [client.get("/nowcast/latest").status_code for _ in range(3)] == [200, 200, 429]
        assert refused(client) == before + 2
        states = [client.get("/readyz") for _ in range(3)]
        assert [state.status_code for state in states] == [200, 200, 429]
        assert "ratelimit" not in states[0].headers
        assert int(states[2].headers["retry-after"]) > 0
        assert client.get("/livez").status_code == 200


def test_the_message_of_a_driver_stays_in_the_log(tmp_path: Path, monkeypatch, caplog):
    service = service_at(tmp_path)
    fill(service)
    with running(service) as client:

        def broken(*_: object, **__: object) -> None:
            with reading(service.catalogue.engine) as connection:
                connection.execute(text("db_host port_5432"))

        monkeypatch.setattr(service, "latest", broken)
        for path in ("/nowcast/latest", "/readyz"):
            answer = client.get(path)
            assert answer.status_code == 503
            assert "the catalogue does not respond" in answer.json()["detail"]
            assert not any(word in answer.text for word in ("5432", "sqlite", "OperationalError", "SELECT")), (
                answer.text
            )
    assert "port_5432" in caplog.text


def test_the_door_is_json_unless_a_page_is_asked_for(client):
    for accept in (None, "*/*", "application/json", "application/json, */*;q=0.5", "image/png"):
        headers = {"Accept": accept} if accept else {}
        answer = client.get("/", headers=headers)
        assert answer.headers["content-type"] == "application/json", accept
        assert answer.json()["links"][0]["href"] == f"{BASE_URL}/?f=json"
    browser = client.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert browser.headers["content-type"].startswith("text/html")
    assert "accept" in browser.headers["vary"].lower()
