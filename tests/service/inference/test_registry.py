"""Models by name, version and alias: what is switched takes effect everywhere at once, and nothing broken ever does."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from core.errors import ConflictError, InputError, UnknownNameError
from core.settings import Settings
from ingest.store.live import Store
from ingest.store.ready import ServedModel
from ingest.worker.served import served_models
from models import build_model
from models.checkpoint import save_model
from models.transforms import ReflectivityTransform
from service.access.keybook import KeyBook
from service.forecasts.catalogue import Catalogue
from service.forecasts.nowcast import NowcastService
from service.inference.predictor import Predictor
from service.inference.registry import ModelRegistry
from service.models import app, checked_version
from tests.service.api_support import NOW, fill, running
from tests.service.fakes import whole

RATES = np.full((5, 24, 24), 1.5, np.float32)
Make = Callable[..., Path]


@pytest.fixture
def checkpoint(tmp_path) -> Make:
    def made(version: str, *, name: str = "rain", seed: float = 0.0, pixel_m: float = 7258.0) -> Path:
        folder: Path = tmp_path / "trained" / f"{name}-{version}-{seed}" / name
        model = build_model("ms-convlstm", hidden_channels=4, num_layers=6)
        for parameter in model.parameters():
            parameter.data.fill_(seed)
        card = {
            "architecture": {"name": "ms-convlstm", "options": {"hidden_channels": 4, "num_layers": 6}},
            "transform": ReflectivityTransform().to_dict(),
            "input_steps": 5,
            "cadence_minutes": 30,
            "pixel_m": pixel_m,
            "version": version,
        }
        save_model(folder, model, card)
        return folder

    return made


@pytest.fixture
def registry(tmp_path) -> ModelRegistry:
    return ModelRegistry(tmp_path / "home")


def add(registry: ModelRegistry, folder: Path, name: str = "rain"):
    return registry.add(folder, name, lambda copy: checked_version(name, copy))


def test_shipped_models_are_registered(registry):
    assert registry.names() == ["default", "extrapolation", "guided", "persistence"]
    shipped = registry.find("default")
    assert shipped.reference == f"default@{shipped.version}"
    assert registry.resolve(shipped.reference) == shipped.reference
    assert registry.resolve("persistence") == "persistence"


def test_a_name_means_its_alias_then_what_was_shipped_then_what_was_added_last(registry, checkpoint):
    add(registry, checkpoint("1"))
    two = add(registry, checkpoint("2"))
    assert [one.version for one in registry.versions("rain")] == ["1", "2"]
    assert registry.resolve("rain") == "rain@2"
    assert registry.resolve("default").startswith("default@")
    registry.set_alias("default", two)
    registry.set_alias("rain", registry.find("rain@1"))
    assert (registry.resolve("default"), registry.resolve("rain")) == ("rain@2", "rain@1")


@pytest.mark.parametrize("name", ["", " ", "..", "../rain", "rain@", "rain@9", "/etc", "*", "@1", "rain/1", "é"])
def test_invalid_model_names_are_refused(registry, checkpoint, name):
    add(registry, checkpoint("1"))
    with pytest.raises(UnknownNameError, match="unknown model"):
        registry.find(name)


def test_adding_is_done_once_and_never_replaces(registry, checkpoint):
    first = add(registry, checkpoint("1"))
    assert add(registry, checkpoint("1")).folder == first.folder
    with pytest.raises(ConflictError, match="expected another version"):
        add(registry, checkpoint("1", seed=0.5))
    assert sorted(path.name for path in first.folder.parent.iterdir()) == ["1"]


@pytest.mark.parametrize("harm", ["weights", "card", "cut", "version", "nothing"])
def test_a_broken_checkpoint_is_not_added(registry, checkpoint, harm):
    folder = checkpoint("1")
    weights, card = folder / "model.safetensors", folder / "model.json"
    if harm == "weights":
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
    elif harm == "cut":
        weights.write_bytes(weights.read_bytes()[:-40])
    elif harm == "card":
        card.write_text("{")
    elif harm == "version":
        card.write_text(json.dumps({**json.loads(card.read_text()), "version": "../1"}))
    else:
        shutil.rmtree(folder)
    with pytest.raises(InputError):
        add(registry, folder)
    assert registry.names() == ["default", "extrapolation", "guided", "persistence"]


def test_two_processes_follow_an_alias_and_back_without_a_restart(tmp_path, registry, checkpoint):
    one, two = add(registry, checkpoint("1")), add(registry, checkpoint("2", seed=0.01))
    others = [ModelRegistry(tmp_path / "home") for _ in range(2)]
    predictors = [Predictor.on_device("cpu", registry=other) for other in others]

    def served() -> set[str]:
        return {predictor.forecaster(predictor.choose("default").reference).version for predictor in predictors}

    before = served()
    registry.set_alias("default", one)
    assert served() == {"1"}
    first = predictors[0].predict("default", RATES, 2, 30, take=whole).result.rate_mmh_LHW
    registry.set_alias("default", two)
    assert served() == {"2"}
    assert not np.array_equal(predictors[0].predict("default", RATES, 2, 30, take=whole).result.rate_mmh_LHW, first)
    registry.set_alias("default", one)
    assert served() == {"1"}
    np.testing.assert_array_equal(predictors[0].predict("default", RATES, 2, 30, take=whole).result.rate_mmh_LHW, first)
    assert registry.aliases()["default"].before == (f"default@{before.pop()}", "rain@1", "rain@2")


def test_if_the_target_of_an_alias_does_not_load_the_last_good_one_serves(registry, checkpoint):
    one, two = add(registry, checkpoint("1")), add(registry, checkpoint("2"))
    predictor = Predictor.on_device("cpu", registry=registry)
    registry.set_alias("production", one)
    assert predictor.choose("production").notes == ()
    (two.folder / "model.safetensors").write_bytes(b"cut")
    registry.set_alias("production", two)  # as by hand: the command and the route try it first
    choice = predictor.choose("production")
    assert choice.reference == "rain@1"
    assert "rain@2 did not load" in choice.notes[0]
    assert "sha256" in choice.notes[0]


def test_unreadable_aliases_leave_the_previous_ones(tmp_path, registry, checkpoint, caplog):
    registry.set_alias("default", add(registry, checkpoint("1")))
    assert registry.resolve("default") == "rain@1"
    (tmp_path / "home/models/aliases.json").write_text("{")
    assert registry.resolve("default") == "rain@1"
    assert "are not readable" in caplog.text
    with pytest.raises(Exception, match="are not readable"):
        ModelRegistry(tmp_path / "home").resolve("default")


@pytest.mark.parametrize("alias", ["persistence", "../x", "", "a b", "a@1"])
def test_invalid_aliases_are_refused(registry, checkpoint, alias):
    with pytest.raises(InputError):
        registry.set_alias(alias, add(registry, checkpoint("1")))
    assert registry.aliases() == {}


def test_ingest_keeps_windows_for_what_aliases_mean(tmp_path, registry, checkpoint):
    add(registry, checkpoint("1", pixel_m=4000.0))
    add(registry, checkpoint("2", pixel_m=2000.0))
    registry.set_alias("fine", registry.find("rain@1"))
    added = tmp_path / "home/models"
    assert ServedModel("rain@1", 4000.0, 30, 5) in served_models(added=added)
    assert len(served_models(added=added)) == len(served_models()) + 1
    (added / "aliases.json").write_text("[]")
    assert served_models(added=added) == served_models()


def test_the_command_line(tmp_path, registry, checkpoint, monkeypatch):
    monkeypatch.setenv("NOWCAST_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NOWCAST_DEVICE", "cpu")

    def run(*words: str):
        return CliRunner().invoke(app, list(words))

    assert run("add", str(checkpoint("1"))).stdout == "rain@1\n"
    assert run("add", str(checkpoint("2")), "--name", "other").stdout == "other@2\n"
    assert run("alias", "default", "rain").stdout.startswith("default is rain@1 (before: default@")
    assert "other@2" in run("list").stdout
    assert registry.resolve("default") == "rain@1"
    (tmp_path / "home/models/other/2/model.safetensors").write_bytes(b"cut")
    broken = run("alias", "default", "other")
    assert (broken.exit_code, broken.stderr.count("\n")) == (2, 1)
    assert "refused, no alias was changed" in broken.stderr
    assert registry.resolve("default") == "rain@1"
    assert run("alias", "default", "nobody").exit_code == 2
    assert run("add", str(tmp_path / "nothing")).exit_code == 2


@pytest.fixture
def admin_headers(tmp_path) -> dict[str, str]:
    return {"X-API-Key": KeyBook.from_settings(Settings(home=tmp_path / "home")).create("operator", "admin")}


@pytest.fixture
def client(tmp_path, registry):
    home = tmp_path / "home"
    settings, store = Settings(home=home, device="cpu"), Store(home, clock=lambda: NOW)
    predictor = Predictor.on_device("cpu", registry=registry)
    service = NowcastService(settings, store, Catalogue(home), predictor, lambda: NOW, registry=registry)
    fill(service)
    with running(service) as client:
        yield client


def test_the_route_switches_and_rolls_back(client, registry, checkpoint, admin_headers):
    one, _ = add(registry, checkpoint("1")), add(registry, checkpoint("2", seed=0.01))

    def put(version: str | None, headers=admin_headers, name: str = "rain"):
        return client.put("/models/aliases/default", json={"name": name, "version": version}, headers=headers)

    assert put("1", headers={}).status_code == 401
    assert registry.aliases() == {}
    ids: dict[str, str] = {}
    for version in ("1", "2", "1"):
        answer = put(version)
        assert (answer.status_code, answer.json()["version"]) == (200, version)
        forecast = client.post("/nowcast", json={"verify": False}).json()
        assert forecast["model"] == {"name": "rain", "version": version}
        assert ids.setdefault(version, forecast["forecast_id"]) == forecast["forecast_id"], "the same once more"
    assert ids["1"] != ids["2"]
    answer = client.get("/models").json()
    assert [alias["alias"] for alias in answer["aliases"]] == ["default"]
    named = {model["name"]: model for model in answer["models"]}
    assert [each["version"] for each in named["rain"]["versions"]] == ["1", "2"]
    assert put("9").status_code == 404
    assert put(None, name="nobody").status_code == 404
    assert client.post("/nowcast", json={"model": one.reference}).json()["model"]["version"] == "1"


def test_the_route_refuses_what_does_not_run(client, registry, checkpoint, admin_headers):
    registry.set_alias("default", add(registry, checkpoint("1")))
    broken = add(registry, checkpoint("2"))
    (broken.folder / "model.safetensors").write_bytes(b"cut")
    body = {"name": "rain", "version": "2"}
    answer = client.put("/models/aliases/default", json=body, headers=admin_headers)
    assert answer.status_code == 422
    assert "no alias was changed" in answer.json()["detail"]
    assert registry.resolve("default") == "rain@1"
