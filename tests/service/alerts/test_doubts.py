"""The notes of a rule that can raise no alert: outside the grid, without a radar, without a lead in its window."""

import pytest

from tests.service.api_support import fill, running, service_at

RULE = {"name": "Garden", "quantity": "rate", "threshold": 0.5}
PLACE = {"place": {"lat": 51.0, "lon": 10.0}}
WITHOUT_RADAR = {"place": {"lat": 54.5, "lon": 3.9}}  # in the corner that api_support leaves out
RING = [[10.0, 51.0], [10.2, 51.0], [10.1, 51.1], [10.0, 51.0]]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    service = service_at(tmp_path_factory.mktemp("prospects"))
    with running(service) as opened:
        early = opened.post("/rules", json={**RULE, "place": {"lat": 40.7, "lon": -74.0}})
        assert early.json()["notes"] == [], "nothing is known before the first forecast"
        fill(service)
        service.forecast_stored(with_baselines=False)
        yield opened


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (PLACE, None),
        ({"region": "DE-BY"}, None),
        ({"polygon": {"type": "Polygon", "coordinates": [RING]}}, None),
        ({"place": {"lat": 10.0, "lon": 51.0}}, "outside the grid of the forecasts; swapped, as lat 51 and lon 10"),
        ({"place": {"lat": 40.7, "lon": -74.0}}, "outside the grid of the forecasts"),
        ({"bbox": [179, -20, -179, -10]}, "outside the grid of the forecasts"),
        ({"polygon": {"type": "Polygon", "coordinates": [[[lon + 170, lat] for lon, lat in RING]]}}, "outside"),
        (WITHOUT_RADAR, "no radar observes the area"),
        ({**PLACE, "lead_from_minutes": 35, "lead_to_minutes": 55}, "no lead of the forecasts is in the lead window"),
        ({**PLACE, "quantity": "sum_60min", "threshold": 5.0}, None),
    ],
)
def test_a_rule_that_can_raise_no_alert_has_the_reason_as_a_note(client, changes, words):
    made = client.post("/rules", json={**RULE, **changes}).json()
    assert client.get(made["links"]["self"]).json()["notes"] == made["notes"]
    assert client.put(made["links"]["self"], json={**RULE, **changes}).json()["notes"] == made["notes"]
    if words is None:
        assert made["notes"] == []
    else:
        (note,) = made["notes"]
        assert words in note
