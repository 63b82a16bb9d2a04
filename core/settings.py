"""Settings of the running system, read once from `NOWCAST_*`; a misspelt variable stops the start."""

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict, SettingsError

from core.access_settings import AccessSettings
from core.connections import Connections, check_secret_files
from core.errors import ConfigError, shown
from core.units import THRESHOLDS_MMH

PREFIX = "NOWCAST_"
REPLACED: Final = {
    "CADENCE_MINUTES": "the scans decide the cadence; LEAD_STEP_MINUTES is the spacing of the leads",
    "LEAD_STEPS": "LEAD_MINUTES is the longest lead time",
}
"""Settings of earlier releases, and what has taken their place; names without the prefix."""

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
TRACES_URL: Final = r"^https?://[^\s/@]+(?:/[^\s@]*)?$"


def standard_traces_url() -> str | None:
    """Return the receiver of traces by OpenTelemetry's own variables, if it is one of OTLP over HTTP."""
    url = _standard_endpoint()
    return url if re.match(TRACES_URL, url) and not _is_without_http() else None


def standard_traces_problem() -> str | None:
    """Return why no traces go to the receiver of OpenTelemetry's own variables; None if it fits, or none is named."""
    url = _standard_endpoint()
    if not url or re.match(TRACES_URL, url) or _is_without_http():
        return None
    names = [name for name in (TRACES_ENDPOINT, ENDPOINT) if os.environ.get(name)]
    return f"{names[0]}: expected an address such as http://collector:4318, got {shown(os.environ[names[0]])}"


def _standard_endpoint() -> str:
    base = os.environ.get(ENDPOINT, "").rstrip("/")
    return os.environ.get(TRACES_ENDPOINT) or (base and f"{base}/v1/traces")


def _is_without_http() -> bool:
    """Return whether the standard variables want no traces, or another protocol."""
    protocols = (os.environ.get(f"OTEL_EXPORTER_OTLP_{name}") for name in ("TRACES_PROTOCOL", "PROTOCOL"))
    return os.environ.get("OTEL_TRACES_EXPORTER") == "none" or next(filter(None, protocols), "") == "grpc"


class Settings(Connections, AccessSettings):
    """Settings of ingest and service; every field is the environment variable `NOWCAST_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    home: Path = Field(Path("var"), description="live store: scans, windows, forecasts, catalogue")
    device: str = Field("auto", description="cpu, cuda, cuda:1, ...; auto uses a GPU if there is one")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="precision of the models' states; auto is bfloat16 on devices with such instructions"
    )
    model: str = Field(
        "default", description="model of the scheduled forecasts: a name, an alias or a checkpoint's folder"
    )
    source: Path | None = Field(None, description="folder that is watched for radar files")
    source_kind: str = Field(
        "directory", description="directory, dwd, ord, replay, or another module of ingest/sources"
    )
    source_options: dict[str, str] = Field(
        default_factory=dict, repr=False, description='options of another kind of source, as JSON: {"url": "..."}'
    )
    dwd_url: str = Field("https://opendata.dwd.de/weather/radar", description="root of DWD's open radar data")
    dwd_product: Literal["RY", "YW"] = Field(
        "RY",
        description="5-minute product of DWD's open data; YW is adjusted to rain gauges and half an hour late: for "
        "verification and archives, as its scans are older than refuse_after_s",
    )
    dwd_hourly: bool = Field(
        False, description="also fetch RW, the gauge-adjusted hourly sums; forecasts do not use them"
    )
    ord_url: str = Field(
        "https://s3.waw3-1.cloudferro.com/openradar-24h",
        description="bucket of EUMETNET's open radar data (source kind ord): OPERA's composites of Europe, CC BY 4.0",
    )
    ord_quantity: Literal["RATE", "DBZH"] = Field(
        "RATE",
        description="OPERA's composite: RATE, rain rates of 2 km every 15 minutes, or DBZH, reflectivity of 1 km "
        "every 5 minutes",
    )
    ord_edr_url: str | None = Field(
        None,
        description="find the composites by EDR instead of the bucket's listing, such as "
        "https://api.meteogate.eu/eu-eumetnet-weather-radar",
    )
    ord_mqtt_url: SecretStr | None = Field(
        None,
        description="look as soon as a message announces a composite, such as "
        "wss://everyone:everyone@radar.meteogate.eu:8884/ordmqtt; default: poll every minute",
    )
    replay_speed: float = Field(20.0, gt=0, description="replayed minutes per minute")
    host: str = Field("127.0.0.1", description="address that the API listens on")
    port: int = Field(8000, ge=0, le=65535, description="port that the API listens on; 0 picks a free one")
    lead_minutes: int = Field(
        150, gt=0, le=360, description="longest lead time in minutes; leads are the multiples of the scans' cadence"
    )
    lead_step_minutes: int | None = Field(
        None,
        gt=0,
        description="minutes between two lead times, a multiple of the scans' cadence; default: that cadence",
    )
    grid_m: float | None = Field(
        None, ge=250, le=10_000, description="edge of coarser grid cells in metres; default: the scans' own cells"
    )
    members: int = Field(20, ge=0, le=100, description="ensemble members of a scheduled forecast; 0 makes none")
    thresholds_mmh: tuple[float, ...] = Field(
        THRESHOLDS_MMH, description="rain rates in mm/h at which forecasts are scored"
    )
    stale_after_s: float = Field(600.0, description="age of the newest scan above which a live forecast is stale")
    ahead_max_s: float = Field(
        300.0, ge=0, le=86_400, description="a scan that is later than the clock by more than this is not taken yet"
    )
    refuse_after_s: float = Field(1200.0, description="age of the newest scan above which no forecast is scheduled")
    upload_max_bytes: int = Field(64 * 2**20, description="largest request body of an upload")
    upload_max_unpacked_bytes: int = Field(512 * 2**20, description="largest size of one uploaded file after unpacking")
    upload_max_frames: int = Field(64, description="most frames of one upload")
    grid_max_cells: int = Field(
        20_000_000,
        description="most grid cells of one uploaded frame; Europe's composite of 1 km has 16.7 million. Memory is "
        "limited by upload_decode_bytes while decoding, and by upload_max_unpacked_bytes for all frames together",
    )
    upload_receive_s: float = Field(60.0, gt=0, description="longest time for receiving the body of a request")
    upload_decode_s: float = Field(20.0, gt=0, description="longest time for decoding one upload, in its own process")
    upload_decode_bytes: int = Field(2 * 2**30, ge=2**26, description="memory limit for decoding one upload")
    queue_size: int = Field(32, ge=1, description="forecasts that a process computes or queues; more requests get 429")
    request_limit_s: float = Field(
        120.0,
        gt=0,
        description="longest time that a request waits for its forecast, queue and model together, then 429",
    )
    batch_size: int = Field(0, ge=0, description="forecasts in one call of a model; 0 is 1 on a CPU and 8 on a GPU")
    batch_wait_s: float = Field(
        0.005, ge=0, description="time to wait for further inputs of a batch, if it may hold several"
    )
    threads: int = Field(0, ge=0, description="CPU threads of one model call; 0 leaves it to torch")
    task_limit_s: float = Field(
        240.0,
        ge=20,
        description="longest run of one task; a model that takes three fifths of it is given up for extrapolation, and "
        "the task of a lost worker is retried later than that",
    )
    cycle_s: float = Field(5.0, gt=0, description="seconds between two checks for new scans")
    scans_keep_days: float = Field(14.0, ge=1, description="retention of scans in days, counted from the newest one")
    scans_max_bytes: int = Field(
        20 * 2**30, ge=0, description="most bytes of scans; those of the newest six hours are kept"
    )
    others_keep_days: float = Field(2.0, ge=0, description="retention of other providers' forecasts that were ingested")
    others_max_bytes: int = Field(5 * 2**30, ge=0, description="most bytes of other providers' forecasts")
    forecasts_keep_days: float = Field(
        30.0,
        ge=1,
        description="retention of forecasts in days; those still to be verified are kept, and so are all scores",
    )
    forecasts_max_bytes: int = Field(
        20 * 2**30,
        ge=0,
        description="most bytes of forecasts with baselines and ensemble members; above it these two go first, then "
        "forecasts older than a day between half hours, then the oldest; those of the newest six hours are kept",
    )
    exports_keep_days: float = Field(
        2.0, ge=0, description="retention in days of forecasts in other formats and grids since their last request"
    )
    exports_max_bytes: int = Field(
        5 * 2**30, ge=0, description="most bytes of exports, which are written again on request"
    )
    quarantine_keep_days: float = Field(30.0, ge=0, description="retention of copies of files that could not be read")
    quarantine_max_bytes: int = Field(2**30, ge=0, description="most bytes of the quarantine")
    min_free_bytes: int = Field(2**29, ge=0, description="free disk space below which ingest pauses")
    isolated_cells: int = Field(
        0, ge=0, description="speckle filter: remove wet clusters of at most N grid cells; 0 disables it"
    )
    step_mmh: float = Field(0.0, ge=0, description="scans are rounded to multiples of this rate; 0 keeps them as filed")
    write_source_grid: bool = Field(False, description="write each scheduled forecast on the scans' grid too")
    attribution: str | None = Field(None, description="credit of the radar data; default: by file or kind of source")
    invented: bool = Field(False, description="the scans are synthetic weather, and all output says so")
    client_url: str = Field("http://127.0.0.1:8000", description="service that the client connects to")
    client_key: SecretStr | None = Field(None, description="API key that the client sends")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")
    log_format: Literal["text", "json"] = Field("text", description="one line of text or one JSON object per event")
    heartbeat_s: float = Field(60.0, ge=0.5, description="seconds between two synthetic tasks that check the worker")
    part_late_s: float = Field(
        180.0,
        ge=2,
        description="longest time without work of beat, ingest or API: then /readyz is 503, and `nowcast run` restarts "
        "the part",
    )
    traces_url: str | None = Field(
        default_factory=standard_traces_url,
        pattern=TRACES_URL,
        description="receiver of traces by OTLP over HTTP, such as http://collector:4318/v1/traces; needs the extra "
        "`traces`. Default: that of OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT, else no traces",
    )
    ready_parts: tuple[Literal["beat", "ingest", "worker", "verification", "forecast"], ...] = Field(
        ("beat", "ingest", "worker", "verification", "forecast"),
        description='what /readyz expects to be done in time where there is a queue; ["worker"] for an installation '
        "that makes forecasts on request alone",
    )
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="port at which a worker or an alerts process shows its counters to Prometheus, on the address of "
        "host; for processes that have no home in common with the API. 0: none",
    )
    deadline_s: float = Field(240.0, gt=0, description="a scheduled forecast that has not started within it is dropped")
    fss_windows_km: tuple[float, ...] = Field(
        (17.0, 50.0), description="window sizes of the fractions skill score in km"
    )

    @property
    def catalogue_url(self) -> str:
        """Return the database URL of the catalogue: the setting, or the SQLite file of the live store."""
        return self.database_url.get_secret_value() if self.database_url else sqlite_url(self.home)


def sqlite_url(home: str | Path) -> str:
    """Return the database URL of the SQLite catalogue of a live store."""
    return f"sqlite:///{Path(home).resolve() / 'catalogue.sqlite'}"


def settings_from_environment() -> Settings:
    """Read the settings from the environment.

    Raises:
        ConfigError: an invalid value, or an unknown `NOWCAST_` variable.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known)
    replaced = [
        f"{PREFIX}{name} is no longer a setting: {_named(what)}"
        for name, what in REPLACED.items()
        if PREFIX + name in {one.upper() for one in unknown}
    ]
    if replaced:
        raise ConfigError("; ".join(replaced))
    if unknown:
        raise ConfigError(f"unknown settings {', '.join(unknown)}; expected some of {', '.join(sorted(known))}")
    folder = os.environ.get(f"{PREFIX}CREDENTIALS") or None
    check_secret_files(folder, PREFIX, known)
    try:
        return Settings(_secrets_dir=folder)
    except ValidationError as err:
        problems = "; ".join(
            f"{PREFIX}{str(e['loc'][0]).upper()}: {e['msg']} (got {_got(str(e['loc'][0]), e['input'])})"
            for e in err.errors()
        )
        raise ConfigError(problems) from None  # the error before it has the value of a secret
    except SettingsError as err:  # a list or an object that is not JSON, or a file that cannot be read
        raise ConfigError(_unread(str(err), folder)) from err


def _got(name: str, value: object) -> str:
    """Return a wrong value for a message, without what a secret setting holds."""
    field = Settings.model_fields.get(name)
    return "another text" if field is not None and "SecretStr" in str(field.annotation) else repr(value)


def _unread(problem: str, folder: str | None) -> str:
    """Return the message of a setting whose text could not be taken."""
    name = PREFIX + (re.findall(r'field "(\w+)"', problem) or ["?"])[0].upper()
    if name not in os.environ and folder is not None:
        file = Path(folder) / name.lower()
        return f"{name}: expected a file of UTF-8 text in {PREFIX}CREDENTIALS, JSON for a list, got {file}"
    return f'{name}: expected JSON such as ["a", "b"], got {shown(os.environ.get(name, ""))}'


def _named(text: str) -> str:
    """Return a text in which the names of settings have their prefix."""
    return " ".join(PREFIX + word if word.isupper() and "_" in word else word for word in text.split())


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process, read at the first call."""
    return settings_from_environment()
