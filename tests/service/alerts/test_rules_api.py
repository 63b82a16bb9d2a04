"""/rules: create, read, replace and erase; what is not usable is refused with a message that names the field."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from service.access.keybook import KeyBook
from service.alerts.rule import checked_definition
from service.alerts.rulebook import RuleBook, RuleLimitError, rule_book
from service.api.lanes import AT_ONCE
from service.app import create_app
from service.schemas.rules import RuleIn
from tests.service.api_support import BASE_URL, running, service_at
from tests.waiting import PATIENCE_S

RULE = {"name": "Garden", "place": {"lat": 51.0, "lon": 10.0}, "quantity": "rate", "threshold": 1.0}
WEBHOOK = {"kind": "webhook", "url": "https://example.org/rain"}
RING = [[10.0, 51.0], [10.2, 51.0], [10.1, 51.1], [10.0, 51.0]]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with running(service_at(tmp_path_factory.mktemp("rules"), rules_per_key=20)) as opened:
        yield opened


def without(rule: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**rule, **changes}.items() if value is not None}


def test_a_rule_is_created_read_replaced_and_erased(client):
    made = client.post("/rules", json={**RULE, "targets": [WEBHOOK]})
    assert made.status_code == 201, made.text
    rule = made.json()
    assert rule["secret"].startswith("whsec_")
    assert made.headers["Location"] == rule["links"]["self"]
    read = client.get(rule["links"]["self"]).json()
    assert read == {**rule, "secret": None}
    assert read["definition"]["probability"] == 0.5
    assert read["alert"] is None
    changed = client.put(rule["links"]["self"], json={**RULE, "probability": 0.7}).json()
    assert (changed["revision"], changed["definition"]["probability"]) == (2, 0.7)
    assert changed["definition"]["targets"] == []
    assert [one["rule_id"] for one in client.get("/rules").json()["rules"]] == [rule["rule_id"]]
    for part in ("events", "deliveries"):
        assert client.get(rule["links"][part]).json() == {part: []}
    verification = client.get(rule["links"]["verification"]).json()
    assert verification["rule"]["alerts"] == 0
    assert verification["rule"]["lead_gained_minutes"] is None
    assert client.delete(rule["links"]["self"]).status_code == 204
    assert client.get(rule["links"]["self"]).status_code == 404


def test_pages_and_erasure_of_all(client):
    ids = [client.post("/rules", json={**RULE, "name": str(n)}).json()["rule_id"] for n in range(3)]
    first = client.get("/rules", params={"limit": 2}).json()
    second = client.get(first["next"]).json()
    assert [one["rule_id"] for one in first["rules"] + second["rules"]] == ids[::-1]
    assert client.delete("/rules").json() == {"erased": 3}
    assert client.get("/rules").json()["rules"] == []


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"place": None}, 422, "expected exactly one of place, bbox, polygon, region, got none"),
        ({"bbox": [9, 50, 10, 51]}, 422, "got place, bbox"),
        ({"place": {"lat": 95, "lon": 10}}, 422, "place.lat"),
        ({"place": {"lat": float("nan"), "lon": 10}}, 422, "JSON"),
        ({"place": None, "bbox": [10, 51, 9, 50]}, 422, "south below north"),
        ({"place": None, "region": "DE-XX"}, 404, "region"),
        ({"place": None, "polygon": {"type": "Point", "coordinates": [1, 2]}}, 422, "polygon.type"),
        ({"place": None, "polygon": {"type": "Polygon", "coordinates": "no"}}, 422, "polygon"),
        ({"place": None, "polygon": {"type": "Polygon", "coordinates": [[*RING[:2], RING[0]]]}}, 422, "polygon"),
        ({"threshold": None}, 422, "threshold: required for rate"),
        ({"threshold": 0.7}, 422, "threshold: expected one of 0.1, 0.5"),
        ({"threshold": -1}, 422, "threshold"),
        ({"probability": 1.5}, 422, "probability"),
        ({"probability": 0}, 422, "probability"),
        ({"lead_from_minutes": 60, "lead_to_minutes": 60}, 422, "lead_to_minutes: expected more than"),
        ({"lead_from_minutes": 56, "lead_to_minutes": 59}, 422, "lead_to_minutes: expected more than"),
        ({"lead_to_minutes": 360}, 422, "lead_to_minutes: expected at most 150"),
        ({"quantity": "sum_60min", "threshold": 5, "lead_to_minutes": 90}, 422, "expected 0 and 60"),
        ({"quantity": "snow"}, 422, "quantity"),
        ({"quiet_hours": {"start": "22:00", "end": "06:00", "tz": "Mars/Base"}}, 422, "quiet_hours.tz"),
        ({"quiet_hours": {"start": "22:00", "end": "25:00"}}, 422, "quiet_hours.end"),
        ({"quiet_hours": {"start": "22:00", "end": "22:00"}}, 422, "an end that is not the start"),
        ({"language": "fr"}, 422, "language"),
        ({"treshold": 1}, 422, "treshold"),
        ({"name": ""}, 422, "name"),
        ({"name": "rain\nhttps://example.org/"}, 422, "name: expected one line"),
        ({"name": "\x00"}, 422, "name: expected one line"),
        ({"name": "\u202erain"}, 422, "name: expected one line"),
        ({"name": " \t"}, 422, "name: expected one line"),
        ({"targets": [{"kind": "pigeon"}]}, 422, "targets.kind: expected one of"),
        ({"targets": [{"kind": ["webhook"]}]}, 422, "targets.kind: expected one of"),
        ({"targets": [{"kind": "webhook"}]}, 422, "targets.url: required"),
        ({"targets": [{**WEBHOOK, "uri": "x"}]}, 422, "expected the fields url"),
        ({"targets": [{"kind": "webhook", "url": "ftp://example.org"}]}, 422, "https://HOST"),
        ({"targets": [{"kind": "webhook", "url": "https://127.0.0.1/x"}]}, 422, "public address"),
        ({"targets": [{"kind": "webhook", "url": "http://[::1]:80/x"}]}, 422, "public address"),
        ({"targets": [{"kind": "webhook", "url": "http://example.org/rain"}]}, 422, "targets.url: expected https"),
        ({"targets": [{"kind": "webhook", "url": "HTTP://93.184.215.14/"}]}, 422, "targets.url: expected https"),
        ({"targets": [{"kind": "ntfy", "topic": "a", "server": "http://ntfy.sh"}]}, 422, "server: expected https"),
        ({"targets": [{"kind": "webhook", "url": "http://169.254.169.254/latest"}]}, 422, "public address"),
        ({"targets": [{"kind": "webhook", "url": "https://localhost/x"}]}, 422, "public address"),
        ({"targets": [{"kind": "webhook", "url": "https://me:pw@example.org/"}]}, 422, "without a user name"),
        ({"targets": [WEBHOOK] * 6}, 422, "targets"),
        ({"targets": [{"kind": "webhook", "url": "https://example.org/a b"}]}, 422, "targets.url: expected ASCII"),
        ({"targets": [{"kind": "webhook", "url": "https://example.org/ä"}]}, 422, "targets.url: expected ASCII"),
        ({"targets": [{"kind": "ntfy", "topic": "a b"}]}, 422, "targets.topic"),
        (
            {"targets": [{"kind": "web_push", "endpoint": "https://example.org", "p256dh": "\x00", "auth": "a"}]},
            422,
            "targets.p256dh: expected one line",
        ),
        ({"targets": [{"kind": "ntfy", "topic": "a", "token": "x\r\nHost: y"}]}, 422, "targets.token"),
    ],
)
def test_what_is_not_usable_is_refused(client, changes, status, words):
    body = without(RULE, **changes)
    if words == "JSON":
        answer = client.post("/rules", content='{"name": "x", "place": {"lat": NaN, "lon": 1}}')
        assert answer.status_code == 422
        return
    answer = client.post("/rules", json=body)
    assert answer.status_code == status, answer.text
    assert words in answer.text
    assert client.get("/rules").json()["rules"] == []


def test_a_polygon_of_100_000_vertices_is_too_large(client):
    ring = [[10 + n / 1e6, 51 + n % 2 / 100] for n in range(100_000)]
    polygon = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    answer = client.post("/rules", json=without(RULE, place=None, polygon=polygon))
    assert answer.status_code == 413
    assert "at most 20000 vertices, got 100001" in answer.text


def test_coordinates_nested_a_thousand_deep_are_refused(client):
    nested: Any = [10.0, 51.0]
    for _ in range(900):
        nested = [nested]
    answer = client.post("/rules", json=without(RULE, place=None, polygon={"type": "Polygon", "coordinates": nested}))
    assert answer.status_code == 422


def test_an_owner_has_a_limited_number_of_rules(client):
    for _ in range(20):
        assert client.post("/rules", json=RULE).status_code == 201
    refused = client.post("/rules", json=RULE)
    assert (refused.status_code, refused.json()["title"]) == (409, "Too many rules")
    assert client.delete("/rules").json() == {"erased": 20}


def test_the_long_rules_of_an_owner_have_a_limit_together(client, monkeypatch):
    ring = [[10 + n / 1e6, 51 + n % 2 / 100] for n in range(300)]
    long = without(RULE, place=None, polygon={"type": "Polygon", "coordinates": [[*ring, [10, 52], ring[0]]]})
    monkeypatch.setattr("service.alerts.rulebook.MOST_CHARACTERS", 15_000)
    made = [client.post("/rules", json=long) for _ in range(3)]
    assert [one.status_code for one in made] == [201, 201, 409], made[0].text
    assert "expected at most 15000 characters in the long rules of one owner" in made[2].text
    assert client.put(made[0].json()["links"]["self"], json=long).status_code == 200, "it replaces its own text"
    short = client.post("/rules", json=RULE)
    assert short.status_code == 201
    assert client.put(short.json()["links"]["self"], json=long).status_code == 409
    client.delete("/rules")


def test_the_limit_holds_where_rules_are_created_at_once(tmp_path):
    books = [RuleBook(rule_book(service_at(tmp_path).settings).engine, most_per_owner=5) for _ in range(2)]

    def create(index: int) -> bool:
        with suppress(RuleLimitError):
            return bool(books[index % 2].create("one", checked_definition(RuleIn.model_validate(RULE))))
        return False

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(create, range(16))) == 5
    assert len(books[0].rules()) == 5


def test_receivers_that_never_answer_leave_threads_for_other_requests(client, monkeypatch):
    rule = client.post("/rules", json={**RULE, "targets": [WEBHOOK]}).json()["links"]["self"]
    most, waiting, answered = AT_ONCE["messages"], threading.Semaphore(0), threading.Event()

    def never_answers(*_: Any) -> None:
        waiting.release()
        answered.wait(PATIENCE_S)

    monkeypatch.setattr("service.api.rules.send_test", never_answers)
    with ThreadPoolExecutor(3 * most) as clients:
        tests = [clients.submit(client.post, f"{rule}/test") for _ in range(3 * most)]
        try:
            for _ in range(most):
                assert waiting.acquire(timeout=PATIENCE_S)
            assert client.get("/rules").status_code == 200
            assert not waiting.acquire(timeout=0.1), "a further one waits without a thread"
        finally:
            answered.set()
        assert {one.result().status_code for one in tests} == {200}
    client.delete("/rules")


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_mail_server_that_never_answers_leaves_threads_for_other_requests(tmp_path, monkeypatch, method):
    most, waiting, answered = AT_ONCE["messages"], threading.Semaphore(0), threading.Event()

    def never_answers(*_: Any) -> None:
        waiting.release()
        answered.wait(PATIENCE_S)

    mail: dict[str, Any] = {
        "smtp_url": SecretStr("smtp://127.0.0.1:1"),
        "email_from": "a@b.org",
        "public_url": "https://b.org",
    }
    monkeypatch.setattr("service.alerts.channels.email.Email.welcome", never_answers)
    with running(service_at(tmp_path, **mail)) as client, ThreadPoolExecutor(3 * most) as clients:
        path = client.post("/rules", json=RULE).json()["links"]["self"] if method == "PUT" else "/rules"
        rule = {**RULE, "targets": [{"kind": "email", "address": "anna@example.org"}]}
        made = [clients.submit(client.request, method, path, json=rule) for _ in range(3 * most)]
        try:
            for _ in range(most):
                assert waiting.acquire(timeout=PATIENCE_S)
            assert client.post("/rules", json=RULE).status_code == 201, "without such a receiver nothing waits"
            assert not waiting.acquire(timeout=0.1), "a further one waits without a thread"
        finally:
            answered.set()
        assert {one.result().status_code for one in made} == {201 if method == "POST" else 200}


def test_regions_are_the_states_and_the_operator_s(client):
    found = {one["region"]: one["name"] for one in client.get("/rules/regions").json()["regions"]}
    assert len(found) == 16
    assert found["DE-BY"] == "Bayern"
    assert client.post("/rules", json=without(RULE, place=None, region="DE-BY")).status_code == 201
    client.delete("/rules")


def test_keys_own_their_rules(tmp_path):
    service = service_at(tmp_path)
    keys = KeyBook.from_settings(service.settings)
    one, two, boss = keys.create("One", "forecast"), keys.create("Two", "forecast"), keys.create("Boss", "admin")
    reader = keys.create("Reader", "read")
    app = create_app(service)
    with TestClient(app, BASE_URL, client=("203.0.113.5", 5000)) as client:
        app.state.backend.wait_warm(30)

        def call(method: str, path: str, key: str | None, **more: Any):
            return client.request(method, path, headers={"X-API-Key": key} if key else {}, **more)

        mine = call("POST", "/rules", one, json=RULE).json()["links"]["self"]
        assert call("GET", mine, one).status_code == 200
        for method in ("GET", "PUT", "DELETE"):
            more = {"json": RULE} if method == "PUT" else {}
            assert call(method, mine, two, **more).status_code == 404, method
        assert call("GET", mine + "/events", two).status_code == 404
        assert call("POST", mine + "/test", two).status_code == 404
        assert call("GET", "/rules", two).json()["rules"] == []
        assert len(call("GET", "/rules", boss).json()["rules"]) == 1
        assert call("GET", "/rules", None).status_code == 401
        assert call("POST", "/rules", None, json=RULE).status_code == 401
        assert call("POST", "/rules", reader, json=RULE).status_code == 403
        assert call("DELETE", "/rules", two).json() == {"erased": 0}
        assert call("DELETE", "/rules", one).json() == {"erased": 1}


def test_a_log_has_no_coordinates(client, caplog):
    with caplog.at_level("DEBUG"):
        client.post("/rules", json={**RULE, "place": {"lat": 51.2345, "lon": 10.9876}})
        client.get("/rules")
    client.delete("/rules")
    assert "51.2345" not in caplog.text
    assert "10.9876" not in caplog.text


def test_the_file_of_rules_is_for_its_owner_alone(tmp_path):
    home = service_at(tmp_path).settings.home
    rule_book(service_at(tmp_path).settings)
    assert (home / "rules.sqlite").stat().st_mode & 0o077 == 0
