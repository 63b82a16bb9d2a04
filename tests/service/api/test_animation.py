"""The animated picture of a forecast: a frame for each scan and lead, in every format, with loud words on old data."""

import io
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from core.colours import RAIN_COLOURS
from service.queries.animation import ALARM, AnimationStyle, animation
from tests.service.api_support import NOW, fill, running, service_at

SCANS_AND_LEADS = 10


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    service = service_at(tmp_path_factory.mktemp("home"))
    fill(service)
    service.forecast_stored()
    with running(service) as client:
        yield client


@pytest.mark.parametrize("kind", ["webp", "gif", "png"])
def test_every_format_has_a_frame_for_each_scan_and_lead(client, kind: str):
    answer = client.get(f"/nowcast/latest/animation.{kind}", params={"width": 240})
    assert (answer.status_code, answer.headers["content-type"]) == (200, f"image/{kind}"), answer.text
    picture = Image.open(io.BytesIO(answer.content))
    assert (getattr(picture, "n_frames", 1), picture.width) == (SCANS_AND_LEADS, 240)
    held = {"If-None-Match": answer.headers["etag"]}
    assert client.get(f"/nowcast/latest/animation.{kind}", params={"width": 240}, headers=held).status_code == 304


def test_the_rain_moves_from_scan_to_lead(client):
    content = client.get("/nowcast/latest/animation.png", params={"width": 240}).content
    picture, columns = Image.open(io.BytesIO(content)), []
    heavy = np.array(RAIN_COLOURS[4][1][:3])
    for number in range(SCANS_AND_LEADS):
        picture.seek(number)
        wet_HW = (np.asarray(picture.convert("RGB")) == heavy).all(axis=-1)
        columns.append(float(np.nonzero(wet_HW)[1].mean()))
    assert columns == sorted(columns)
    assert columns[-1] - columns[0] > 80  # nine steps of three columns, four pixels each


def test_old_data_are_loud(tmp_path: Path):
    service = service_at(tmp_path, clock=lambda: NOW + timedelta(hours=3))
    fill(service)
    forecast = service.forecast_stored()
    loud, usual = (
        np.asarray(Image.open(io.BytesIO(animation(forecast, AnimationStyle("png", 240, "UTC", "Radar.", words)))))
        for words in ("OLD DATA", "")
    )
    assert (loud[..., :3] == np.array(ALARM)).all(axis=-1).any()
    assert not (usual[..., :3] == np.array(ALARM)).all(axis=-1).any()


def test_a_replay_is_called_so(tmp_path: Path):
    service = service_at(tmp_path, source_kind="replay")
    fill(service)
    service.forecast_stored()
    with running(service) as client:
        content = client.get("/nowcast/latest/animation.png", params={"width": 240}).content
    assert (np.asarray(Image.open(io.BytesIO(content)).convert("RGB")) == np.array(ALARM)).all(axis=-1).any()


@pytest.mark.parametrize(
    ("kind", "query", "expected"),
    [("mp4", {}, "kind"), ("gif", {"width": 50}, "width"), ("gif", {"tz": "Mars/Base"}, "IANA time zone")],
)
def test_a_wrong_animation_is_a_clear_error(client, kind: str, query: dict[str, object], expected: str):
    answer = client.get(f"/nowcast/latest/animation.{kind}", params=query)
    assert answer.status_code == 422
    assert expected in answer.json()["detail"]
