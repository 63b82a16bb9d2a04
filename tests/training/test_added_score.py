"""A score that is added appears in validation while training and in the evaluation, as text and as JSON."""

import csv
import json

import pytest
from typer.testing import CliRunner

from tests.added_scores import OF_COUNTS, OWN, added_scores
from training import evaluate, run


@pytest.fixture(scope="module")
def trained(event, tmp_path_factory):
    """A run folder, the printed table and the table as JSON, all made with two scores more, and ETS."""
    folder = tmp_path_factory.mktemp("run")
    size = ["--set", "height=16", "--set", "width=16"]
    small = ["--batch-size", "2", "--set", "hidden_channels=2", "--set", "num_layers=3", "--max-steps", "2"]
    data = ["--data", str(event)]
    with added_scores():
        arguments = ["--dataset", "germany", *data, "--out", str(folder / "run"), *small, *size]
        done = CliRunner().invoke(run.app, [*arguments, "--set", "validate_every=2"])
        assert done.exit_code == 0, done.output
        arguments = ["--checkpoint", str(folder / "run" / "checkpoint"), *data, *size, "--clips", "4"]
        shown = CliRunner().invoke(evaluate.app, [*arguments, "--json", str(folder / "table.json")])
        assert shown.exit_code == 0, shown.output
    return folder / "run", shown.output, json.loads((folder / "table.json").read_text())


def test_it_is_validated_while_training(trained):
    folder, _, _ = trained
    names = {row["name"] for row in csv.DictReader((folder / "metrics.csv").read_text().splitlines())}
    assert {f"validation/{OF_COUNTS}_0.5", "validation/ets_0.5", f"validation/{OWN}", "validation/b-mse"} <= names


def test_it_is_printed(trained):
    _, text, _ = trained
    heads = [line.split() for line in text.splitlines() if " mm/h " in line and "CSI" in line]
    assert heads
    assert all({OF_COUNTS.upper(), "ETS"} <= set(head) for head in heads)
    assert any(line.startswith(OWN.upper()) for line in text.splitlines())


def test_it_is_in_the_json(trained):
    _, _, table = trained
    rows = [row for row in table["scores"] if row["ets"] is not None]
    assert rows
    assert all(row[OF_COUNTS] == pytest.approx(row["ets"]) for row in rows)
    for scores in table["overall"].values():
        assert 0 <= scores[OWN] <= 1
        assert {f"{OF_COUNTS}_0.5", f"{OF_COUNTS}_30"} <= set(scores)
    assert all(OWN in row for row in table["by_lead"])
