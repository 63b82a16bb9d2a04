"""Tables: every list of the interface as CSV, by one mechanism, with the values of its JSON."""

import asyncio
import csv
import io
from collections.abc import Iterator
from datetime import timedelta

import pytest
from pydantic import BaseModel
from starlette.testclient import TestClient

from service.api import csv_tables
from service.api.csv_tables import TABLE, csv_text, table_text
from tests.service.api_support import NOW, fill, frames_at, lead_times, running, service_at

CSV = {"Accept": "text/csv"}
AREA = "POLYGON((9 50, 10 50, 10 51, 9 51, 9 50))"
RULE = {
    "name": 'one, "quoted"',
    "place": {"lat": 51.0, "lon": 10.0},
    "quantity": "rate",
    "threshold": 1,
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service with scans, a scored forecast, a rule and no job."""
    clock = [NOW]
    service = service_at(tmp_path_factory.mktemp("home"), clock=lambda: clock[0])
    fill(service)
    service.forecast_stored(scheduled=True)
    for time in lead_times()[:2]:
        clock[0] = time + timedelta(minutes=3)
        service.store.put(*frames_at([time]))
    service.verify_observed()
    with running(service) as made:
        yield made


def table(client: TestClient, path: str) -> list[dict[str, str]]:
    answer = client.get(path, headers=CSV)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert "Accept" in answer.headers["vary"]
    assert answer.content.endswith(b"\r\n"), "RFC 4180"
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


@pytest.mark.parametrize(
    ("path", "rows", "columns"),
    [
        ("/scans", "scans", ["product", "valid_time", "coverage", "missing_radars"]),
        ("/nowcast", "forecasts", ["forecast_id", "reference_time", "model", "href"]),
        ("/observed", "frames", ["valid_time", "coverage", "href"]),
        ("/ingest", "products", ["product", "newest", "age_s"]),
        ("/rules/regions", "regions", ["region", "name"]),
        ("/verification", "scores", ["model", "lead_minutes", "threshold_mmh", "hits", "csi", "scores_ets"]),
        ("/verification?table=means", "means", ["mean", "mask", "score", "value"]),
        ("/verification?table=reliability", "reliability", ["bin", "cells", "observed_frequency"]),
        (f"/nowcast/latest/area?polygon={AREA}", "leads", ["forecast_id", "lead_minutes", "mean_mmh", "total_mm"]),
        ("/nowcast/latest/accumulation?lat=51&lon=10", "leads", ["lat", "lon", "interval_mm", "total_mm"]),
        ("/nowcast/latest/minutes?lat=51&lon=10", "minutes", ["lat", "lon", "time", "intensity_mmh", "probability"]),
    ],
)
def test_a_list_is_a_table_with_the_values_of_its_json(client, path, rows, columns):
    found, expected = table(client, path), client.get(path).json()[rows]
    assert len(found) == len(expected) > 0
    assert set(columns) <= found[0].keys()
    for row, entry in zip(found, expected, strict=True):
        for name in columns:
            value = entry.get(name)
            if isinstance(value, float):
                assert float(row[name]) == value
            elif isinstance(value, bool | str):
                assert row[name] == str(value if isinstance(value, str) else str(value).lower())


def test_a_list_in_a_list_repeats_what_surrounds_it(client):
    path = "/verification/archive?day=2024-06-01"
    found, whole = table(client, path), client.get(path).json()
    leads = [(one["forecast_id"], lead["valid_time"]) for one in whole["forecasts"] for lead in one["leads"]]
    assert [(row["forecast_id"], row["valid_time"]) for row in found] == leads
    assert {row["threshold_mmh"] for row in found} == {str(whole["threshold_mmh"])}
    bins = table(client, "/verification/reliability")
    assert {"model", "mask", "threshold_mmh", "from_minutes", "from_probability", "observed"} <= bins[0].keys()


def test_an_empty_table_has_its_columns(client):
    answer = client.get("/jobs", headers=CSV)
    assert answer.text.startswith("job_id,status,model,created_at,forecast_id,detail")
    assert answer.text.count("\r\n") == 1
    assert client.get("/verification?model=persistence&period_hours=0.01", headers=CSV).text.startswith("model,lead_")


def test_rules_and_their_events_are_tables_and_names_are_quoted(client):
    made = client.post("/rules", json=RULE)
    assert made.status_code == 201, made.text
    (row,) = table(client, "/rules")
    assert row["definition_name"] == 'one, "quoted"'
    assert row["definition_place_lat"] == "51.0"
    here = f"/rules/{made.json()['rule_id']}"
    assert client.get(f"{here}/verification", headers=CSV).text.startswith("alert_id,raised_at,ended_at,probability")
    assert client.get(f"{here}/deliveries", headers=CSV).text.startswith("delivery_id,event_id,target,state")


def test_a_page_of_a_table_has_the_link_to_the_next_one(client):
    answer = client.get("/scans?limit=2", headers=CSV)
    assert answer.text.count("\r\n") == 3
    assert 'rel="next"' in answer.headers["link"]


def test_a_table_that_the_client_holds_is_not_sent_again_and_json_is_another_answer(client):
    first = client.get("/scans", headers=CSV)
    again = client.get("/scans", headers={**CSV, "If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    as_json = client.get("/scans", headers={"If-None-Match": first.headers["etag"]})
    assert (as_json.status_code, as_json.headers["content-type"]) == (200, "application/json")
    assert client.get("/scans", headers={**CSV, "If-None-Match": as_json.headers["etag"]}).status_code == 200
    assert (
        client.get("/scans", headers={"Accept": "text/html, */*;q=0.8"}).headers["content-type"] == "application/json"
    )
    assert client.get("/scans", headers={"Accept": "text/csv;q=0.5, application/json"}).json()["count"]


def test_a_problem_stays_a_problem(client):
    refused = client.get("/scans?limit=0", headers=CSV)
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
    assert client.get("/verification?table=nothing", headers=CSV).status_code == 422


def test_every_route_with_a_table_states_it(client):
    document = client.get("/openapi.json").json()
    tables = {path: one["get"][TABLE]["rows"] for path, one in document["paths"].items() if TABLE in one.get("get", {})}
    assert len(tables) == 18
    for path in tables:
        assert "text/csv" in document["paths"][path]["get"]["responses"]["200"]["content"], path


class Inner(BaseModel):
    value: float | None
    parts: list[int]
    open_: dict[str, float] = {}


class Outer(BaseModel):
    place: Inner
    rows: list[Inner]


def test_no_text_of_a_client_is_a_formula_of_a_spreadsheet(client):
    for name in ("=1+1", "@a", "+a", "-a"):
        assert client.post("/rules", json={**RULE, "name": name}).status_code == 201
    names = {row["definition_name"] for row in table(client, "/rules")}
    assert names >= {"'=1+1", "'@a", "'+a", "'-a"}
    assert csv_text(["a"], [[-1.5], [["=a", -1]], ["a=b"]]) == "a\r\n-1.5\r\n'=a;-1\r\na=b\r\n"


def test_a_table_is_made_in_no_thread_that_serves_all_requests(client, monkeypatch):
    made: list[str] = []

    def noted(*_: object) -> str:
        made.append("loop" if _is_in_loop() else "thread")
        return ""

    monkeypatch.setattr(csv_tables, "table_text", noted)
    client.get("/scans", headers=CSV)
    assert made == ["thread"]


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def test_cells_follow_rfc_4180_and_nested_values_have_their_own_columns():
    document = {"place": {"value": 1.5, "parts": []}, "rows": [{"value": None, "parts": [1, 2], "open_": {"a": 2.0}}]}
    assert table_text(document, Outer, ["rows"], ("place_value",)) == (
        "place_value,value,parts,open__a\r\n1.5,,1;2,2.0\r\n"
    )
    assert csv_text(["a"], [["x\r\ny"], [True], ['"']]) == 'a\r\n"x\r\ny"\r\ntrue\r\n""""\r\n'
