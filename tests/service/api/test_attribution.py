"""Whose radar data a map shows."""

from types import SimpleNamespace

import pytest

from core.settings import Settings
from service.api.views import attribution_text
from service.forecasts.statement import INVENTED, credit


@pytest.mark.parametrize(
    ("kind", "origin", "expected"),
    [
        ("dwd", "scans", "Radar product RATE: Deutscher Wetterdienst (CC BY 4.0)."),
        ("ord", "scans", "Radar product RATE: EUMETNET OPERA (CC BY 4.0)."),
        ("ord", "upload", "Radar product RATE."),
        ("directory", "scans", "Radar product RATE."),
    ],
)
def test_provider_and_licence_follow_the_source(kind, origin, expected):
    forecast = SimpleNamespace(origin=origin, product="RATE", provider=None)
    assert attribution_text(forecast, Settings(source_kind=kind)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("origin", ["scans", "upload"])
def test_a_provider_that_the_file_states_is_credited(origin):
    forecast = SimpleNamespace(origin=origin, product="RATE", provider="Deutscher Wetterdienst (DWD)")
    assert attribution_text(forecast, Settings(source_kind="replay")) == (  # type: ignore[arg-type]
        "Radar product RATE: Deutscher Wetterdienst (DWD)."
    )


@pytest.mark.parametrize(
    ("provider", "expected"), [("KNMI.", "Radar data: KNMI."), (None, "Radar data: provider not stated.")]
)
def test_a_quantity_is_not_credited_as_a_product(provider, expected):
    assert credit("PRECIPITATION_RATE", provider, None) == expected


def test_invented_weather_has_no_provider():
    forecast = SimpleNamespace(origin="scans", product="RY", provider=None)
    assert attribution_text(forecast, Settings(source_kind="replay", invented=True)) == INVENTED  # type: ignore[arg-type]


def test_the_setting_is_the_credit_of_scans_alone():
    settings = Settings(source_kind="dwd", attribution="Radar: our own")
    forecast = SimpleNamespace(origin="scans", product="RY", provider="Somebody")
    assert attribution_text(forecast, settings) == "Radar: our own"  # type: ignore[arg-type]
    upload = SimpleNamespace(origin="upload", product="RY", provider="Somebody")
    assert attribution_text(upload, settings) == "Radar product RY: Somebody."  # type: ignore[arg-type]
    assert attribution_text(forecast, settings.model_copy(update={"invented": True})) == INVENTED  # type: ignore[arg-type]
