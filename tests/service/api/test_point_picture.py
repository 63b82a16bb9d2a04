"""The forecast of a place as a picture and as a sentence."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from starlette.testclient import TestClient

from core.colours import RAIN_COLOURS
from service.api.point_picture import DARK, LIGHT, Alarm, PointPicture
from service.schemas.places import PointOut
from service.schemas.sentence import Language, hour_sum, sentence
from tests.service.api_support import fill, running, service_at
from tests.service.point_documents import AMOUNTS, DRY, WET, point_of, rain


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    service = service_at(tmp_path_factory.mktemp("home"), invented=True)
    fill(service)
    service.forecast_stored()
    with running(service) as client:
        yield client


@pytest.mark.parametrize(
    ("more", "rates", "english", "german"),
    [
        ({}, DRY, "Dry until 16:30.", "Trocken bis 16:30."),
        ({"outlook": "rain"}, WET, "Probably dry until 16:30.", "Wohl trocken bis 16:30."),
        ({"outlook": "unknown"}, DRY, "Not known: rain can flow in", "Nicht bekannt: Regen kann"),
        ({"outlook": "unknown"}, [None] * 30, "No radar covers this place.", "Kein Radar sieht diesen Ort."),
        (
            {"next_rain": rain(25, 0.8, 70)},
            WET,
            "Rain from 14:25 to about 15:10, 80 %.",
            "Regen von 14:25 bis etwa 15:10, 80 %.",
        ),
        ({"next_rain": rain(25, None, None)}, WET, "Rain from about 14:25, possible.", "Regen ab etwa 14:25, möglich."),
        ({"next_rain": rain(0, 1.0, 70)}, WET, "Rain now, until about 15:10.", "Regen jetzt, bis etwa 15:10."),
        ({"next_rain": rain(0, 1.0, None)}, WET, "Rain now, at least until 16:30.", "Regen jetzt, mindestens bis"),
    ],
)
def test_a_sentence_has_start_and_end(more: dict[str, Any], rates: list[Any], english: str, german: str):
    rates = (rates + DRY)[:30]
    point = point_of(rates, **more)
    assert sentence(point).startswith(english)
    assert sentence(point, "de").startswith(german)


def test_the_sum_of_the_hour_is_a_range():
    point = point_of(WET, amounts=AMOUNTS)
    assert (hour_sum(point), hour_sum(point, "de")) == ("Next hour: 0.4 to 2.1 mm", "Nächste Stunde: 0,4 bis 2,1 mm")
    assert hour_sum(point_of(WET)) is None
    little = {**AMOUNTS[0], "q10": 0.0, "q50": 0.0, "q90": 0.04}
    assert hour_sum(point_of(DRY, amounts=[little])) is None  # not "0.0 to 0.0 mm"


def drawn(point: PointOut, language: Language = "en", width: int = 300, *, dark: bool = False) -> Any:
    png = PointPicture(point, language, width, dark=dark).png()
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def share(picture: Any, colour: tuple[int, ...]) -> float:
    return float((picture == np.array(colour[:3])).all(axis=-1).mean())


def test_bars_have_the_colours_of_the_map_and_dry_has_none():
    wet, dry = drawn(point_of(WET)), drawn(point_of(DRY))
    assert wet.shape[1] == 300
    for rate_mmh, colour in RAIN_COLOURS[:6]:
        assert share(wet, colour) > 0, rate_mmh
        assert share(dry, colour) == 0, rate_mmh


def test_unknown_leads_are_marked_and_the_ground_may_be_dark():
    known, unknown = drawn(point_of(DRY)), drawn(point_of(DRY, known=10))
    assert share(unknown, LIGHT.unknown) > 0.01 > share(known, LIGHT.unknown)
    dark = drawn(point_of(WET), dark=True)
    assert share(dark, DARK.paper) > 0.5
    assert share(dark, LIGHT.paper) == 0


def test_old_data_are_loud():
    assert share(drawn(point_of(WET)), LIGHT.alarm) == 0
    assert share(drawn(point_of(WET, stale=True, status="stale")), LIGHT.alarm) > 0


@pytest.mark.parametrize(
    ("language", "alarm", "expected"),
    [("en", None, "Radar 14:00, 1 Jun 2024"), ("de", "replayed", "Radar 14:00, 1.6.2024")],
)
def test_the_line_below_names_day_and_year(language: Language, alarm: Alarm, expected: str, monkeypatch):
    lines: list[str] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda self, xy, text, *args, **more: lines.append(text))
    PointPicture(point_of(WET), language, 480, dark=False, alarm=alarm).png()
    assert [line for line in lines if line.startswith(expected)] != [], lines
    assert ("WIEDERGABE: nicht das jetzige Wetter" in lines) == (alarm == "replayed")


def test_no_line_is_wider_than_the_picture(monkeypatch):
    ends: list[float] = []

    def drawn_text(self: Any, xy: tuple[float, float], text: str, *args: Any, **more: Any) -> None:
        font = more.get("font") or args[-1]
        if "anchor" not in more:  # the lines above the bars
            ends.append(xy[0] + font.getlength(text))

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", drawn_text)
    PointPicture(point_of(WET), "de", 200, dark=False, alarm="replayed").png()
    assert 100 < max(ends) <= 200


def test_a_picture_of_a_replay_is_marked(tmp_path, monkeypatch):
    service = service_at(tmp_path / "home", source_kind="replay")
    fill(service)
    service.forecast_stored()
    alarms: list[Alarm] = []

    class Watched(PointPicture):
        def __init__(self, *args: Any, alarm: Alarm, **more: Any) -> None:
            alarms.append(alarm)
            super().__init__(*args, alarm=alarm, **more)

    monkeypatch.setattr("service.api.points.PointPicture", Watched)
    with running(service) as client:
        assert client.get("/nowcast/latest/point.png", params={"lat": 51.0, "lon": 10.0}).status_code == 200
    assert alarms == ["replayed"]


def test_it_is_served_as_an_image_that_may_be_kept(client):
    query = {"lat": 51.0, "lon": 10.0, "lang": "de", "width": 320}
    answer = client.get("/nowcast/latest/point.png", params=query)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert Image.open(io.BytesIO(answer.content)).width == 320
    assert "max-age" in answer.headers["cache-control"]
    held = {"If-None-Match": answer.headers["etag"]}
    assert client.get("/nowcast/latest/point.png", params=query, headers=held).status_code == 304
    assert client.get("/nowcast/latest/point.png", params=query | {"dark": True}, headers=held).status_code == 200
    assert client.get("/nowcast/latest/point.png", params={"lat": 10, "lon": 10}).status_code == 200  # no radar there


@pytest.mark.parametrize(
    ("query", "expected"),
    [({"lat": 95}, "lat within -90 to 90"), ({"lang": "fr"}, "lang"), ({"width": 5000}, "width"), ({"tz": "x"}, "tz")],
)
def test_a_wrong_picture_is_a_clear_error(client, query: dict[str, Any], expected: str):
    answer = client.get("/nowcast/latest/point.png", params={"lat": 51.0, "lon": 10.0} | query)
    assert answer.status_code == 422
    assert expected in answer.json()["detail"]
