"""What HTTP offers: conditional requests, HEAD, compression, CORS, request ids, problems for whatever goes wrong."""

import gzip
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.forecasts.nowcast import NowcastService
from tests.service.api_support import fill, running, service_at

PUBLIC_ORIGIN = "https://map.example"
STRONG = (
    "/nowcast/latest/file.nc",
    "/nowcast/latest/image/30.png",
    "/nowcast/latest/observed/0.png",
    "/nowcast/latest/map",
)
WEAK = ("/nowcast/latest", "/nowcast/latest/point?lat=52.5&lon=13.4", "/nowcast", "/models", "/scans", "/jobs")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> NowcastService:
    made = service_at(tmp_path_factory.mktemp("home"), cors_origins=(PUBLIC_ORIGIN,))
    fill(made)
    made.forecast_stored()
    return made


@pytest.fixture(scope="module")
def client(service: NowcastService) -> Iterator[TestClient]:
    with running(service) as opened:
        yield opened


def all_gets(client: TestClient) -> list[str]:
    """Every operation without parameters, and the parts of the latest forecast that need none."""
    paths = client.get("/openapi.json").json()["paths"]
    found = [
        path.replace("{forecast_id}", "latest")
        for path, verbs in paths.items()
        if "get" in verbs
        and "{" not in path.replace("{forecast_id}", "")
        and not any(each.get("required") for each in verbs["get"].get("parameters", []) if each["in"] == "query")
    ]
    return [path for path in found if not path.endswith("/events") and path != "/metrics"]


@pytest.mark.parametrize("path", [*STRONG, *WEAK])
def test_who_holds_an_answer_gets_304_without_a_body(client, path):
    first = client.get(path)
    assert first.status_code == 200
    tag = first.headers["etag"]
    assert tag.startswith("W/") == (path in WEAK or path.endswith("/map"))  # JSON is compressed
    for held in (tag, f'"x", {tag}', "*", tag.removeprefix("W/")):
        again = client.get(path, headers={"If-None-Match": held})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"].removeprefix("W/") == tag.removeprefix("W/")
        assert "content-length" not in again.headers or again.headers["content-length"] == "0"
    assert client.get(path, headers={"If-None-Match": '"x"'}).status_code == 200


@pytest.mark.parametrize("path", STRONG)
def test_a_date_counts_where_no_tag_comes(client, path):
    modified = client.get(path).headers["last-modified"]
    since = {"If-Modified-Since": modified}
    assert client.get(path, headers=since).status_code == 304
    earlier = format_datetime(parsedate_to_datetime(modified) - timedelta(seconds=1), usegmt=True)
    assert client.get(path, headers={"If-Modified-Since": earlier}).status_code == 200
    assert client.get(path, headers={"If-Modified-Since": "yesterday"}).status_code == 200
    assert client.get(path, headers={**since, "If-None-Match": '"x"'}).status_code == 200


@pytest.mark.parametrize("path", [*STRONG, *WEAK[:2]])
def test_the_latest_forecast_expires_at_the_next_run(client, service, path):
    headers = client.get(path).headers
    expires, now = parsedate_to_datetime(headers["expires"]), datetime.now(UTC)
    scans_apart = service.schedule.cadence(service.latest().product)
    assert scans_apart == timedelta(minutes=30)
    assert expires <= max(now + timedelta(seconds=2), service.latest().issued_at + scans_apart + timedelta(seconds=1))
    assert headers["cache-control"].startswith("public, max-age=")


def test_every_get_can_be_revalidated_or_is_not_cached(client):
    for path in all_gets(client):
        answer = client.get(path)
        if answer.status_code in (404, 422, 503):  # nothing there yet, or one of two parameters is needed
            continue
        assert answer.status_code == 200, (path, answer.text)
        assert "etag" in answer.headers or answer.headers["cache-control"] == "no-store", path


def test_head_is_get_without_its_body(client):
    for path in (*STRONG, *WEAK, "/", "/nowcast/none", "/livez"):
        head, get = client.head(path), client.get(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers.get("etag") == get.headers.get("etag")
        assert head.headers["content-type"] == get.headers["content-type"]


def test_text_is_compressed_and_what_is_compressed_already_is_not(client):
    plain = client.get("/nowcast/latest", headers={"Accept-Encoding": "identity"})
    packed = client.get("/nowcast/latest", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in packed.headers["vary"].lower()
    assert int(packed.headers["content-length"]) < len(plain.content) / 2
    assert packed.json()["forecast_id"] == plain.json()["forecast_id"]
    for path in STRONG[:3]:
        answer = client.get(path, headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in answer.headers
        assert not answer.content.startswith(gzip.compress(b"")[:2])


def test_other_sites_may_send_requests_if_the_setting_allows_them(client, tmp_path):
    asked = {
        "Origin": PUBLIC_ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "X-API-Key",
    }
    preflight = client.options("/nowcast", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == PUBLIC_ORIGIN
    assert client.options("/nowcast", headers={**asked, "Origin": "https://evil.example"}).status_code == 400
    answer = client.get("/scans", headers={"Origin": PUBLIC_ORIGIN})
    assert answer.headers["access-control-allow-origin"] == PUBLIC_ORIGIN
    assert "etag" in answer.headers["access-control-expose-headers"].lower()
    with running(service_at(tmp_path, cors_origins=())) as closed:
        assert "access-control-allow-origin" not in closed.get("/scans", headers={"Origin": PUBLIC_ORIGIN}).headers


def test_a_request_has_an_id(client):
    made = client.get("/livez").headers["x-request-id"]
    assert made != client.get("/livez").headers["x-request-id"]
    assert client.get("/livez", headers={"X-Request-ID": "ticket-7"}).headers["x-request-id"] == "ticket-7"
    for harmful in ("a b", "x" * 65, "a\tb"):
        assert client.get("/livez", headers={"X-Request-ID": harmful}).headers["x-request-id"] != harmful


def test_every_failure_is_a_problem_document(service, monkeypatch):
    def broken(*_asked, **_named):
        raise ZeroDivisionError

    with running(service) as client:
        monkeypatch.setattr(service.store, "scans", broken)
        answers = {
            404: client.get("/no/such/place"),
            405: client.delete("/scans"),
            413: client.post("/nowcast", content=b"{" * 70_000, headers={"Content-Type": "application/json"}),
            415: client.post("/nowcast", content=b"<a/>", headers={"Content-Type": "text/xml"}),
            422: client.get("/scans?limit=many"),
            500: client.get("/scans"),
        }
    for status, answer in answers.items():
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert answer.headers["x-request-id"]
        body = answer.json()
        assert (body["status"], bool(body["title"]), bool(body["detail"])) == (status, True, True)
        assert body["instance"].startswith("/")
    assert "ZeroDivision" not in answers[500].text


def test_no_forecast_yet_is_a_problem_too(tmp_path: Path):
    with running(service_at(tmp_path)) as client:
        assert client.get("/nowcast/latest").json()["status"] == 404


def test_the_documents_of_the_interface_need_no_other_server(client):
    page = client.get("/docs")
    assert page.status_code == 200
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(addresses) == 3
    for address in addresses:
        assert address.startswith(str(client.base_url))
        assert client.get(address).status_code == 200
