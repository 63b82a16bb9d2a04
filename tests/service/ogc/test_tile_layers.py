"""The layers of the tiles: sums of an hour and ensemble members, and the list that names all of them."""

import io
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from core.colours import CHANCE_COLOURS, RAIN_COLOURS, css
from core.times import iso, utc
from service.forecasts.member_maker import make_members
from service.forecasts.members import member_field, read_members
from tests.service.api_support import REFERENCE, STEP, fill, frames_at, running, service_at, window_times
from tests.service.ogc.test_tiles import ZOOM, class_of, pixel, tile_of

MEMBERS = 3
HOUR = 2 * STEP


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    service = service_at(tmp_path_factory.mktemp("home"))
    fill(service)
    forecast = service.forecast_stored()
    with running(service) as client:
        before = layer(client, "member-{member}")
        assert (before["members"], before["forecast_times"]) == ([], [])
        make_members(forecast, MEMBERS)
        yield client


def layer(client: TestClient, name: str) -> dict[str, Any]:
    (found,) = [one for one in client.get("/tiles").json()["layers"] if one["name"] == name]
    return dict(found)


def depth_mm(rates_mmh: list[float]) -> float:
    """The trapezoid rule by hand, half an hour between two rates."""
    return sum((a + b) / 2 / 2 for a, b in pairwise(rates_mmh))


def test_the_list_names_every_layer_with_its_times_and_colours(client):
    answer = client.get("/tiles")
    found = {one["name"]: one for one in answer.json()["layers"]}
    assert list(found) == [
        "rainfall_rate",
        *(f"probability_of_exceedance_{mmh}" for mmh in ("0.1", "0.5", "5")),
        "sum60",
        "past60",
        "member-{member}",
    ]
    leads = [REFERENCE + STEP * (n + 1) for n in range(5)]
    rate = found["rainfall_rate"]
    assert [utc(time) for time in rate["observed_times"]] == window_times()
    assert [utc(time) for time in rate["forecast_times"]] == leads
    assert rate["legend"][0] == {"from_value": 0.1, "colour": css(RAIN_COLOURS[0][1])}
    assert found["probability_of_exceedance_0.5"]["legend"][0]["colour"] == css(CHANCE_COLOURS[0][1])
    assert [utc(time) for time in found["sum60"]["forecast_times"]] == [REFERENCE, *leads[:3]]
    assert found["sum60"]["period_minutes"] == [0, 60]
    assert [utc(time) for time in found["past60"]["observed_times"]] == window_times()[2:]
    assert found["member-{member}"]["members"] == [1, 2, 3]
    again = client.get("/tiles", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_every_listed_tile_is_there(client):
    x, y, *_ = tile_of(51.0, 10.0)
    for one in client.get("/tiles").json()["layers"]:
        for time in one["observed_times"][-1:] + one["forecast_times"][-1:]:
            path = one["tiles"].format(time=time, z=ZOOM, x=x, y=y, member=MEMBERS)
            assert client.get(path).status_code == 200, path


@pytest.mark.parametrize("col", [20, 24, 28])
def test_the_next_hour_is_the_sum_of_scan_and_leads(client, col: int):
    (frame,) = frames_at([REFERENCE])
    row_W = frame.rate_mmh_HW[40]
    by_step = [float(row_W[col - 3 * step]) for step in range(6)]  # `Shift`: 3 columns a step
    assert pixel(client, "sum60", iso(REFERENCE), 40, col) == class_of(depth_mm(by_step[:3]))
    assert pixel(client, "sum60", iso(REFERENCE + 3 * STEP), 40, col) == class_of(depth_mm(by_step[3:6]))


def test_the_past_hour_is_the_sum_of_the_scans(client):
    frames = frames_at([REFERENCE - HOUR, REFERENCE - STEP, REFERENCE])
    expected = class_of(depth_mm([float(frame.rate_mmh_HW[40, 18]) for frame in frames]))
    assert expected[3] == 255
    assert pixel(client, "past60", iso(REFERENCE), 40, 18) == expected
    assert pixel(client, "past60", iso(REFERENCE), 50, 50) == (0, 0, 0, 0)


def test_an_hour_with_unknown_rates_is_neither_dry_nor_rain(client):
    for name in ("sum60", "past60"):
        assert pixel(client, name, iso(REFERENCE), 4, 4)[:3] in ((128,) * 3, (88,) * 3)


def test_a_member_is_drawn_as_its_file_has_it(client):
    forecast = client.app.state.backend.service.latest()
    members_MLHW = read_members(forecast)
    assert members_MLHW is not None
    for member in range(MEMBERS):
        np.testing.assert_array_equal(member_field(forecast, member, 1), members_MLHW[member, 1])
    x, y, *_ = tile_of(51.0, 10.0)
    paths = [f"/tiles/member-{n}/{iso(REFERENCE + STEP)}/{ZOOM}/{x}/{y}.png" for n in (1, 2)]
    first, second = (np.asarray(Image.open(io.BytesIO(client.get(path).content)).convert("RGBA")) for path in paths)
    assert (first[..., 3] > 0).any()
    assert (first != second).any()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"member-4/{iso(REFERENCE + STEP)}", "expected member-1 to member-3, got 'member-4'"),
        (f"member-0/{iso(REFERENCE + STEP)}", "expected member-1 to member-3"),
        (f"member-00019999/{iso(REFERENCE + STEP)}", "expected member-1 to member-3"),
        (f"member-x/{iso(REFERENCE + STEP)}", "expected member-1 to member-3"),
        (f"member-1/{iso(REFERENCE)}", "expected a lead of"),
        (f"sum60/{iso(REFERENCE + 4 * STEP)}", "expected a start of 0, 30, 60, 90 minutes"),
        (f"sum60/{iso(REFERENCE - STEP)}", "expected a start of 0, 30, 60, 90 minutes"),
        (f"past60/{iso(REFERENCE - 3 * STEP)}", "not every scan of RY in the hour up to"),
        (f"past60/{iso(REFERENCE + STEP)}", "no scan of RY"),
    ],
)
def test_a_layer_that_is_not_there_is_a_clear_error(client, path: str, expected: str):
    answer = client.get(f"/tiles/{path}/3/0/0.png")
    assert answer.status_code == 404
    assert expected in answer.json()["detail"]
