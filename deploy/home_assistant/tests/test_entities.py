"""The entities show what the service answers, and nothing of old data."""

import json
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from unittest.mock import patch

from conftest import LAT, LON
from custom_components.nowcast.api import NowcastApi, NowcastApiError, NowcastAuthError
from custom_components.nowcast.const import DOMAIN
from custom_components.nowcast.diagnostics import async_get_config_entry_diagnostics
from homeassistant.components.camera import async_get_image
from homeassistant.config_entries import ConfigEntryState

PREFIX = "sensor.home_"


async def refresh(hass, entry) -> None:
    await hass.data[DOMAIN][entry.entry_id].async_refresh()
    await hass.async_block_till_done()


def answers(name: str, found: Any):
    """Replaces what one request to the service returns; an exception is raised."""

    async def answer(*args: Any, **kwargs: Any) -> Any:
        if isinstance(found, Exception):
            raise found
        return found

    return patch.object(NowcastApi, name, answer)


async def test_sensors_have_the_values_of_the_service(hass, entry, point):
    assert float(hass.states.get(PREFIX + "rain_now").state) == point["observed"]["rate_mmh"] > 0
    start = datetime.fromisoformat(point["reference_time"]) + timedelta(minutes=point["next_rain"]["start_minutes"])
    assert datetime.fromisoformat(hass.states.get(PREFIX + "rain_starts").state) == start
    assert hass.states.get(PREFIX + "outlook").state == point["outlook"] == "rain"
    chance = point["next_rain"]["start_probability"]
    shown = hass.states.get(PREFIX + "probability_of_rain").state
    assert shown == ("unknown" if chance is None else str(round(100 * chance)))
    assert float(hass.states.get(PREFIX + "age_of_the_radar_data").state) == round(point["data_age_s"] / 60, 1)
    assert hass.states.get("binary_sensor.home_data_too_old").state == "off"


async def test_the_weather_has_the_minute_forecast_and_hours(hass, entry, point):
    weather = hass.states.get("weather.home")
    assert weather.state in ("rainy", "pouring")
    minutes = weather.attributes["minute_forecast"]
    rates = [point["observed"]["rate_mmh"], *(lead["rate_mmh"] for lead in point["series"])]
    assert [row["intensity_mmh"] for row in minutes] == rates
    assert weather.attributes["summary"]
    target = {"entity_id": "weather.home"}
    found = await hass.services.async_call(DOMAIN, "get_minute_forecast", target, blocking=True, return_response=True)
    assert found["weather.home"]["minutes"] == minutes
    hours = await hass.services.async_call(
        "weather", "get_forecasts", {**target, "type": "hourly"}, blocking=True, return_response=True
    )
    first = hours["weather.home"]["forecast"][0]
    by_hand = sum((a + b) / 4 for a, b in pairwise(rates[:3]))
    assert abs(first["precipitation"] - by_hand) < 0.006
    assert first["precipitation_probability"] == round(100 * max(row["probability"] for row in minutes[1:3]))
    assert len(hours["weather.home"]["forecast"]) == 2


async def test_nothing_old_looks_fresh(hass, entry, point):
    with answers("point", {**point, "stale": True, "status": "stale", "data_age_s": 7200.0}):
        await refresh(hass, entry)
    for name in (PREFIX + "rain_now", PREFIX + "rain_starts", "weather.home", "camera.home_rain_in_30_minutes"):
        assert hass.states.get(name).state == "unavailable", name
    assert hass.states.get("binary_sensor.home_data_too_old").state == "on"
    assert float(hass.states.get(PREFIX + "age_of_the_radar_data").state) == 120
    await refresh(hass, entry)
    assert hass.states.get("weather.home").state != "unavailable"


async def test_what_is_not_known_is_not_dry(hass, entry, point):
    series = [{**lead, "rate_mmh": None} for lead in point["series"]]
    unknown = {**point, "observed": None, "series": series, "next_rain": None, "outlook": "unknown", "amounts": None}
    with answers("point", unknown):
        await refresh(hass, entry)
    for name in ("rain_now", "rain_starts", "rain_ends", "probability_of_rain", "rain_of_the_next_hour"):
        assert hass.states.get(PREFIX + name).state == "unknown", name
    assert hass.states.get(PREFIX + "outlook").state == "unknown"
    assert hass.states.get("weather.home").state == "unknown"


async def test_a_rule_is_a_binary_sensor_from_its_creation_to_its_end(hass, entry, http, url):
    rule = {"name": "Rain at home", "place": {"lat": LAT, "lon": LON}, "threshold": 1.0}
    async with http.post(f"{url}/rules", json=rule) as answer:
        made = await answer.json()
    name = "binary_sensor.home_rain_at_home"
    assert hass.states.get(name) is None
    await refresh(hass, entry)
    assert hass.states.get(name).state == "off"
    alert = {"alert_id": "1", "raised_at": "2024-06-01T12:00:00Z", "expected_at": None, "probability": 0.7}
    with answers("rules", [{**made, "alert": alert}]):
        await refresh(hass, entry)
    assert hass.states.get(name).state == "on"
    assert hass.states.get(name).attributes["probability"] == 0.7
    async with http.delete(f"{url}/rules/{made['rule_id']}") as answer:
        assert answer.status == 204
    await refresh(hass, entry)
    assert hass.states.get(name).state == "unavailable"


async def test_the_camera_shows_the_map_of_half_an_hour(hass, entry, point, http, url):
    async with http.get(f"{url}/nowcast/{point['forecast_id']}/image/30.png") as answer:
        expected = await answer.read()
    image = await async_get_image(hass, "camera.home_rain_in_30_minutes")
    assert (image.content_type, image.content) == ("image/png", expected)
    with answers("picture", NowcastApiError("never asked")):
        assert (await async_get_image(hass, "camera.home_rain_in_30_minutes")).content == expected


async def test_a_service_that_is_gone_makes_entities_unavailable_and_comes_back(hass, entry):
    with answers("point", NowcastApiError("no response")):
        await refresh(hass, entry)
    assert hass.states.get("weather.home").state == "unavailable"
    assert hass.states.get("binary_sensor.home_data_too_old").state == "unavailable"
    await refresh(hass, entry)
    assert hass.states.get("weather.home").state != "unavailable"


async def test_a_refused_key_asks_for_another(hass, entry):
    with answers("point", NowcastAuthError("401")):
        await refresh(hass, entry)
    (flow,) = hass.config_entries.flow.async_progress()
    assert (flow["context"]["source"], flow["step_id"]) == ("reauth", "reauth_confirm")


async def test_diagnostics_do_not_say_where_the_place_is(hass, entry, http, url, point):
    rule = {"name": "Secret garden", "place": {"lat": 51.23456, "lon": 9.54321}, "threshold": 1.0}
    async with http.post(f"{url}/rules", json=rule) as answer:
        made = await answer.json()
    await refresh(hass, entry)
    text = json.dumps(await async_get_config_entry_diagnostics(hass, entry), default=str)
    for hidden in (str(LAT), str(LON), "51.23456", "9.54321", "Secret garden", url):
        assert hidden not in text, hidden
    assert point["forecast_id"] in text
    await http.delete(f"{url}/rules/{made['rule_id']}")


async def test_the_entry_is_unloaded(hass, entry):
    assert await hass.config_entries.async_unload(entry.entry_id)
    assert entry.state is ConfigEntryState.NOT_LOADED
    assert hass.states.get("weather.home").state == "unavailable"
