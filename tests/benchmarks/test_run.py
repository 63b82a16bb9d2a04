"""The command at tiny sizes: every benchmark runs, the page and the JSON have its results."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from benchmarks import against_peers, growth, memory
from benchmarks.loading import loading
from benchmarks.memory import SIDES, peak_memory, step_peak
from benchmarks.page import BENCHMARKS
from benchmarks.peers import PEERS, Peer
from benchmarks.run import ORDER, app
from benchmarks.setting import BenchmarkSetting, quick
from benchmarks.sides import rain_mmh
from core.registry import Registry

SETTING = quick(BenchmarkSetting())


def _run(*arguments):
    return CliRunner().invoke(app, ["--quick", "--cell", "convlstm", *arguments])


@pytest.mark.long
def test_the_page_the_figures_and_the_picture_are_written(tmp_path, monkeypatch):
    page, figures = tmp_path / "page.md", tmp_path / "figures.json"
    monkeypatch.setattr(growth, "_saved_mb", lambda name, setting, layers: setting.batch * setting.height**2 * 1e-6)
    chosen = [f"--only={name}" for name in ("limits", "forecast", "training", "saved-activations", "growth")]
    result = _run("--markdown", str(page), "--json", str(figures), *chosen)
    assert result.exit_code == 0, result.output
    text, content = page.read_text(), json.loads(figures.read_text())
    assert (tmp_path / "page-growth.png").read_bytes().startswith(b"\x89PNG")
    assert "(page-growth.png)" in text
    assert "Tiny sizes" in text
    rows = {name: section["rows"] for name, section in content["sections"].items()}
    assert rows["forecast"][0]["times faster"] > 0
    assert rows["training"][0]["pairs"] == 1
    assert 0 < rows["saved-activations"][0]["with recompute, MB"] < rows["saved-activations"][0]["ours, MB"]
    slopes = {(row["growing"], row["of"]): row["slope"] for row in rows["growth"] if row["model"] == "convlstm"}
    assert slopes["edge of the image", "saved activations, MB"] == pytest.approx(2)
    assert slopes["batch", "saved activations, MB"] == pytest.approx(1)


def test_saved_activations_grow_with_the_image():
    small, large = (growth._saved_mb("convlstm", replace(SETTING, height=edge, width=edge), 2) for edge in (16, 32))
    assert large / small == pytest.approx(4, rel=0.01)


def test_every_benchmark_has_its_place_in_the_page():
    assert set(ORDER) <= set(BENCHMARKS.names())


@pytest.mark.parametrize("wrong", [["--only", "forcast"], ["--cell", "convlstn"], ["--device", "cuda:99"]])
def test_a_wrong_choice_is_named(wrong):
    result = _run("--only", "limits", *wrong)
    assert result.exit_code == 2
    assert result.output.startswith("error: ")


def test_the_peak_of_both_sides_is_taken_and_put_into_shares(monkeypatch):
    peaks = dict(zip(SIDES, (200, 50, 30), strict=True))
    monkeypatch.setattr(memory, "in_fresh_process", lambda work, side, name, setting: peaks[side])
    section = peak_memory(SETTING)
    assert [row["share, %"] for row in section.rows] == [100, 25, 15]
    assert [goal.reached for goal in section.goals] == [True, True]


def test_a_step_has_a_peak_on_each_side():
    sizes = quick(BenchmarkSetting(height=64))
    assert all(step_peak(side, "ms-convlstm", sizes) >= 0 for side in SIDES)


def test_a_peer_that_is_not_installed_is_named_and_the_others_run(monkeypatch):
    def missing(setting):
        raise ModuleNotFoundError("No module named 'somewhere'")

    peers: Registry[Callable[[BenchmarkSetting], Peer]] = Registry("peer")
    peers.register("missing")(missing)
    peers.register("pysteps-extrapolation")(PEERS.get("pysteps-extrapolation"))
    monkeypatch.setattr(against_peers, "PEERS", peers)
    section = against_peers.peers(SETTING)
    assert len(section.rows) == 2
    assert float(section.rows[1]["seconds"] or 0) > 0
    assert section.skipped == [
        "missing: not installed (No module named 'somewhere'); `pip install --no-deps -r benchmarks/peers.txt`"
    ]


@pytest.mark.parametrize("name", ["pysteps-steps", "mlcast-convgru", "mfai-halfunet", "dgmr"])
def test_a_peer_forecasts_the_same_fields(name):
    try:
        peer = PEERS.get(name)(SETTING)
    except ImportError as err:
        pytest.skip(f"{name} is not installed: {err}")
    rate_mmh_THW = rain_mmh(SETTING.height, SETTING.width, peer.frames)
    assert peer.forecaster.forecast(rate_mmh_THW, SETTING.lead_steps).rate_mmh_LHW.shape == (2, 32, 32)
    assert (float(against_peers._counts(peer, SETTING).get("GMAC") or 0) > 0) == (peer.network is not None)


def test_data_that_are_not_given_are_named(monkeypatch):
    monkeypatch.setattr("benchmarks.loading.measure", lambda config, setting: (1.0, 99.0))
    section = loading(SETTING)
    assert [row["waiting, %"] for row in section.rows] == [1.0, 1.0]
    assert len(section.skipped) == 2
    assert "--data" in section.skipped[0]
