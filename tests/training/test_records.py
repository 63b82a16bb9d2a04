"""Records: evaluated runs without their weights, of which the same report comes again."""

import shutil
from pathlib import Path

import pytest

from core.errors import ConfigError
from tests.training.small_runs import make_run, report_of, rows_of
from training.report.records import read_example
from training.report.runs import TrainingRun, all_runs, find_runs


def _same_but_for_left_out(page):
    return page.read_text().partition("## Runs that are not used")[0].rstrip()


def test_the_report_of_the_records_is_the_report_of_the_runs(made, tmp_path):
    _, out, _ = made
    again = tmp_path / "again"
    result = report_of("--runs", out / "runs", "--out", again)
    assert result.exit_code == 0, result.output
    files = sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert _same_but_for_left_out(again / "README.md") == _same_but_for_left_out(out / "README.md")
    for path in files:
        assert path.name == "README.md" or (again / path).read_bytes() == (out / path).read_bytes(), path
    in_place = {path: path.read_bytes() for path in again.rglob("*") if path.is_file()}
    assert report_of("--runs", again / "runs", "--out", again).exit_code == 0
    assert {path: path.read_bytes() for path in again.rglob("*") if path.is_file()} == in_place


def test_a_record_is_small_has_no_weights_and_no_path_of_this_machine(made):
    runs, out, _ = made
    for record in (out / "runs").iterdir():
        files = [path for path in record.rglob("*") if path.is_file()]
        assert {path.name for path in files} == {
            "config.yaml",
            "model.json",
            "metrics.csv",
            "evaluation.json",
            "example.npz",
        }
        assert sum(path.stat().st_size for path in files) < 40_000
        for path in files:
            assert str(runs).encode() not in path.read_bytes()
    run = find_runs(out / "runs")[0][0]
    assert not run.has_weights
    assert run.seconds == 12.25
    assert run.machines == ["a machine, 2 cores"]
    assert "Trained on a machine, 2 cores: flat-1, flat-2, " in (out / "README.md").read_text()


def test_runs_of_several_folders_add_up(made, tmp_path):
    runs, out, _ = made
    new = tmp_path / "new"
    make_run(new / "flat-3", "convlstm", "seed=3")
    page = tmp_path / "page"
    shutil.copytree(out / "runs", page / "runs")
    shutil.rmtree(page / "runs" / "rival")
    shutil.copytree(runs / "flat-1", new / "flat-1")
    (new / "flat-1" / "evaluation.json").unlink()
    result = report_of("--runs", new, "--runs", page / "runs", "--out", page, "--evaluate", "--clips", 3)
    assert result.exit_code == 0, result.output
    assert "8 runs, 0 left out" in result.output
    assert "evaluating flat-1" not in result.output  # its record is of the same weights
    assert rows_of(page, 4)[0]["seeds"] == "1 2 3"
    assert (page / "runs" / "flat-3" / "example.npz").is_file()
    found, _ = all_runs([page / "runs", new])
    assert [run.name for run in found if run.has_weights] == ["flat-1", "flat-3"]
    other = make_run(tmp_path / "other" / "flat-1", "convlstm", "seed=7").parent
    result = report_of("--runs", page / "runs", "--runs", other, "--out", page)
    assert result.exit_code == 2
    assert "two runs of one name" in result.output
    result = report_of("--runs", other, "--out", page, "--evaluate", "--clips", 3)
    assert result.exit_code == 2
    assert "another run of this name" in result.output


def test_a_record_without_its_clip_costs_only_the_figure(made, tmp_path):
    _, out, _ = made
    shutil.copytree(out / "runs", tmp_path / "runs")
    assert report_of("--runs", tmp_path / "runs", "--out", tmp_path / "page", "--clip", 1).exit_code == 0
    page = (tmp_path / "page" / "README.md").read_text()
    assert "Not drawn: the record of flat-1 keeps clip 0, and it has no weights to forecast clip 1" in page
    assert not (tmp_path / "page" / "runs" / "flat-1" / "example.npz").exists()
    (tmp_path / "runs" / "ms-1" / "example.npz").write_bytes(b"PK")
    with pytest.raises(ConfigError, match="expected an example with past, future, forecast and clip"):
        read_example(TrainingRun(tmp_path / "runs" / "ms-1", {}, {}))


def test_a_record_is_not_evaluated_again(made, tmp_path):
    _, out, _ = made
    result = report_of("--runs", out / "runs", "--out", tmp_path, "--evaluate", "--again", "--clips", 1)
    assert result.exit_code == 0, result.output
    assert "evaluating" not in result.output
    assert "3 of 6" in (tmp_path / "README.md").read_text()


def test_notes_open_the_page(made, tmp_path):
    _, out, _ = made
    (tmp_path / "notes.md").write_text("## What we saw\n\nNothing.\n")
    assert report_of("--runs", out / "runs", "--out", tmp_path).exit_code == 0
    page = (tmp_path / "README.md").read_text()
    assert page.index("paper's mean") < page.index("## What we saw") < page.index("### Table 3")


@pytest.mark.long
def test_the_page_of_moving_mnist_is_what_its_records_give(tmp_path):
    page = Path(__file__).parents[2] / "docs" / "results" / "moving_mnist"
    shutil.copy(page / "notes.md", tmp_path)
    result = report_of("--runs", page / "runs", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    for path in [path for path in page.iterdir() if path.suffix in (".md", ".csv", ".tex")]:
        assert (tmp_path / path.name).read_text() == path.read_text(), path
    assert {path.name for path in page.iterdir()} == {path.name for path in tmp_path.iterdir()}
