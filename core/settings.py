"""All settings of the running system, read from `NOWCAST_*` once; a misspelt variable stops the start."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import ConfigError
from core.units import THRESHOLDS_MMH

PREFIX = "NOWCAST_"


class Settings(BaseSettings):
    """Settings of ingest and service; every field is the environment variable `NOWCAST_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    home: Path = Field(Path("var"), description="the live store: scans, windows, forecasts, catalogue")
    database_url: SecretStr | None = Field(None, description="SQL catalogue; None is SQLite in the live store")
    redis_url: SecretStr | None = Field(None, description="broker; None starts the embedded server")
    device: str = Field("auto", description="cpu, cuda, cuda:1, ...; auto takes a GPU where there is one")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of the models' states; auto is bfloat16 where the device multiplies it"
    )
    model: str = Field("default", description="the model of the scheduled forecasts")
    source: Path | None = Field(None, description="watched folder of incoming radar files")
    source_kind: str = Field("directory", description="directory, dwd, replay, or another module of ingest/sources")
    source_options: dict[str, str] = Field(
        default_factory=dict, repr=False, description='options of such another kind of source, as JSON: {"url": "..."}'
    )
    dwd_url: str = Field("https://opendata.dwd.de/weather/radar", description="root of DWD's open radar data")
    dwd_hourly: bool = Field(False, description="fetch RW too, the gauge-adjusted hours; no forecast uses them")
    replay_speed: float = Field(20.0, gt=0, description="replayed minutes per minute")
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    cadence_minutes: int = Field(30, gt=0)
    lead_steps: int = Field(5, gt=0, le=48)
    thresholds_mmh: tuple[float, ...] = THRESHOLDS_MMH
    stale_after_s: float = Field(600.0, description="an older newest scan makes a live forecast stale")
    refuse_after_s: float = Field(1200.0, description="an older newest scan stops scheduled forecasts")
    upload_max_bytes: int = 64 * 2**20
    upload_max_unpacked_bytes: int = Field(
        512 * 2**20, description="of one uploaded file, as large as it gets in memory"
    )
    upload_max_frames: int = 64
    grid_max_cells: int = 4_000_000
    upload_receive_s: float = Field(60.0, gt=0, description="longest time that the body of a request may take to come")
    upload_decode_s: float = Field(20.0, gt=0, description="longest decoding of one upload, in a process of its own")
    upload_decode_bytes: int = Field(2 * 2**30, ge=2**26, description="memory that decoding of one upload may take")
    queue_size: int = Field(32, ge=1, description="forecasts that a process works on or lets wait; more are 429")
    request_limit_s: float = Field(30.0, gt=0, description="longest wait of a request for its turn, else 429")
    batch_size: int = Field(0, ge=0, description="forecasts in one call of a model; 0 is 1 on a CPU and 8 on a GPU")
    batch_wait_s: float = Field(0.005, ge=0, description="wait for more of the same shape where a batch is above 1")
    threads: int = Field(0, ge=0, description="CPU threads of one model call; 0 leaves it to torch")
    task_limit_s: float = Field(
        60.0, ge=20, description="longest run of one task; a lost worker's task comes back later"
    )
    cycle_s: float = Field(5.0, gt=0, description="seconds between two looks for new scans")
    scans_keep_days: float = Field(14.0, ge=1, description="of scans, counted from the newest one")
    scans_max_bytes: int = Field(20 * 2**30, ge=0, description="of all scans; the newest six hours stay in any case")
    others_keep_days: float = Field(2.0, ge=0, description="of forecasts by others that came with the scans")
    others_max_bytes: int = Field(5 * 2**30, ge=0)
    forecasts_keep_days: float = Field(
        30.0, ge=1, description="of forecasts; one that is still to be verified stays, and all counts do"
    )
    forecasts_max_bytes: int = Field(20 * 2**30, ge=0, description="of all forecasts; the newest six hours stay")
    exports_keep_days: float = Field(
        2.0, ge=0, description="of forecasts in other formats and grids, since they were last asked for"
    )
    exports_max_bytes: int = Field(5 * 2**30, ge=0, description="of all of these; they are made again when asked for")
    quarantine_keep_days: float = Field(30.0, ge=0, description="of copies of files that could not be used")
    quarantine_max_bytes: int = Field(2**30, ge=0)
    min_free_bytes: int = Field(2**29, ge=0, description="with less room on the disk ingest pauses")
    isolated_cells: int = Field(0, ge=0, description="wet groups of at most so many cells are taken for dry; 0: none")
    step_mmh: float = Field(0.0, ge=0, description="scans are rounded to multiples of so many mm/h; 0: as filed")
    write_source_grid: bool = Field(False, description="each scheduled forecast also on the scans' grid, as a file")
    invented: bool = Field(False, description="the scans are invented weather: everything shown says so")
    keys_home: Path | None = Field(None, description="folder of the API keys; None is `home`")
    allow_no_keys: bool = Field(False, description="start on any address without an API key: only GET works there")
    limit_per_key: str = Field("1200/minute", description="requests of one API key")
    limit_per_address: str = Field(
        "300/minute", description="requests of one address without a key, but this machine's"
    )
    trusted_proxies: tuple[str, ...] = Field((), description="addresses or networks whose X-Forwarded-For is believed")
    cors_origins: tuple[str, ...] = Field((), description='web pages that may ask: ["https://example.org"], or ["*"]')
    client_url: str = Field("http://127.0.0.1:8000", description="the service that `python -m service.client` asks")
    client_key: SecretStr | None = Field(None, description="the API key that it sends")
    log_level: str = "INFO"
    log_format: Literal["text", "json"] = Field("text", description="one line of text or one JSON object per event")
    heartbeat_s: float = Field(60.0, ge=0.5, description="seconds between two synthetic tasks that prove the worker")
    deadline_s: float = Field(240.0, gt=0, description="a scheduled forecast not begun within it is dropped")
    fss_windows_km: tuple[float, ...] = Field((17.0, 50.0), description="windows of the fractions skill score")


def settings_from_environment() -> Settings:
    """Read the environment.

    Raises:
        ConfigError: a value of the wrong kind, or a `NOWCAST_` variable that no setting has.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known)
    if unknown:
        raise ConfigError(f"unknown settings {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    try:
        return Settings()
    except ValidationError as err:
        problems = "; ".join(
            f"{PREFIX}{str(e['loc'][0]).upper()}: {e['msg']} (came {e['input']!r})" for e in err.errors()
        )
        raise ConfigError(problems) from err


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read at the first call."""
    return settings_from_environment()
