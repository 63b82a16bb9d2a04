"""The way of a forecast through the API: made, found, read as numbers, pictures and files, and scored."""

import io
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from starlette.testclient import TestClient

from core.settings import Settings
from service.api.views import pictures_out
from service.forecasts.packing import rounded_rate
from tests.service.api_support import (
    GRID,
    NOW,
    REFERENCE,
    STEP,
    fill,
    frames_at,
    lead_times,
    netcdf,
    rain_THW,
    running,
    service_at,
    window_times,
)

NETCDF = "application/netcdf"


@pytest.fixture(scope="module")
def forecast(client: TestClient) -> dict[str, Any]:
    answer = client.post("/nowcast", json={"reference_time": None, "model": "default", "verify": True})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


@pytest.fixture(scope="module")
def upload(client: TestClient, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("files")
    files = [
        ("frames", ("five.nc", netcdf(folder, window_times()))),
        ("observations", ("next.nc", netcdf(folder, lead_times()))),
    ]
    answer = client.post("/nowcast", files=files)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_an_answer_from_scans_has_all_fields_of_the_design(forecast):
    UUID(forecast["forecast_id"])
    assert forecast["status"] == "ok"
    assert forecast["stale"] is False
    assert forecast["reference_time"] == "2024-06-01T12:00:00Z"
    assert forecast["data_age_s"] == (NOW - REFERENCE).total_seconds()
    assert forecast["model"] == {"name": "default", "version": "7"}
    assert (forecast["grid"]["height"], forecast["grid"]["width"]) == GRID.shape
    assert forecast["radar_coverage"] == "ok"
    assert forecast["verification"] is None  # before the first observation of any forecast
    assert forecast["input_times"][-1] == forecast["reference_time"]


def test_every_forecast_links_to_the_card_of_its_model(client, forecast):
    about = client.get(forecast["links"]["about"]).json()
    (found,) = (model for model in about["models"] if model["name"] == "default")
    assert found["card"]


def test_leads_are_the_forecast_in_numbers(forecast):
    leads = forecast["leads"]
    moved_HW = np.roll(rounded_rate(np.nan_to_num(rain_THW([REFERENCE])[0])), 3, axis=1)
    moved_HW[:8, :8] = np.nan
    assert [lead["lead_minutes"] for lead in leads] == [30, 60, 90, 120, 150]
    assert leads[0]["valid_time"] == "2024-06-01T12:30:00Z"
    assert leads[0]["max"] == pytest.approx(np.nanmax(moved_HW), rel=1e-6)
    assert leads[0]["mean"] == pytest.approx(np.nanmean(moved_HW), rel=1e-5)
    assert leads[0]["wet_fraction"] == pytest.approx((moved_HW >= 0.1).sum() / np.isfinite(moved_HW).sum())
    assert leads[0]["coverage"] == pytest.approx(1 - 64 / (72 * 60))


def test_the_same_input_gives_the_same_id(client, forecast):
    again = client.post("/nowcast", json={"reference_time": "2024-06-01T14:00:00+02:00"}).json()
    assert again["forecast_id"] == forecast["forecast_id"]
    assert again["issued_at"] == forecast["issued_at"]


def test_an_empty_post_means_the_defaults(client, forecast):
    assert client.post("/nowcast").json()["forecast_id"] == forecast["forecast_id"]


def test_verify_false_leaves_the_scores_out(client, upload):
    assert upload["verification"] is not None
    answer = client.post("/nowcast", json={"verify": False})
    assert answer.json()["verification"] is None


def test_upload_is_scored_against_its_observations(client, upload):
    assert upload["verification"]["kind"] == "this_forecast"
    observed = xr.open_dataset(io.BytesIO(client.get(upload["links"]["observations"]).content), engine="h5netcdf")
    predicted = xr.open_dataset(io.BytesIO(client.get(upload["links"]["file"]).content), engine="h5netcdf")
    observed_THW, predicted_THW = observed.rainfall_rate.values, predicted.rainfall_rate.values
    both_THW = np.isfinite(observed_THW) & np.isfinite(predicted_THW)
    scores = upload["verification"]["scores"]
    assert {row["model"] for row in scores} == {"default", "persistence", "extrapolation"}
    for row in [row for row in scores if row["model"] == "default"]:
        index, threshold = row["lead_minutes"] // 30 - 1, row["threshold_mmh"]
        wet_HW, forecast_HW = observed_THW[index] >= threshold, predicted_THW[index] >= threshold
        counts = [
            (both_THW[index] & a).sum()
            for a in (wet_HW & forecast_HW, wet_HW & ~forecast_HW, ~wet_HW & forecast_HW, ~wet_HW & ~forecast_HW)
        ]
        assert [row[k] for k in ("hits", "misses", "false_alarms", "correct_negatives")] == counts
        hits, misses, false_alarms = counts[:3]
        assert row["csi"] == pytest.approx(hits / (hits + misses + false_alarms))


def test_scores_of_the_three_share_their_cells(upload):
    rows = upload["verification"]["scores"]
    for key in {(row["lead_minutes"], row["threshold_mmh"]) for row in rows}:
        same = [row for row in rows if (row["lead_minutes"], row["threshold_mmh"]) == key]
        assert len({row["hits"] + row["misses"] for row in same}) == 1
        assert {sum(row[k] for k in ("hits", "misses", "false_alarms", "correct_negatives")) for row in same} == {
            72 * 60 - 64
        }


def test_an_old_upload_is_served_as_stale(client, tmp_path):
    old = [time.replace(year=2018) for time in window_times()]
    answer = client.post("/nowcast", files={"frames": ("old.nc", netcdf(tmp_path, old))}).json()
    assert answer["stale"] is True
    assert answer["data_age_s"] > 5 * 365 * 24 * 3600
    assert answer["origin"] == "upload"
    assert answer["links"]["observations"] is None


def test_frames_may_come_as_separate_files_in_any_order_and_under_any_name(client, upload, tmp_path):
    files = [("frames", (f"{i}.hdf5", netcdf(tmp_path, [time]))) for i, time in enumerate(reversed(window_times()))]
    answer = client.post("/nowcast", files=files, data={"model": "default"})
    assert answer.json()["forecast_id"] == upload["forecast_id"]


def test_an_upload_never_becomes_the_latest(client, forecast, upload):
    latest = client.get("/nowcast/latest").json()
    assert latest["forecast_id"] == forecast["forecast_id"] != upload["forecast_id"]
    assert latest["origin"] == "scans"


def test_every_link_of_an_answer_leads_somewhere(client, upload):
    links = upload["links"]
    pictures = links["pictures"]
    assert [p["lead_minutes"] for p in pictures] == [-120, -90, -60, -30, 0, 30, 60, 90, 120, 150]
    for href in [links["self"], links["file"], links["map"], links["observations"], *(p["href"] for p in pictures)]:
        assert client.get(href).status_code == 200, href
    point = links["point"].replace("{?lat,lon}", "?lat=51&lon=9")
    assert client.get(point).json()["forecast_id"] == upload["forecast_id"]


@pytest.mark.parametrize("kind", [NETCDF, "application/x-netcdf", f"text/html;q=0.9, {NETCDF}, application/json;q=0.1"])
def test_netcdf_on_request(client, forecast, kind):
    for answer in (
        client.get("/nowcast/latest", headers={"Accept": kind}),
        client.post("/nowcast", headers={"Accept": kind}),
    ):
        assert answer.headers["content-type"] == NETCDF
        file = xr.open_dataset(io.BytesIO(answer.content), engine="h5netcdf")
        assert file.attrs["forecast_id"] == forecast["forecast_id"]
        assert file.rainfall_rate.shape == (5, *GRID.shape)


def test_input_frames_are_as_far_apart_as_in_the_record(service, forecast):
    """A scan that is two minutes late says nothing of the cadence."""
    stored = service.get(forecast["forecast_id"])
    late = stored.reference_time - timedelta(minutes=3)
    short = replace(stored, cadence_minutes=5, input_times=(None, None, late, stored.reference_time))
    observed = [one.lead_minutes for one in pictures_out(short, "") if one.kind == "observed"]
    assert observed == [-15, -10, -5, 0]


def test_pictures_show_the_field_with_north_on_top(client, forecast):
    picture = Image.open(io.BytesIO(client.get(f"/nowcast/{forecast['forecast_id']}/image/30.png").content))
    scale = picture.width // GRID.width
    rgba = np.asarray(picture.convert("RGBA"))[scale // 2 :: scale, scale // 2 :: scale]
    assert rgba.shape == (*GRID.shape, 4)
    red, green, blue, opacity = rgba[2, 2]
    assert red == green == blue
    assert opacity > 0  # no radar data: grey
    assert rgba[10, 50, 3] == 0  # dry: transparent
    assert rgba[40, 23, 3] == 255  # the shower, three columns further


def test_observed_pictures_are_the_window(client, forecast):
    first = client.get(f"/nowcast/{forecast['forecast_id']}/observed/0.png").content
    newest = client.get(f"/nowcast/{forecast['forecast_id']}/observed/4.png").content
    assert first[:8] == newest[:8] == b"\x89PNG\r\n\x1a\n"
    assert first != newest


def test_point_gives_the_series_of_its_cell(client, forecast):
    row, col = 40, 23
    lon_HW, lat_HW = GRID.lon_lat_HW()
    answer = client.get("/nowcast/latest/point", params={"lat": lat_HW[row, col], "lon": lon_HW[row, col]}).json()
    assert (answer["row"], answer["col"]) == (row, col)
    assert answer["radar_coverage"] == "ok"
    shower_HW = rounded_rate(rain_THW([REFERENCE])[0])
    expected = [shower_HW[row, col - 3 * step] for step in range(1, 6)]
    assert [lead["rate_mmh"] for lead in answer["series"]] == pytest.approx(expected)
    assert answer["next_rain_start"] == "2024-06-01T12:30:00Z"
    assert answer["outlook"] == "rain"


def test_a_place_off_the_grid_is_no_error(client, forecast):
    answer = client.get("/nowcast/latest/point", params={"lat": -33.9, "lon": 151.2})
    assert answer.status_code == 200
    body = answer.json()
    assert body["radar_coverage"] == "no coverage"
    assert body["row"] is body["col"] is body["next_rain_start"] is None
    assert [lead["rate_mmh"] for lead in body["series"]] == [None] * 5
    assert body["outlook"] == "unknown"


def test_a_place_that_no_radar_sees_is_never_dry(client, forecast):
    lon_HW, lat_HW = GRID.lon_lat_HW()
    body = client.get("/nowcast/latest/point", params={"lat": lat_HW[2, 2], "lon": lon_HW[2, 2]}).json()
    assert body["radar_coverage"] == "no coverage"
    assert body["outlook"] == "unknown"


def test_validators_save_the_second_answer(client, forecast):
    for path in (
        "/nowcast/latest",
        "/nowcast/latest/file.nc",
        "/nowcast/latest/image/60.png",
        "/nowcast/latest/point?lat=51&lon=9",
    ):
        first = client.get(path)
        assert forecast["forecast_id"] in first.headers["etag"]
        assert {"last-modified", "cache-control", "expires"} <= set(first.headers)
        second = client.get(path, headers={"If-None-Match": f'"other", {first.headers["etag"]}'})
        assert (second.status_code, second.content) == (304, b"")
        assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_json_and_file_of_one_address_have_their_own_validators(client, forecast):
    json_tag = client.get("/nowcast/latest").headers["etag"]
    answer = client.get("/nowcast/latest", headers={"Accept": NETCDF, "If-None-Match": json_tag})
    assert answer.status_code == 200
    assert answer.headers["vary"] == "Accept"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/livez",
        "/readyz",
        "/models",
        "/scans",
        "/verification",
        "/nowcast/latest",
        "/nowcast/latest/file.nc",
        "/nowcast/latest/image/30.png",
    ],
)
def test_head_is_get_without_a_body(client, forecast, path):
    got, head = client.get(path), client.head(path)
    assert head.status_code == got.status_code == 200
    assert head.content == b""
    assert head.headers["content-type"] == got.headers["content-type"]


def test_models_name_what_a_post_may_ask_for(client):
    models = {model["name"]: model for model in client.get("/models").json()["models"]}
    assert {"default", "persistence", "extrapolation"} <= set(models)
    assert models["default"]["default"] is True
    assert models["persistence"]["baseline"] is True
    assert models["default"]["card"] == {"licence": "Apache-2.0"}


def test_scans_are_listed_newest_first(client, forecast):
    body = client.get("/scans", params={"limit": 2, "product": "RY"}).json()
    assert body["count"] == 5
    assert [scan["valid_time"] for scan in body["scans"]] == ["2024-06-01T12:00:00Z", "2024-06-01T11:30:00Z"]
    assert body["scans"][0]["coverage"] == pytest.approx(1 - 64 / (72 * 60))
    assert client.get("/scans", params={"end": "2024-06-01T10:30:00"}).json()["count"] == 2


def test_the_state_of_ingest_is_reported(tmp_path: Path):
    service = service_at(tmp_path, clock=lambda: NOW)
    fill(service)
    service.store.quarantine(b"no radar file", "x.bin", "no radar file", kind="format")
    beat = {"updated_at": "2024-06-01T12:01:00Z", "paused_since": "2024-06-01T12:00:30Z", "paused": "the disk is full"}
    (tmp_path / "ingest-status.json").write_text(json.dumps(beat))
    with running(service) as client:
        body = client.get("/ingest").json()
    assert body["rejected"] == {"format": 1}
    assert body["worker"] == beat
    assert body["warnings"][0] == "paused since 2024-06-01T12:00:30Z: the disk is full"
    (product,) = body["products"]
    assert (product["product"], product["newest"]) == ("RY", "2024-06-01T12:00:00Z")
    assert product["cadence_minutes"] == 30
    assert product["frozen"] is False


def test_rolling_scores_appear_when_what_followed_is_stored(tmp_path: Path):
    now = REFERENCE + 2 * STEP
    service = service_at(tmp_path, clock=lambda: now)
    fill(service)
    with running(service) as client:
        assert client.get("/verification").json()["scores"] == []
        first = client.post("/nowcast", json={}).json()
        for frame in frames_at(lead_times(count=2)):
            service.store.put(frame)
        assert service.verify_observed() > 0
        body = client.get("/verification", params={"period_hours": 24, "model": "default"}).json()
        assert {row["lead_minutes"] for row in body["scores"]} == {30, 60}
        assert {row["model"] for row in body["scores"]} == {"default", "persistence", "extrapolation"}
        undefined = [row for row in body["scores"] if row["hits"] + row["misses"] + row["false_alarms"] == 0]
        assert all(row["csi"] is None for row in undefined)
        again = client.get(f"/nowcast/{first['forecast_id']}").json()
        assert again["verification"]["kind"] == "this_forecast"
        newer = client.post("/nowcast", json={}).json()
        assert newer["reference_time"] == "2024-06-01T13:00:00Z"
        assert newer["verification"]["kind"] == "rolling_24h"


def test_a_stored_forecast_becomes_stale_and_its_validator_changes(tmp_path: Path):
    clock = [NOW]
    service = service_at(tmp_path, clock=lambda: clock[0])
    fill(service)
    with running(service) as client:
        client.post("/nowcast")
        fresh = client.get("/nowcast/latest")
        clock[0] = NOW + STEP
        later = client.get("/nowcast/latest", headers={"If-None-Match": fresh.headers["etag"]})
        assert fresh.json()["status"] == "ok"
        assert later.status_code == 200
        assert later.json()["status"] == "stale"
        assert later.json()["data_age_s"] > Settings().stale_after_s


def test_without_a_queue_a_wish_not_to_wait_is_served_at_once(client, forecast):
    answer = client.post("/nowcast", json={}, headers={"Prefer": "respond-async"})
    assert answer.status_code == 200
    assert "preference-applied" not in answer.headers
    assert answer.json()["forecast_id"] == forecast["forecast_id"]


def test_a_gap_is_reported(tmp_path: Path):
    service = service_at(tmp_path)
    for frame in frames_at([time for time in window_times() if time != REFERENCE - 2 * STEP]):
        service.store.put(frame)
    with running(service) as client:
        answer = client.post("/nowcast").json()
    assert answer["status"] == "degraded"
    assert any("11:00" in note for note in answer["notes"])
    assert answer["links"]["pictures"][2] == {
        "kind": "observed",
        "valid_time": "2024-06-01T11:00:00Z",
        "lead_minutes": -60,
        "href": None,
    }
