"""The dialogue stores a place whose forecast the service gave, and names what is wrong otherwise."""

import pytest
from conftest import PLACE
from custom_components.nowcast.api import NowcastApi, NowcastAuthError, NowcastNoDataError
from custom_components.nowcast.const import DOMAIN
from homeassistant.config_entries import SOURCE_REAUTH, SOURCE_USER
from homeassistant.data_entry_flow import FlowResultType


async def begin(hass):
    return await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_USER})


async def test_a_place_is_added_once(hass, url):
    form = await begin(hass)
    assert form["type"] == FlowResultType.FORM
    given = {"name": "Home", "url": f"{url}/", **PLACE}
    done = await hass.config_entries.flow.async_configure(form["flow_id"], given)
    assert (done["type"], done["title"]) == (FlowResultType.CREATE_ENTRY, "Home")
    assert done["data"] == {"url": url, **PLACE}
    await hass.async_block_till_done()
    assert hass.states.get("weather.home") is not None
    again = await hass.config_entries.flow.async_configure((await begin(hass))["flow_id"], given)
    assert (again["type"], again["reason"]) == (FlowResultType.ABORT, "already_configured")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"url": "http://127.0.0.1:1"}, "cannot_connect"),
        ({"url": "no address"}, "cannot_connect"),
        ({"latitude": 0.0, "longitude": 0.0}, "no_coverage"),
    ],
)
async def test_a_mistake_is_named_and_can_be_mended(hass, url, changes, problem):
    given = {"name": "Home", "url": url, **PLACE}
    form = await hass.config_entries.flow.async_configure((await begin(hass))["flow_id"], {**given, **changes})
    assert (form["type"], form["errors"]) == (FlowResultType.FORM, {"base": problem})
    done = await hass.config_entries.flow.async_configure(form["flow_id"], given)
    assert done["type"] == FlowResultType.CREATE_ENTRY


@pytest.mark.parametrize(
    ("error", "problem"), [(NowcastAuthError("401"), "invalid_auth"), (NowcastNoDataError("404"), "no_forecast")]
)
async def test_a_refusal_of_the_service_is_named(hass, url, monkeypatch, error, problem):
    async def refuse(api):
        raise error

    monkeypatch.setattr(NowcastApi, "point", refuse)
    given = {"name": "Home", "url": url, **PLACE}
    form = await hass.config_entries.flow.async_configure((await begin(hass))["flow_id"], given)
    assert form["errors"] == {"base": problem}


async def test_a_new_key_is_stored(hass, entry):
    context = {"source": SOURCE_REAUTH, "entry_id": entry.entry_id}
    form = await hass.config_entries.flow.async_init(DOMAIN, context=context, data=entry.data)
    assert form["step_id"] == "reauth_confirm"
    wrong = await hass.config_entries.flow.async_configure(form["flow_id"], {"api_key": "nowcast_no_key"})
    assert wrong["errors"] == {"base": "invalid_auth"}
    assert "api_key" not in entry.data


async def test_the_service_refuses_a_wrong_key(hass, url):
    given = {"name": "Home", "url": url, "api_key": "nowcast_no_key", **PLACE}
    form = await hass.config_entries.flow.async_configure((await begin(hass))["flow_id"], given)
    assert form["errors"] == {"base": "invalid_auth"}
