"""Settings come from `NOWCAST_*`; a wrong one stops the start and is named."""

import os
import traceback
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.connections import with_password
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


@pytest.mark.parametrize("name", ["THRESHOLDS_MMH", "CORS_ORIGINS", "SOURCE_OPTIONS"])
@pytest.mark.parametrize("value", ["1.3.0", "*", "[" * 500])
def test_a_list_that_is_no_json_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ended in a traceback, which does not say which variable is meant."""
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(ConfigError, match=f"NOWCAST_{name}: expected JSON"):
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


def test_a_setting_may_stand_in_a_file_and_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "nowcast_redis_password").write_text("pass:word/1\n")
    (tmp_path / "nowcast_port").write_text("9000\n")
    (tmp_path / "tls.key").write_text("of another program")
    monkeypatch.setenv("NOWCAST_CREDENTIALS", str(tmp_path))
    monkeypatch.setenv("NOWCAST_REDIS_URL", "redis://redis:6379/0")
    settings = settings_from_environment()
    assert settings.port == 9000
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == "redis://:pass%3Aword%2F1@redis:6379/0"
    monkeypatch.setenv("NOWCAST_PORT", "9001")
    assert settings_from_environment().port == 9001


@pytest.mark.parametrize("name", ["nowcast_redis_pasword", "NOWCAST_PORT"])
def test_a_misspelt_file_of_a_setting_stops_the_start(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / name).write_text("1")
    monkeypatch.setenv("NOWCAST_CREDENTIALS", str(tmp_path))
    with pytest.raises(ConfigError, match=f"got {name} in"):
        settings_from_environment()


@pytest.mark.parametrize(
    ("folder", "why"),
    [("missing", "does not exist"), ("a" * 3000, "too long"), ("file/in", "Not a dir")],
)
def test_a_folder_of_secrets_that_is_none_stops_the_start(
    folder: str, why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOWCAST_CREDENTIALS", folder)
    with pytest.raises(ConfigError, match=f"expected a folder of secret files.*{why}") as caught:
        settings_from_environment()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("url", ["redis://:hidden[@redis:6379/0", "redis://:hidden\u2100@redis:6379/0"])
def test_an_error_has_no_password(url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NOWCAST_REDIS_PASSWORD", "another")
    monkeypatch.setenv("NOWCAST_REDIS_URL", url)
    with pytest.raises(ConfigError, match=r"NOWCAST_REDIS_URL: .*expected a URL .* \(got another text\)") as found:
        settings_from_environment()
    assert "hidden" not in "".join(traceback.format_exception(found.value))


def test_a_file_of_a_setting_that_is_no_text_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "nowcast_redis_password").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("NOWCAST_CREDENTIALS", str(tmp_path))
    with pytest.raises(ConfigError, match=r"NOWCAST_REDIS_PASSWORD: expected a file of UTF-8 text .* got .*_password"):
        settings_from_environment()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql+psycopg://nowcast@db:5432/rain", "postgresql+psycopg://nowcast:p%40ss@db:5432/rain"),
        ("redis://[::1]:6379/0?ssl_cert_reqs=none", "redis://:p%40ss@[::1]:6379/0?ssl_cert_reqs=none"),
        ("redis://:own@host/0", "redis://:own@host/0"),
        ("sqlite:////var/lib/catalogue.sqlite", "sqlite:////var/lib/catalogue.sqlite"),
    ],
)
def test_a_password_is_put_into_a_url_without_one(url: str, expected: str):
    assert with_password(url, "p@ss") == expected


GOLDEN = Path(__file__).parents[1] / "golden"


def test_every_setting_of_0_1_0_is_read_or_named_in_the_error(monkeypatch: pytest.MonkeyPatch):
    names = (GOLDEN / "settings-0.1.0.txt").read_text().split()
    gone = [name for name in names if name not in Settings.model_fields]
    assert len(names) > 50
    assert gone == ["cadence_minutes", "lead_steps"], gone
    for name in gone:
        monkeypatch.setenv(f"NOWCAST_{name.upper()}", "5")
        with pytest.raises(ConfigError, match=f"NOWCAST_{name.upper()} is no longer a setting: .*NOWCAST_LEAD_"):
            settings_from_environment()
        monkeypatch.delenv(f"NOWCAST_{name.upper()}")


@pytest.mark.parametrize(
    ("database", "broker", "is_refused"),
    [
        (None, None, True),
        ("sqlite:////tmp/rain.sqlite", "redis://host/0", True),
        ("postgresql+psycopg://rain@host/rain", None, True),
        ("postgresql+psycopg://rain@host/rain", "redis://host/0", False),
    ],
)
def test_a_store_of_files_needs_servers_that_machines_can_share(database, broker, is_refused, monkeypatch):
    monkeypatch.setenv("NOWCAST_FILES_URL", "s3://rain/one")
    for name, value in (("DATABASE_URL", database), ("REDIS_URL", broker)):
        if value is not None:
            monkeypatch.setenv(f"NOWCAST_{name}", value)
    if is_refused:
        with pytest.raises(ConfigError, match=r"FILES_URL.*expected database_url of PostgreSQL and redis_url with it"):
            settings_from_environment()
    else:
        assert settings_from_environment().files_url == "s3://rain/one"


@pytest.mark.parametrize("name", ["URL", "ENDPOINT", "REGION", "KEY_ID", "KEY"])
def test_an_empty_variable_of_the_store_of_files_is_unset(name, monkeypatch):
    monkeypatch.setenv(f"NOWCAST_FILES_{name}", "")
    assert getattr(settings_from_environment(), f"files_{name.lower()}") is None
