"""Settings come from `NOWCAST_*`; a wrong one stops the start and is named."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.errors import ConfigError
from core.settings import PREFIX, Settings, settings_from_environment
from core.units import THRESHOLDS_MMH


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)


def test_defaults_need_no_environment() -> None:
    settings = settings_from_environment()
    assert settings.home == Path("var")
    assert settings.thresholds_mmh == THRESHOLDS_MMH == (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
    assert settings.redis_url is None


def test_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOWCAST_PORT", "9000")
    monkeypatch.setenv("NOWCAST_REDIS_URL", "redis://:secret@host/0")
    monkeypatch.setenv("NOWCAST_THRESHOLDS_MMH", "[0.5, 2]")
    settings = settings_from_environment()
    assert (settings.port, settings.thresholds_mmh) == (9000, (0.5, 2.0))
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == "redis://:secret@host/0"
    assert "secret" not in repr(settings)


def test_a_misspelt_variable_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOWCAST_REDIS_ULR", "redis://host")
    with pytest.raises(ConfigError, match=r"unknown settings NOWCAST_REDIS_ULR; expected some of .*NOWCAST_REDIS_URL"):
        settings_from_environment()


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "70000"), ("PORT", "http"), ("REPLAY_SPEED", "0"), ("LEAD_MINUTES", "0"), ("GRID_M", "100")],
)
def test_a_wrong_value_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(ConfigError, match=rf"NOWCAST_{name}: .* \(got '{value}'\)"):
        settings_from_environment()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("CADENCE_MINUTES", "the scans decide the cadence; NOWCAST_LEAD_STEP_MINUTES is the spacing of the leads"),
        ("LEAD_STEPS", "NOWCAST_LEAD_MINUTES is the longest lead time"),
    ],
)
def test_a_setting_of_an_earlier_release_names_the_one_in_its_place(
    name: str, instead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PREFIX + name, "30")
    with pytest.raises(ConfigError, match=f"NOWCAST_{name} is no longer a setting: {instead}"):
        settings_from_environment()
    assert name.lower() not in Settings.model_fields
    for word in instead.split():
        if word.startswith(PREFIX):
            assert word.removeprefix(PREFIX).lower() in Settings.model_fields
