"""The report on the other data sets' miniatures: their own tables and figures, each from an evaluated run."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from tests.training.small_runs import make_run, report_of, rows_of
from training.datasets import DATASETS


@pytest.mark.parametrize(
    ("dataset", "table", "figure", "scores"),
    [
        ("taxibj", 6, 6, {"MSE, frame 1": ("mse", 1), "MSE, frame 2": ("mse", 2)}),
        pytest.param(
            *("kth", 7, 8, {"SSIM": ("ssim", 0), "PSNR": ("psnr", 0), "GDL": ("gdl", 0), "MSE": ("mse", 0)}),
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_data_set_has_its_table_and_its_figure(dataset, table, figure, scores, tmp_path):
    (tmp_path / "data").mkdir()
    options = DATASETS.get(dataset).miniature(tmp_path / "data")
    sets = ["input_steps=3", "lead_steps=2", *(f"{key}={json.dumps(value)}" for key, value in options.items())]
    for model in ("convlstm", "ms-convlstm"):
        make_run(tmp_path / "runs" / model, model, *sets, dataset=dataset, data=tmp_path / "data")
    out = tmp_path / "page"
    result = report_of("--runs", tmp_path / "runs", "--out", out, "--evaluate", "--clips", 2)
    assert result.exit_code == 0, result.output
    evaluation = json.loads((tmp_path / "runs" / "convlstm" / "evaluation.json").read_text())
    row = rows_of(out, table)[0]
    assert row["Model"] == row["runs"] == "convlstm"
    for label, (score, lead) in scores.items():
        by_lead = {one["lead"]: one for one in evaluation["by_lead"] if one["model"] == "convlstm"}
        expected = by_lead[lead][score] if lead else evaluation["overall"]["convlstm"][score]
        assert float(row[f"{label}, forecast"]) == pytest.approx(expected, abs=0.006)
    page = (out / "README.md").read_text()
    assert f"### Figure {figure}. Forecasts" in page
    pixels = np.asarray(Image.open(out / f"figure{figure}.png").convert("RGB")).astype(int)
    has_colour = (np.ptp(pixels, axis=2) > 60).mean() > 0.05
    assert has_colour == (dataset == "taxibj")  # grey pictures of people, flows in colours
    again = tmp_path / "again"
    assert report_of("--runs", out / "runs", "--out", again).exit_code == 0
    assert (again / f"figure{figure}.png").read_bytes() == (out / f"figure{figure}.png").read_bytes()
    assert (again / "README.md").read_text() == page


def test_a_full_disk_is_one_line(made, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "figure1.png")

    monkeypatch.setattr(Figure, "savefig", full)
    result = report_of("--runs", made[1] / "runs", "--out", tmp_path)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert "No space left on device" in result.stderr
