"""Probabilities over HTTP, against those that the model gave: places, boxes, polygons, pictures and files."""

import io
from datetime import timedelta

import netCDF4
import numpy as np
import pytest
import shapely
from PIL import Image

from core.colours import CHANCE_COLOURS, NO_DATA, RAIN_COLOURS, colours
from core.exceedance import variable_name
from service.queries.areas import area_weights, checked_polygon
from tests.service.api_support import CHANCES_MMH, GRID, REFERENCE, as_stored, chance_of, fill

LON_HW, LAT_HW = GRID.lon_lat_HW()
WET = 41, 26
CORNER = 2, 3
"""A cell that no radar sees."""
THOUSANDTH = 1.1e-3
POLYGON = "POLYGON((9.2 50.3, 11.1 50.4, 10.4 51.9, 9.2 50.3))"


@pytest.fixture(scope="module")
def expected_NTHW(forecast):
    return np.stack([as_stored(chance_of(forecast.rate_mmh_THW, rate_mmh)) for rate_mmh in CHANCES_MMH])


def at(client, row, col, run="latest"):
    answer = client.get(f"/nowcast/{run}/point", params={"lat": LAT_HW[row, col], "lon": LON_HW[row, col]})
    assert answer.status_code == 200, answer.text
    return answer.json()["series"]


def around(rows, cols):
    block = np.s_[rows, cols]
    return f"{LON_HW[block].min()},{LAT_HW[block].min()},{LON_HW[block].max()},{LAT_HW[block].max()}"


def pixels(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))


def test_a_place_has_every_threshold_at_every_lead(client, forecast, expected_NTHW):
    for lead, row in enumerate(at(client, *WET)):
        assert [one["threshold_mmh"] for one in row["probabilities"]] == list(CHANCES_MMH)
        found = [one["probability"] for one in row["probabilities"]]
        np.testing.assert_allclose(found, expected_NTHW[:, lead, *WET], atol=THOUSANDTH)
        assert found == sorted(found, reverse=True)
    assert any(0.05 < one["probability"] < 0.95 for row in at(client, *WET) for one in row["probabilities"])


def test_what_is_not_known_is_null(client, forecast):
    for row in at(client, *CORNER):
        assert [one["probability"] for one in row["probabilities"]] == [None] * 3
    answer = client.get("/nowcast/latest/point?lat=40&lon=-74").json()
    assert answer["radar_coverage"] == "no coverage"
    for row in answer["series"]:
        assert [one["threshold_mmh"] for one in row["probabilities"]] == list(CHANCES_MMH)
        assert {one["probability"] for one in row["probabilities"]} == {None}


def test_a_baseline_has_no_probabilities_and_an_error_explains_it(client, service):
    baseline = service.forecast_stored(model="persistence")
    assert [row["probabilities"] for row in at(client, *WET, run=baseline.id)] == [[]] * 5
    document = client.get(f"/nowcast/{baseline.id}").json()
    assert (document["probability_thresholds_mmh"], document["links"]["probability"]) == ([], None)
    area = client.get(f"/nowcast/{baseline.id}/area", params={"polygon": POLYGON}).json()
    assert [lead["cell_probabilities"] for lead in area["leads"]] == [[]] * 5
    picture = client.get(f"/nowcast/{baseline.id}/image/30.png?probability_of=0.5")
    assert picture.status_code == 404
    assert "has no probabilities" in picture.json()["detail"]
    file = client.get(
        f"/nowcast/{baseline.id}/box", params={"bbox": "9,50,10,51"}, headers={"Accept": "application/netcdf"}
    )
    with netCDF4.Dataset("box.nc", memory=file.content) as dataset:
        assert "probability_of_exceedance" not in dataset.variables


def test_the_answer_lists_its_thresholds(client, forecast):
    document = client.get("/nowcast/latest").json()
    assert document["probability_thresholds_mmh"] == list(CHANCES_MMH)
    assert document["links"]["probability"] == f"/nowcast/{forecast.id}/image/{{lead}}.png{{?probability_of}}"


def test_a_box_has_the_probabilities_of_one_threshold_and_the_rates(client, expected_NTHW):
    bbox = around(slice(36, 46), slice(18, 30))
    body = client.get("/nowcast/latest/box", params={"bbox": bbox, "probability_of": 5}).json()
    plain = client.get("/nowcast/latest/box", params={"bbox": bbox}).json()
    block = np.s_[body["row"] : body["row"] + body["grid"]["height"], body["col"] : body["col"] + body["grid"]["width"]]
    for index, lead in enumerate(body["leads"]):
        np.testing.assert_allclose(lead["probability"], expected_NTHW[2, index][block], atol=THOUSANDTH)
        assert lead["rate_mmh"] == plain["leads"][index]["rate_mmh"]
        assert plain["leads"][index]["probability"] is None
    assert (body["probability_of"], plain["probability_of"]) == (5.0, None)


def test_a_box_without_radar_or_off_the_grid_is_null(client):
    corner = {"bbox": around(slice(1, 5), slice(1, 5)), "probability_of": 0.5}
    assert client.get("/nowcast/latest/box", params=corner).json()["leads"][0]["probability"][0][0] is None
    away = client.get("/nowcast/latest/box", params={"bbox": "-75,40,-74,41", "probability_of": 0.5})
    assert [lead["probability"] for lead in away.json()["leads"]] == [None] * 5
    wrong = client.get("/nowcast/latest/box", params={"bbox": "-75,40,-74,41", "probability_of": 3})
    assert wrong.status_code == 404


def test_the_file_of_a_box_has_all_thresholds(client, expected_NTHW):
    bbox = around(slice(36, 46), slice(18, 30))
    body = client.get("/nowcast/latest/box", params={"bbox": bbox}).json()
    file = client.get("/nowcast/latest/box", params={"bbox": bbox}, headers={"Accept": "application/netcdf"}).content
    rows, cols = (
        slice(body["row"], body["row"] + body["grid"]["height"]),
        slice(body["col"], body["col"] + body["grid"]["width"]),
    )
    with netCDF4.Dataset("box.nc", memory=file) as dataset:
        for mmh, expected_THW in zip(CHANCES_MMH, expected_NTHW, strict=True):
            chance = dataset[variable_name(mmh)]
            assert (chance.dimensions, chance.threshold_mmh) == (("time", "y", "x"), mmh)
            np.testing.assert_allclose(chance[:], expected_THW[:, rows, cols], atol=THOUSANDTH)


def test_an_area_names_the_probabilities_of_its_cells(client, forecast, expected_NTHW):
    weights = area_weights(forecast.grid, checked_polygon(shapely.from_wkt(POLYGON)))
    assert weights.block is not None
    leads = client.get("/nowcast/latest/area", params={"polygon": POLYGON}).json()["leads"]
    touched_HW = weights.km2_HW > 0
    for index, lead in enumerate(leads):
        for number, one in enumerate(lead["cell_probabilities"]):
            chance_HW = expected_NTHW[number, index, *weights.block.slices]
            assert one["threshold_mmh"] == CHANCES_MMH[number]
            mean = float((chance_HW * weights.km2_HW).sum() / weights.km2_HW.sum())
            assert one["mean"] == pytest.approx(mean, abs=THOUSANDTH)
            assert one["largest"] == pytest.approx(float(chance_HW[touched_HW].max()), abs=THOUSANDTH)
    assert 0 < leads[0]["cell_probabilities"][0]["mean"] < leads[0]["cell_probabilities"][0]["largest"]
    away = client.get("/nowcast/latest/area", params={"polygon": "POLYGON((-75 40, -74 40, -74 41, -75 40))"}).json()
    assert away["leads"][0]["cell_probabilities"][0] == {"threshold_mmh": 0.1, "mean": None, "largest": None}


def test_a_picture_of_probability_by_hand(client, forecast, expected_NTHW):
    answer = client.get("/nowcast/latest/image/60.png?probability_of=0.5")
    picture = pixels(answer)
    scale = picture.shape[0] // GRID.height
    middle = picture[scale // 2 :: scale, scale // 2 :: scale]
    edges = [edge for edge, _ in CHANCE_COLOURS]
    chance_HW = np.round(expected_NTHW[1, 1].astype(np.float64), 3)
    clear_HW = np.abs(chance_HW[..., None] - edges).min(axis=-1) > THOUSANDTH
    np.testing.assert_array_equal(middle[clear_HW], colours(expected_NTHW[1, 1], CHANCE_COLOURS)[clear_HW])
    assert middle[CORNER].tolist() == list(NO_DATA)
    assert middle[70, 58, 3] == 0, "improbable is transparent"
    other = client.get("/nowcast/latest/image/60.png?probability_of=5")
    assert other.headers["etag"] != answer.headers["etag"]
    assert (pixels(other) != picture).any()
    assert (pixels(client.get("/nowcast/latest/image/60.png")) != picture).any()
    held = client.get(
        "/nowcast/latest/image/60.png?probability_of=0.5", headers={"If-None-Match": answer.headers["etag"]}
    )
    assert held.status_code == 304


def test_a_threshold_that_is_not_there_is_answered_with_those_that_are(client, forecast):
    for path in ("image/60.png?", "box?bbox=9,50,10,51&"):
        answer = client.get(f"/nowcast/latest/{path}probability_of=2")
        assert answer.status_code == 404
        assert "expected one of 0.1, 0.5, 5 mm/h" in answer.json()["detail"]
        for wrong in ("0", "-1", "nan", "inf", "much"):
            assert client.get(f"/nowcast/latest/{path}probability_of={wrong}").status_code == 422
    assert client.get("/nowcast/latest/image/31.png?probability_of=0.5").status_code == 404


def test_the_map_has_a_legend_of_probability(client, forecast):
    legend = client.get("/nowcast/latest/map").json()["probability_legend"]
    assert [step["from_probability"] for step in legend] == [edge for edge, _ in CHANCE_COLOURS]
    assert not {colour for _, colour in CHANCE_COLOURS} & {colour for _, colour in RAIN_COLOURS}
    brightness = [sum(colour[:3]) for _, colour in CHANCE_COLOURS]
    assert brightness == sorted(brightness, reverse=True), "more probable is darker, so that grey print shows it too"


def test_the_cell_off_by_a_run_is_another(client, service, expected_NTHW):
    """What is held in memory is of one forecast: a newer run's place has the newer run's probabilities."""
    fill(service, REFERENCE + timedelta(minutes=30))
    newer = service.forecast_stored()
    found = [one["probability"] for row in at(client, *WET, run=newer.id) for one in row["probabilities"]]
    expected = np.stack([as_stored(chance_of(newer.rate_mmh_THW, rate_mmh)) for rate_mmh in CHANCES_MMH])[
        :, :, *WET
    ].T.ravel()
    np.testing.assert_allclose(found, expected, atol=THOUSANDTH)
