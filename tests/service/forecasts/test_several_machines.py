"""Two machines without a common disk: the database and a store of files are all that they share."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from core import shared_files
from core.errors import NoDataError, UnavailableError
from core.filestore import FileStore
from core.settings import Settings
from core.shared_files import SharedFolder, mount
from ingest.sandbox.pool import UploadedFile
from ingest.store import retention
from ingest.store.attempts import attempt
from ingest.store.live import Store
from ingest.worker.beat import Pause, SourceBeat, Totals, write_beat
from models.baselines import Extrapolation, Persistence
from service.files import app as files_command
from service.forecasts.catalogue import Catalogue
from service.forecasts.fields import FIELDS
from service.forecasts.member_maker import make_members
from service.forecasts.members import has_members, member_count, members_path
from service.forecasts.nowcast import NowcastService
from service.forecasts.records import observations_file
from service.forecasts.retention import sweep_forecasts
from service.forecasts.uploads import KeptUploads, Upload
from service.inference.predictor import Predictor
from service.inference.registry import ModelRegistry
from tests.ingest.store.test_healing import flip
from tests.service.conftest import START, Fading, rain

REFERENCE = START + timedelta(hours=2)
LATER = 3.0
"""Seconds until what another machine has published is looked for again."""


@dataclass
class Machine:
    """One machine of an installation; `now_s` is the steady time of both."""

    home: Path
    store: Store
    service: NowcastService
    files: FileStore


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def machine_opener(folder: Path, clock: Clock) -> Callable[[str], Machine]:
    """What opens a machine of an installation in a folder by its name."""
    files = FileStore((folder / "store").as_uri())
    model = Fading(thresholds_mmh=(1.0,), chances=lambda rate: np.where(np.isnan(rate), np.nan, 0.5)[None])
    made = {"default": lambda: model, "persistence": Persistence, "extrapolation": Extrapolation}

    def machine(name: str) -> Machine:
        home, url = folder / name, f"sqlite:///{folder / 'catalogue.sqlite'}"
        mount(SharedFolder(home, files, 10**9, clock))
        store, predictor = Store(home, url), Predictor(lambda name: made[name]())
        now = lambda: REFERENCE + timedelta(minutes=3)
        service = NowcastService(Settings(home=home), store, Catalogue(home, url), predictor, now)
        return Machine(home, store, service, files)

    return machine


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation with a machine that has ingested and forecast."""
    folder = tmp_path_factory.mktemp("filled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_files, "_MOUNTED", {})
        worker = machine_opener(folder, Clock())("worker")
        for minutes in range(0, 301, 30):
            worker.store.put(rain(minutes))
        worker.service.forecast_stored(REFERENCE)
    for engine in (worker.store.engine, worker.service.catalogue.engine):
        engine.dispose()
    return folder


@pytest.fixture
def opened(tmp_path: Path, clock: Clock, filled: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Machine]:
    monkeypatch.setattr(shared_files, "_MOUNTED", {})
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True)
    return machine_opener(tmp_path, clock)


@pytest.fixture
def machines(opened) -> tuple[Machine, Machine]:
    """The one that ingests and forecasts, and one that answers."""
    return opened("worker"), opened("api")


def files_of(home: Path) -> set[str]:
    return {path.relative_to(home).as_posix() for path in home.rglob("*.nc")}


def test_a_forecast_and_its_scans_are_read_on_a_machine_that_has_no_file(machines):
    worker, api = machines
    assert files_of(api.home) == set()
    forecast = api.service.latest()
    np.testing.assert_array_equal(
        FIELDS.read(forecast).rate_mmh_HW(0), FIELDS.read(worker.service.latest()).rate_mmh_HW(0)
    )
    assert forecast.has_inputs
    assert api.service.verification_of(forecast).kind == "this_forecast"
    np.testing.assert_array_equal(api.store.load(api.store.latest()).rate_mmh_HW, rain(300).rate_mmh_HW)
    assert files_of(api.home) <= files_of(worker.home) | {
        path.relative_to(api.home).as_posix() for path in api.home.rglob("*.observations.nc")
    }


def test_a_new_forecast_is_seen_by_its_count_in_the_database(machines):
    worker, api = machines
    before, at_first = api.service.catalogue.look(), api.service.catalogue.version
    assert before == at_first != (0, 0)
    worker.service.forecast_stored(REFERENCE + timedelta(minutes=30))
    assert api.service.catalogue.version == before, "no query is made for it"
    assert api.service.catalogue.look() != before
    assert "changes:forecasts" not in worker.store.ingest_status().counts


def test_members_that_follow_are_found_and_none_before(machines, clock, monkeypatch):
    worker, api = machines
    forecast = api.service.latest()
    assert not has_members(forecast)
    assert member_count(forecast) == 0
    make_members(worker.service.latest(), 2)
    clock.now_s += LATER
    assert has_members(forecast)
    assert member_count(forecast) == 2


def test_the_store_is_not_asked_for_members_that_cannot_be(machines, monkeypatch):
    forecast = replace(machines[1].service.latest(), thresholds_mmh=())
    asked: list[str] = []
    monkeypatch.setattr(machines[1].files, "get", asked.append)
    assert not has_members(forecast)
    assert asked == []


def test_the_folder_of_the_worker_may_be_deleted(machines, opened):
    worker, api = machines
    whole = worker.service.latest().rate_mmh_THW
    for path in sorted(worker.home.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    np.testing.assert_array_equal(api.service.latest().rate_mmh_THW, whole)
    np.testing.assert_array_equal(worker.service.latest().rate_mmh_THW, whole)
    assert worker.service.forecast_stored(REFERENCE + timedelta(minutes=30)).has_file
    assert worker.service.verify_observed() > 0


def test_a_damaged_file_of_one_machine_is_fetched_again(machines):
    worker, api = machines
    forecast = api.service.latest()
    whole = forecast.rate_mmh_THW
    flip(forecast.path, forecast.path.stat().st_size // 2)
    np.testing.assert_array_equal(forecast.rate_mmh_THW, whole)
    assert not list((worker.home / "quarantine").glob("*"))


def test_what_is_damaged_in_the_store_too_is_made_again_by_another_machine(machines, clock, tmp_path):
    worker, api = machines
    forecast = api.service.latest()
    for path in (forecast.path, tmp_path / "store" / forecast.path.relative_to(api.home)):
        flip(path, forecast.path.stat().st_size // 2)
    with pytest.raises(UnavailableError, match="set aside"), api.service.healing.noticing():
        FIELDS.read(forecast)
    assert api.service.catalogue.find(forecast.id) is None
    assert [one.name for one in api.files.list("quarantine") if one.name.endswith(f"{forecast.id}.nc")]
    clock.now_s += 60
    worker.service.catalogue.find(forecast.id)
    (worker.home / forecast.path.relative_to(api.home)).unlink()
    assert worker.service.baselines.make_again() == 1
    clock.now_s += 60
    assert api.service.get(forecast.id).has_file
    assert worker.service.baselines.make_again() == 0


def test_a_scan_that_is_damaged_everywhere_is_asked_for_at_the_machine_of_ingest(machines, clock, tmp_path):
    worker, api = machines
    worker.store.put_file([rain(330)], "1" * 64, "source.gz")
    scan = api.store.scans()[-1]
    assert api.store.load(scan)
    for path in (scan.path, tmp_path / "store" / scan.path.relative_to(api.home)):
        flip(path, 900)
    with pytest.raises(NoDataError):
        api.store.load(scan)
    clock.now_s += 60
    offered: list[str] = []
    worker.store.healing.offer_again(offered.extend)
    assert offered == ["source.gz"]
    assert not list(worker.files.list("again"))
    assert not list(worker.files.list("scans/RY/2024/06/01/" + scan.path.name))


def test_a_store_that_does_not_respond_loses_no_row(machines, monkeypatch):
    worker, api = machines

    def fails(*_: object) -> None:
        raise UnavailableError("the store of files does not respond")

    for name in ("get", "put", "exists", "list", "delete"):
        monkeypatch.setattr(api.files, name, fails)
    for ask in (api.service.latest, lambda: api.store.load(api.store.latest())):
        with pytest.raises(UnavailableError):
            ask()
    with pytest.raises(UnavailableError):
        api.service.verify_observed()
    with pytest.raises(UnavailableError):
        worker.store.put(rain(330))
    monkeypatch.undo()
    assert len(api.store.scans()) == 11
    assert len(api.service.catalogue.entries()) == 3


def test_a_row_appears_after_the_file_is_in_the_store(machines, monkeypatch):
    worker, api = machines
    seen: list[int] = []
    put = worker.files.put

    def noted(name: str, content: bytes) -> None:
        seen.append(len(api.store.scans()) + len(api.service.catalogue.entries()))
        put(name, content)

    monkeypatch.setattr(worker.files, "put", noted)
    before = len(api.store.scans()) + len(api.service.catalogue.entries())
    worker.store.put(rain(330))
    assert seen == [before]
    worker.service.forecast_stored(REFERENCE + timedelta(minutes=60))
    assert set(seen[1:-4]) <= {before + 1, before + 2}
    assert len(seen) == 1 + 4, "the scan, the inputs, and three forecasts"


def test_retention_deletes_what_the_store_has_although_no_file_is_here(machines):
    worker, api = machines
    for path in worker.home.rglob("*.nc"):
        path.unlink()
    found = retention._dated(worker.home / "scans", "*.nc")
    assert len(found) == 11
    retention.delete("scans", found[:2], worker.home, lambda: None)
    assert len(list(worker.files.list("scans"))) == 9
    assert not shared_files.is_stored(api.home / found[0].path.relative_to(worker.home))


def test_retention_keeps_forecasts_of_which_no_file_is_here(machines):
    worker, _ = machines
    worker.service.settings = worker.service.settings.model_copy(update={"forecasts_keep_days": 1})
    before = {one.name for one in worker.files.list("forecasts")}
    for path in worker.home.rglob("*.nc"):
        path.unlink()
    assert sweep_forecasts(worker.service) == {}
    assert {one.name for one in worker.files.list("forecasts")} == before


def test_the_catalogue_is_entered_again_from_the_store(machines, opened, tmp_path):
    worker, _ = machines
    known = {entry.id for entry in worker.service.catalogue.entries()}
    for one in (worker.store.engine, worker.service.catalogue.engine):
        one.dispose()
    for path in tmp_path.glob("catalogue.sqlite*"):
        path.unlink()
    third = opened("third")
    assert len(third.store.scans()) == 11
    assert {entry.id for entry in third.service.catalogue.entries()} == known


def test_models_and_aliases_reach_other_machines(machines, clock, tmp_path):
    worker, api = machines
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "model.json").write_text('{"sha256": "0"}')
    (checkpoint / "model.safetensors").write_bytes(b"weights")
    here, there = (ModelRegistry(each.home, shipped=tmp_path / "none") for each in (worker, api))
    added = here.add(checkpoint, "rain", lambda _: "1")
    here.set_alias("newest", added)
    assert there.find("newest").reference == "rain@1"
    assert (there.find("rain").folder / "model.safetensors").read_bytes() == b"weights"  # type: ignore[operator]
    here.set_alias("second", added)
    clock.now_s += LATER
    assert "second" in there.names()


def test_the_state_of_ingest_is_known_elsewhere(machines, clock):
    worker, api = machines
    write_beat(worker.store, REFERENCE, Totals(), SourceBeat("dwd", {}), Pause())
    assert "dwd" in api.store.ingest_status().worker["sources"]


def test_two_machines_that_set_aliases_at_once_lose_none(machines, tmp_path):
    worker, api = machines
    here, there = (ModelRegistry(each.home, shipped=tmp_path / "none") for each in (worker, api))
    persistence = here.find("persistence")
    for registry, alias in ((here, "first"), (there, "second"), (here, "third"), (there, "fourth")):
        registry.set_alias(alias, persistence)
    assert {"first", "second", "third", "fourth"} <= set(there.aliases())


def test_a_scan_that_ingest_has_replaced_is_read_anew_elsewhere(machines, tmp_path):
    worker, api = machines
    old = api.store.load(api.store.latest()).rate_mmh_HW
    newer = rain(300)
    newer = replace(newer, rate_mmh_HW=newer.rate_mmh_HW + np.float32(1))
    assert worker.store.put(newer)
    np.testing.assert_array_equal(api.store.load(api.store.latest()).rate_mmh_HW, newer.rate_mmh_HW)
    assert not np.array_equal(old, newer.rate_mmh_HW, equal_nan=True)


def test_what_was_written_here_alone_before_an_end_is_put_into_the_store_by_the_next_try(machines, monkeypatch):
    worker, _ = machines
    first = worker.service.latest()
    put, failing = worker.files.put, ["inputs-", ".members.nc", ".observations.nc"]

    def fails(name: str, content: bytes) -> None:
        if found := [part for part in failing if part in name]:
            failing.remove(found[0])
            raise UnavailableError("the store of files does not respond")
        put(name, content)

    monkeypatch.setattr(worker.files, "put", fails)
    reference_time = REFERENCE + timedelta(minutes=30)
    with pytest.raises(UnavailableError):
        worker.service.forecast_stored(reference_time)
    forecast = worker.service.forecast_stored(reference_time)
    for _ in range(2):
        with suppress(UnavailableError):
            make_members(forecast, 2)
    for _ in range(2):
        with suppress(UnavailableError):
            worker.service.verification_of(first)
    assert not failing
    names = {one.name for one in worker.files.list("forecasts")}
    for path in (forecast.path, forecast.inputs_path, members_path(forecast), observations_file(first.path)):
        assert path.relative_to(worker.home).as_posix() in names


def test_an_upload_that_waits_is_read_by_the_worker_and_gone_afterwards(machines):
    worker, api = machines
    here, there = KeptUploads(api.home), KeptUploads(worker.home)
    here.keep("job", Upload((UploadedFile("a.nc", b"rain"),), (), "default"))
    assert there.count() == 1
    assert there.read("job").frames == (UploadedFile("a.nc", b"rain"),)
    assert (worker.home / "uploads/job.zip").stat().st_mode & 0o777 == 0o600
    there.drop("job")
    assert here.count() == there.count() == 0
    assert not list(api.home.glob("uploads/*"))
    assert not list(worker.home.glob("uploads/*"))
    here.keep("old", Upload((), (), "default"))
    assert there.sweep(datetime.now(UTC) + timedelta(hours=1)) == 1
    assert not list(api.files.list("uploads"))


def test_an_attempt_that_ended_with_its_machine_is_counted_by_the_next_one(machines, monkeypatch):
    worker, api = machines
    with monkeypatch.context() as patch:
        patch.setattr("ingest.store.attempts.withdraw", lambda paths: None)
        with attempt(worker.home, "2" * 64, "file", b""):
            assert (worker.home / "attempts" / ("2" * 64)).read_text() == "1"
    apart: list[str] = []
    monkeypatch.setattr("ingest.store.attempts._read_apart", lambda content, name, limit_s: apart.append(name))
    with attempt(api.home, "2" * 64, "file", b""):
        pass
    assert apart == ["file"]


def test_the_files_of_one_machine_are_put_into_the_store(tmp_path, filled, monkeypatch):
    monkeypatch.setattr(shared_files, "_MOUNTED", {})
    home = tmp_path / "home"
    shutil.copytree(filled / "worker", home)
    (home / "forecasts/2024/06/01").mkdir(parents=True, exist_ok=True)
    (home / "forecasts/2024/06/01/a.source.nc").write_bytes(b"an export")
    flip(next((home / "scans").rglob("*.nc")), 900)
    environment = {"HOME": home, "FILES_URL": (tmp_path / "store").as_uri(), "REDIS_URL": "redis://127.0.0.1/0"}
    environment["DATABASE_URL"] = "postgresql+psycopg://rain@127.0.0.1/rain"
    for name, value in environment.items():
        monkeypatch.setenv(f"NOWCAST_{name}", str(value))
    count = len(list(home.rglob("*.nc"))) - 2
    for put, there in ((count, 0), (0, count)):
        done = CliRunner().invoke(files_command, ["put"])
        assert f"{put} files are put, {there} were there, 1 are damaged" in done.stderr
    stored = {path.relative_to(tmp_path / "store") for path in (tmp_path / "store").rglob("*.nc")}
    assert len(stored) == count
    assert not [path for path in stored if path.name.endswith(".source.nc")]
