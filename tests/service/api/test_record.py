"""The record of earlier forecasts: how often probabilities were right, the forecasts of a day, their pictures."""

import io
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from core.times import utc
from service.forecasts.nowcast import NowcastService
from service.forecasts.probabilities import read_probabilities
from tests.service.api_support import (
    NOW,
    REFERENCE,
    fill,
    frames_at,
    lead_times,
    running,
    service_at,
)
from verification.counts import contingency

LATER = lead_times()[:2]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> NowcastService:
    """One forecast, of which two of five leads are observed and scored."""
    clock = [NOW]
    made = service_at(tmp_path_factory.mktemp("home"), clock=lambda: clock[0])
    fill(made)
    made.forecast_stored()
    clock[0] = LATER[-1] + timedelta(minutes=3)
    for frame in frames_at(LATER):
        made.store.put(frame)
    made.verify_observed()
    return made


@pytest.fixture(scope="module")
def client(service: NowcastService) -> Iterator[TestClient]:
    with running(service) as client:
        yield client


def record(client: TestClient, **query: Any) -> dict[str, Any]:
    answer = client.get("/verification/reliability", params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_the_record_is_that_of_the_stored_fields(client, service):
    """By hand: probabilities of the file against the frames that followed, in tenths."""
    newest, later = frames_at([REFERENCE, LATER[0]])
    groups = {(one["threshold_mmh"], one["to_minutes"]): one for one in record(client)["groups"]}
    assert set(groups) == {(mmh, lead) for mmh in (0.1, 0.5, 5.0) for lead in (30, 60)}
    group = groups[0.5, 30]
    both_HW = np.isfinite(later.rate_mmh_HW) & np.isfinite(newest.rate_mmh_HW)
    stored = read_probabilities(service.latest().path, [0])
    assert stored is not None
    stated_HW = stored.probability_NTHW[stored.thresholds_mmh.index(0.5), 0]
    stated_N, event_N = stated_HW[both_HW], later.rate_mmh_HW[both_HW] >= 0.5
    assert (group["cells"], group["events"]) == (stated_N.size, int(event_N.sum()))
    for one in group["bins"]:
        low, high = one["from_probability"], one["to_probability"]
        surely_N, maybe_N = ((stated_N > low + edge) & (stated_N < high - edge) for edge in (1e-3, -1e-3))
        assert surely_N.sum() <= one["cells"] <= maybe_N.sum()  # a probability on the edge of two tenths is in one
        assert event_N[surely_N].sum() <= one["events"] <= event_N[maybe_N].sum()
        assert one["observed"] == pytest.approx(one["events"] / one["cells"])
        assert one["from_probability"] <= one["stated"] <= one["to_probability"]
        assert one["enough"] == (one["cells"] >= 2000)
    assert sum(one["cells"] for one in group["bins"]) == group["cells"]


def test_an_empty_record_has_a_reason(client):
    found = record(client, end="2020-01-01T00:00:00Z", period_hours=24 * 30)
    assert (found["groups"], found["model"]) == ([], "default")
    assert "is scored" in found["empty_because"]


def test_the_archive_has_the_scores_of_each_observed_lead(client):
    answer = client.get("/verification/archive", params={"day": "2024-06-01", "threshold_mmh": 0.5})
    (one,) = answer.json()["forecasts"]
    assert utc(one["reference_time"]) == REFERENCE
    assert [lead["lead_minutes"] for lead in one["leads"]] == [30, 60, 90, 120, 150]
    (newest, observed) = frames_at([REFERENCE, LATER[0]])
    for name, cells in (("csi", 3), ("persistence", 0), ("extrapolation", 2)):
        moved_HW = np.where(
            np.isfinite(newest.rate_mmh_HW), np.roll(np.nan_to_num(newest.rate_mmh_HW), cells, 1), np.nan
        )
        counts = contingency(moved_HW, observed.rate_mmh_HW, 0.5)
        by_hand = counts.hits / (counts.hits + counts.misses + counts.false_alarms)
        assert one["leads"][0][name] == pytest.approx(by_hand, abs=0.02)
    assert one["leads"][0]["csi"] > one["leads"][0]["persistence"]
    last = one["leads"][-1]
    assert (last["csi"], last["observed"], last["cells"]) == (None, None, 0)
    assert not answer.json()["notes"]


def test_the_pictures_of_the_archive_are_there(client):
    (one,) = client.get("/verification/archive", params={"day": "2024-06-01"}).json()["forecasts"]
    lead = one["leads"][0]
    forecast, observed = (
        np.asarray(Image.open(io.BytesIO(client.get(lead[name]).content))) for name in ("forecast", "observed")
    )
    assert forecast.shape == observed.shape
    assert (observed[..., 3] > 0).any()
    answer = client.get(lead["observed"])
    assert client.get(lead["observed"], headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    missing = client.get(f"/nowcast/{one['forecast_id']}/observations/150.png")
    assert (missing.status_code, "no scan of RY" in missing.json()["detail"]) == (404, True)


def test_a_day_in_another_zone_begins_elsewhere(client):
    def count(day: str, tz: str) -> int:
        answer = client.get("/verification/archive", params={"day": day, "tz": tz}).json()
        assert answer["time_zone"] == tz
        return len(answer["forecasts"])

    assert count("2024-06-01", "UTC") == 1
    assert count("2024-06-02", "Pacific/Kiritimati") == 1
    assert count("2024-06-01", "Pacific/Kiritimati") == 0


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"day": "yesterday"}, "day"),
        ({"day": "1066-10-14"}, "expected a year from 1900 to 2199, got 1066"),
        ({"tz": "Europe/Atlantis"}, "expected an IANA time zone"),
        ({"threshold_mmh": 3}, "threshold_mmh: expected one of 0.1, 0.5, 5, got 3"),
        ({"every_minutes": 1}, "every_minutes"),
    ],
)
def test_a_wrong_day_is_a_clear_error(client, query: dict[str, Any], expected: str):
    answer = client.get("/verification/archive", params=query)
    assert answer.status_code == 422
    assert expected in answer.json()["detail"]


def test_the_times_of_a_place_may_be_in_its_own_zone(client):
    points = "/nowcast/latest/point", "/observed/point"
    for path in points:
        here = client.get(path, params={"lat": 51.0, "lon": 10.0, "tz": "auto"}).json()
        assert here["time_zone"] == "Europe/Berlin"
        assert here["series"][0]["valid_time"].endswith("+02:00")
    several = client.get(points[0], params={"lat": "51,60.2", "lon": "10,24.9", "tz": "auto"}).json()
    assert [one["time_zone"] for one in several] == ["Europe/Berlin", "Europe/Helsinki"]
    usual = client.get(points[0], params={"lat": 51.0, "lon": 10.0}).json()
    assert (usual["time_zone"], usual["place_time_zone"]) == ("UTC", "Europe/Berlin")
    at_sea = client.get(points[0], params={"lat": 0, "lon": -30}).json()
    assert at_sea["place_time_zone"].startswith("Etc/GMT")
