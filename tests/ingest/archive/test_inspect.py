"""Reports and pictures of archives, against values worked out by hand; and journals that a kill cut short."""

import json

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from ingest.archive.__main__ import app
from ingest.archive.build import build_archive
from ingest.archive.gaps import as_text, gap_report
from ingest.archive.inspect import inspect_archive
from ingest.archive.journal import Journal, JournalEntry, StoredField, bytes_done, entries, is_finished
from tests.ingest.archive.sources import SMALL, START, STEP, small_rates, write_event

NEW_YEAR = 1704067200 - 600
"""2023-12-31 23:50."""


def test_gaps_are_found_over_the_turn_of_a_month():
    seconds = NEW_YEAR + 300 * np.array([0, 1, 4, 5, 6, 9])
    report = gap_report(seconds)
    assert report["step_minutes"] == 5
    assert (report["fields"], report["missing"]) == (6, 4)
    assert [(gap["from"], gap["fields"]) for gap in report["gaps"]] == [
        ("2024-01-01T00:00:00Z", 2),
        ("2024-01-01T00:25:00Z", 2),
    ]
    assert report["months"] == [
        {"month": "2023-12", "fields": 2, "missing": 0, "share": 1.0},
        {"month": "2024-01", "fields": 4, "missing": 4, "share": 0.5},
    ]
    assert "6 of 10 fields (60.00%), 4 missing" in as_text(report)


def test_shares_are_of_the_cells_that_are_observed(tmp_path, settings):
    rate_mmh_THW = np.zeros((4, *SMALL.shape), np.float32)
    rate_mmh_THW[:, 0] = np.nan
    rate_mmh_THW[0, 1], rate_mmh_THW[1, 1, :2], rate_mmh_THW[2, 1, 0] = 2.0, 0.05, 7.5
    rate_mmh_THW[3] = np.nan
    write_event(tmp_path / "in" / "a.nc", rate_mmh_THW, START)
    archive = build_archive(tmp_path / "in", tmp_path / "out.zarr", settings).archive
    contents = inspect_archive(archive)
    np.testing.assert_allclose(contents.observed_N, [25 / 30, 25 / 30, 25 / 30, 0])
    np.testing.assert_allclose(contents.wet_N, [0.2, 0, 0.04, np.nan])
    assert contents.wet_HW[1, 0] == 2 / 3
    assert contents.observed_HW[1, 0] == 3 / 4
    assert np.isnan(contents.wet_HW[0]).all()
    assert contents.report["largest_mmh"] == 7.5
    assert 2.0 <= contents.report["wet_rate_mmh"]["50.0%"] < 2.3


def test_the_command_builds_and_then_draws(tmp_path):
    write_event(tmp_path / "in" / "a.nc", small_rates(5), START)
    write_event(tmp_path / "in" / "b.nc", small_rates(5), START + 20 * STEP)
    archive = tmp_path / "out.zarr"
    result = CliRunner().invoke(app, ["build", "--source", str(tmp_path / "in"), "--out", str(archive)])
    assert result.exit_code == 0, result.output
    assert "10 of 25 fields" in result.stdout
    result = CliRunner().invoke(app, ["build", "--source", str(tmp_path / "in"), "--out", str(archive)])
    assert "exists already" in result.stdout
    numbers = tmp_path / "numbers.json"
    result = CliRunner().invoke(app, ["inspect", str(archive), "--json", str(numbers), "--fields", "4"])
    assert result.exit_code == 0, result.output
    assert json.loads(numbers.read_text())["fields_read"] == 4
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.size[0] > 800
    assert CliRunner().invoke(app, ["inspect", str(tmp_path / "in")]).exit_code == 2


def test_a_line_that_was_cut_is_dropped_and_written_again(tmp_path):
    path = tmp_path / "unit" / "journal.jsonl"
    one = JournalEntry("a", 10, (StoredField(300, 5, 0.25, 1.5, 9.0, ("asb",)), StoredField(600, 0, None, None, None)))
    two = JournalEntry("b", 20, rejected="empty")
    with Journal(path) as journal:
        journal.add(one)
        journal.add(two)
    with path.open("ab") as file:
        file.write(b'{"name":"c","at_')
    assert list(entries(path)) == [one, two]
    assert (bytes_done(path), is_finished(path)) == (20, False)
    with Journal(path) as journal:
        journal.add(JournalEntry("c", 30))
        journal.finish()
    assert [entry.name for entry in entries(path)] == ["a", "b", "c"]
    assert is_finished(path)
