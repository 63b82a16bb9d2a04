"""The Python client and its commands against the app behind a real uvicorn."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx2
import numpy as np
import pytest
import xarray as xr
from PIL import Image

from core.colours import CHANCE_COLOURS
from service.client import Client, ServiceError
from service.client.plot import chosen_leads
from service.forecasts.nowcast import NowcastService
from tests.service.api_support import HERE, REFERENCE, fill, lead_times, netcdf, running, service_at, window_times
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as opened:
        yield opened


def test_two_lines_give_a_picture(url, tmp_path):
    client = Client(url)
    client.latest().plot(tmp_path / "rain.png")
    client.close()
    with Image.open(tmp_path / "rain.png") as picture:
        assert picture.format == "PNG"
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20
        assert picture.width > 1500


def test_a_picture_of_probability_is_another(client, tmp_path):
    forecast = client.latest()
    rain, chance = forecast.plot(tmp_path / "rain.png"), forecast.plot(tmp_path / "chance.png", 0.5)
    purple = np.array(CHANCE_COLOURS[-1][1][:3])
    found = [(np.asarray(Image.open(path).convert("RGB")) == purple).all(axis=-1).sum() for path in (rain, chance)]
    assert found[0] == 0
    assert found[1] > 50
    with pytest.raises(ServiceError, match=r"probability_of: expected 0\.1, 0\.5, 5, got 3"):
        forecast.plot(tmp_path / "none.png", 3)


@pytest.mark.parametrize(
    ("known", "wanted", "expected"),
    [
        (range(5, 151, 5), None, [5, 15, 30, 60, 90, 150]),
        (range(30, 151, 30), None, [30, 60, 90, 120, 150]),
        (range(15, 151, 15), None, [15, 30, 60, 90, 150]),
        (range(5, 61, 5), None, [5, 15, 30, 60]),
        (range(5, 151, 5), [60, 10], [10, 60]),
    ],
)
def test_a_picture_of_many_leads_shows_six(known, wanted, expected):
    assert [known[index] for index in chosen_leads(known, wanted)] == expected


def test_a_picture_of_a_lead_that_does_not_exist_is_refused(client, tmp_path):
    with pytest.raises(ServiceError, match="leads: expected some of 30, 60, 90, 120, 150 minutes, got 45"):
        client.latest().plot(tmp_path / "rain.png", leads=[30, 45])
    with Image.open(client.latest().plot(tmp_path / "two.png", leads=[30, 60])) as picture:
        assert picture.width < 1000


def test_places_motion_and_areas_of_a_forecast(client):
    forecast = client.latest()
    one, other = forecast.points([(51.0, 9.5), (52.52, 13.4)], tz="Europe/Berlin")
    assert (one.lat, other.lon, one.time_zone) == (51.0, 13.4, "Europe/Berlin")
    assert one.series[0].q90 == forecast.point(51.0, 9.5).series[0].q90
    assert forecast.motion(100).vectors == []
    wkt = "POLYGON((9.2 50.3, 11.1 50.4, 10.4 51.9, 9.2 50.3))"
    ring = [[9.2, 50.3], [11.1, 50.4], [10.4, 51.9], [9.2, 50.3]]
    areas = [forecast.area(wkt), forecast.area({"type": "Polygon", "coordinates": [ring]})]
    assert areas[0].leads == areas[1].leads
    assert areas[0].cells > 10


def test_two_lines_give_a_netcdf(client, service, tmp_path):
    client.latest().save(tmp_path / "rain.nc")
    with xr.open_dataset(tmp_path / "rain.nc") as dataset:
        np.testing.assert_array_equal(dataset["rainfall_rate"].values, service.latest().rate_mmh_THW)


def test_a_forecast_is_asked_for_found_and_read_at_a_place(client, service):
    made = client.nowcast(REFERENCE, "extrapolation", verify=False)
    assert made.answer.model.name == "extrapolation"
    assert made.answer.verification is None
    assert client.nowcast(REFERENCE, "extrapolation").id == made.id == client.forecast(made.id).id
    lat, lon = 52.52, 13.4
    row, col = service.latest().grid.cell_of(lat, lon) or (0, 0)
    expected = [float(rate_HW[row, col]) for rate_HW in service.get(made.id).rate_mmh_THW]
    assert [lead.rate_mmh for lead in made.point(lat, lon).series] == expected
    assert client.point(lat, lon, made.id).row == row
    assert client.point(0, 0).radar_coverage == "no coverage"


def test_what_the_service_knows(client):
    assert {"default", "persistence", "extrapolation"} <= {model.name for model in client.models().models}
    assert client.verification(48).period_hours == 48
    assert client.scans(2).count == 5
    assert len(client.scans(2).scans) == 2


def test_files_are_uploaded_and_scored(client, tmp_path):
    netcdf(tmp_path, window_times())
    netcdf(tmp_path, lead_times())
    five, followed = (next(tmp_path.glob(f"{times[0]:%H%M}-*")) for times in (window_times(), lead_times()))
    forecast = client.upload([five], [followed], model="persistence")
    assert forecast.answer.origin == "upload"
    assert forecast.answer.verification is not None
    assert forecast.answer.verification.kind == "this_forecast"


def test_an_error_has_the_services_own_words(client):
    with pytest.raises(ServiceError, match=r"404 .*no forecast has the id") as caught:
        client.forecast(uuid4())
    assert caught.value.code == 404
    assert caught.value.problem["instance"].startswith("/nowcast/")
    with pytest.raises(ServiceError, match="422"):
        client.point(100, 0)
    with pytest.raises(ServiceError, match=r"no response from http://127\.0\.0\.1:1"):
        Client("http://127.0.0.1:1").latest()
    for address in ("ftp://127.0.0.1", "nonsense"):
        with pytest.raises(ServiceError, match="expected the URL of a service"):
            Client(address).latest()


def test_without_a_queue_a_job_is_the_forecast_itself(client):
    assert client.wait(client.start(model="persistence")).answer.model.name == "persistence"


PREFIX = "/weather"


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> NowcastService:
    made = service_at(tmp_path_factory.mktemp("home"), trusted_proxies=(HERE[0],))
    fill(made)
    made.forecast_stored()
    return made


@pytest.fixture(params=[True, False], ids=["prefix stated", "prefix not stated"])
def behind_a_proxy(proxied: NowcastService, request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client of a service below a path of another server, which states that path or does not."""
    with running(proxied) as inside:

        def forward(asked: httpx2.Request) -> httpx2.Response:
            assert asked.url.path.startswith(f"{PREFIX}/")
            path = asked.url.raw_path.decode().removeprefix(PREFIX)
            assert not path.startswith(PREFIX)
            stated = {"X-Forwarded-Prefix": PREFIX} if request.param else {}
            headers = {"X-Forwarded-For": "203.0.113.9", "Accept": asked.headers["accept"], **stated}
            answer = inside.request(asked.method, path, headers=headers)
            return httpx2.Response(answer.status_code, content=answer.content)

        yield Client(f"https://rain.example.org{PREFIX}", transport=httpx2.MockTransport(forward))


def test_links_are_followed_below_the_path_of_a_proxy(behind_a_proxy, proxied, tmp_path):
    forecast = behind_a_proxy.latest()
    assert forecast.netcdf() == proxied.latest().path.read_bytes()
    assert forecast.plot(tmp_path / "rain.png").stat().st_size > 1000
    assert forecast.point(52.52, 13.4).row is not None


def test_a_job_is_followed_to_its_end():
    states = iter(["waiting", "running", "failed"])

    def answer(request: httpx2.Request) -> httpx2.Response:
        job = {"job_id": "7", "status": next(states), "links": {}, "detail": "no scan"}
        return httpx2.Response(202 if request.method == "POST" else 200, json=job)

    waits: list[float] = []
    client = Client("http://x", transport=httpx2.MockTransport(answer), sleep=waits.append)
    with pytest.raises(ServiceError, match="job 7 is failed: no scan"):
        client.wait(client.start())
    assert len(waits) == 2


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_gets_a_retry_when_it_asks_for_one(status):
    waits: list[float] = []
    answers = iter([httpx2.Response(status, headers={"Retry-After": after}) for after in ("3", "0", "soon")])

    def answer(request: httpx2.Request) -> httpx2.Response:
        return next(answers, httpx2.Response(200, json={"count": 0, "scans": []}))

    client = Client("http://x", transport=httpx2.MockTransport(answer), sleep=waits.append)
    assert client.scans().scans == []
    assert waits == [3.0, 0.5, 1.0]


def test_patience_ends():
    waits: list[float] = []
    busy = httpx2.MockTransport(lambda request: httpx2.Response(429, headers={"Retry-After": "20"}))
    with pytest.raises(ServiceError, match="429 Too Many Requests: /scans"):
        Client("http://x", transport=busy, sleep=waits.append).scans()
    assert waits == [20.0] * 3
    with pytest.raises(ServiceError, match="429"):
        Client("http://x", transport=busy, patience_s=0, sleep=waits.append).scans()
    assert len(waits) == 3


def test_the_key_is_sent():
    seen: list[str | None] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers.get("x-api-key"))
        return httpx2.Response(200, json={"count": 0, "scans": []})

    for key in ("nowcast_1_2", None):
        Client("http://x", key, transport=httpx2.MockTransport(answer)).scans()
    assert seen == ["nowcast_1_2", None]


def test_it_imports_neither_torch_nor_the_server_and_that_quickly():
    code = (
        "import sys, time; start = time.process_time(); import service.client, service.client.__main__;"
        "taken = time.process_time() - start;"
        "heavy = {'torch', 'fastapi', 'starlette', 'celery', 'matplotlib', 'xarray', 'service.app'} & set(sys.modules);"
        "assert not heavy, heavy; assert taken < 2, taken"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=PATIENCE_S)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["point", "52.52", "13.4"], "+150 min"),
        (["point", "-30", "-70"], "no coverage"),
        (["models"], "persistence"),
        (["plot", "--out", "rain.png"], "rain.png"),
        (["plot", "--out", "chance.png", "--probability-of", "0.5"], "chance.png"),
        (["point", "51", "9.5", "--tz", "Europe/Berlin"], "probability of mm/h or more  0.1: "),
        (["motion"], "# this forecast holds no motion"),
        (["save", "--out", "rain.nc"], "rain.nc"),
        (["nowcast", "--model", "persistence", "--time", "2024-06-01T12:00:00Z"], '"name": "persistence"'),
        (["verification"], ""),
    ],
)
def test_commands(url, tmp_path, words, expected):
    done = _command(url, tmp_path, *words)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    assert expected in done.stdout
    for file in tmp_path.iterdir():
        assert file.stat().st_size > 1000


@pytest.mark.parametrize("words", [["point", "95", "0"], ["save", "--id", str(uuid4())], ["nowcast", "--time", "x"]])
def test_a_mistake_is_one_line(url, tmp_path, words):
    done = _command(url, tmp_path, *words)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def _command(url: str, folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "NOWCAST_CLIENT_URL": url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "service.client", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)
