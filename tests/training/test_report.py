"""The report: the paper's tables and figures from run folders, with empty cells and a list for what was not run."""

import json
import shlex
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations

import numpy as np
import pytest
import yaml
from matplotlib.figure import Figure
from PIL import Image

from core import cf
from core.grid import RADOLAN_900
from models.cost import PAPER_CELLS
from tests.training.small_runs import make_run, report_of, rows_of
from training.config import resolve
from training.report import command as report
from training.report.claim import by_seed, is_better_high
from training.report.figures import label_points
from training.report.runs import TrainingRun, by_setting, command, find_runs
from training.report.tables import change, make_table, paper_tables


def _overall(runs, name, score, protocol="overall"):
    return json.loads((runs / name / "evaluation.json").read_text())[protocol][name][score]


def test_two_seeds_are_a_mean_and_both_values(made):
    runs, out, _ = made
    one, two = (_overall(runs, name, "mse") for name in ("flat-1", "flat-2"))
    row = rows_of(out, 4)[0]
    assert (row["Model"], row["runs"], row["seeds"]) == ("convlstm", "flat-1 flat-2", "1 2")
    assert float(row["MSE, forecast"]) == pytest.approx((one + two) / 2, abs=0.006)
    assert f"({one:.2f}, {two:.2f})" in (out / "table4.md").read_text()
    all_frames = [_overall(runs, name, "mse", "paper") for name in ("flat-1", "flat-2")]
    assert float(row["MSE, all frames"]) == pytest.approx(np.mean(all_frames), abs=0.006)
    assert row["MSE, paper"] == "82.014"


def test_rows_hold_the_runs_that_they_describe(made):
    _, out, _ = made
    assert [row["runs"] for row in rows_of(out, 9)] == ["flat-1 flat-2", "ms-none", "ms-1 ms-2", "", ""]
    assert [row["runs"] for row in rows_of(out, 10)] == ["", "", "ms-1 ms-2", "", ""]
    assert [row["runs"] for row in rows_of(out, 11)] == ["ms-l1", "", "ms-1 ms-2", "", ""]
    assert [row["runs"] for row in rows_of(out, 5)] == ["rival", "", "ms-1 ms-2", "", "", ""]


def test_what_was_not_run_is_empty_and_listed(made):
    _, out, output = made
    row = rows_of(out, 4)[2]
    assert (row["Model"], row["MSE, forecast"], row["MSE, paper"]) == ("predrnn", "", "64.782")
    page = (out / "README.md").read_text()
    assert "Not run: predrnn, ms-predrnn" in page
    assert "- cut: not finished: it has no checkpoint yet" in page
    assert "In no table of the paper: residual (residual=True)." in page
    assert "8 runs, 1 left out" in output
    for number in (6, 7, 8):
        assert not (out / f"table{number}.md").exists()


def test_baselines_stand_in_every_table_with_scores(made):
    runs, out, _ = made
    for number in (4, 5, 9, 10, 11):
        assert [row["Model"] for row in rows_of(out, number)][-2:] == ["persistence", "extrapolation"]
    assert "persistence" not in (out / "table3.md").read_text()
    evaluation = json.loads((runs / "ms-1" / "evaluation.json").read_text())
    persistence = next(row for row in rows_of(out, 4) if row["Model"] == "persistence")
    assert float(persistence["SSIM, forecast"]) == pytest.approx(evaluation["overall"]["persistence"]["ssim"], abs=6e-4)


def test_a_model_without_one_step_forecasts_has_only_the_headline(made):
    _, out, _ = made
    rival = rows_of(out, 5)[0]
    assert rival["MSE, forecast"]
    assert rival["MSE, all frames"] == ""


def test_each_table_names_commands_seeds_steps_scale_and_seconds(made):
    runs, out, _ = made
    text = (out / "table9.md").read_text()
    assert "frames of 16 x 16 (size=16, digit_size=7" in text
    assert "3 in and 2 out; 2 channels, 3 layers; 4 steps of 2 clips" in text
    line = next(line for line in text.splitlines() if line.startswith("| flat-2"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == [
        "flat-2",
        "convlstm",
        "none",
        "l1+l2",
        "2",
        "4",
        "0.0003",
        "32-true",
        "12",
        "3 of 6",
        "0123456789ab",
    ]
    commands = [line for line in text.splitlines() if line.startswith("python -m training.run")]
    mine = next(line for line in commands if line.endswith("RUNS/ms-none"))
    words = shlex.split(mine)
    sets = [words[n + 1] for n, word in enumerate(words) if word == "--set"]
    model = words[words.index("--model") + 1]
    resolved = resolve("moving_mnist", file=None, sets=sets, model=model).model_dump(mode="json")
    assert resolved == yaml.safe_load((runs / "ms-none" / "config.yaml").read_text())
    assert "python -m training.evaluate --checkpoint RUNS/ms-none/checkpoint" in text


def test_the_claim_is_counted_from_the_pairs_that_were_run(made):
    runs, out, _ = made
    page = (out / "README.md").read_text()
    flat = np.mean([_overall(runs, name, "mse") for name in ("flat-1", "flat-2")])
    multiscale = np.mean([_overall(runs, name, "mse") for name in ("ms-1", "ms-2")])
    percent = 100 * (multiscale / flat - 1)
    line = next(line for line in page.splitlines() if line.startswith("| ms-convlstm against convlstm"))
    assert f" {percent:+.1f} " in line
    assert "-28.9" in line  # the paper's 82.014 to 58.309
    assert "-29.8" in line  # its 5.50 GB to 3.86 GB
    assert f"MSE {int(percent < 0)} of 1" in page
    assert "Memory 1 of 1" in page
    assert is_better_high("ssim")
    assert is_better_high("csi_0.5")
    assert not is_better_high("b-mse")
    assert not is_better_high("memory")


def test_seeds_are_listed_and_a_contradiction_is_reported(made):
    runs, out, _ = made
    page = (out / "README.md").read_text()
    for score in ("mse", "mae", "ssim"):
        changes = [100 * (_overall(runs, f"ms-{n}", score) / _overall(runs, f"flat-{n}", score) - 1) for n in (1, 2)]
        line = next(line for line in page.splitlines() if line.startswith(f"- ms-convlstm, {score.upper()}: "))
        assert f"1: {changes[0]:+.1f} %, 2: {changes[1]:+.1f} %" in line
        assert ("contradict" in line) == (changes[0] * changes[1] < 0)


def test_contradicting_seeds_are_distinguished_from_agreeing_ones(made):
    known = {run.name: run for run in find_runs(made[0])[0]}

    def scored(name, mse):
        run = known[name]
        assert run.evaluation is not None
        overall = {name: {**run.evaluation["overall"][name], "mse": mse}}
        return replace(run, evaluation={**run.evaluation, "overall": overall})

    flat = [scored("flat-1", 10.0), scored("flat-2", 10.0)]
    for second, agrees in ((9.0, True), (11.0, False)):
        message = by_seed([make_table(9, []), make_table(4, [*flat, scored("ms-1", 8.0), scored("ms-2", second)])])
        line = next(line for line in message[0].splitlines() if "MSE" in line)
        assert f"1: -20.0 %, 2: {10 * second - 100:+.1f} %; " in line
        assert ("the seeds agree" in line) == agrees
    assert by_seed([make_table(4, [flat[0], scored("ms-1", 8.0)])]) == []


def test_figures_are_drawn(made):
    _, out, _ = made
    page = (out / "README.md").read_text()
    for name in ("figure1.png", "figure3.png"):
        assert f"]({name})" in page
        pixels = np.asarray(Image.open(out / name).convert("RGB"))
        assert pixels.std() > 5
        assert min(pixels.shape[:2]) > 200


def test_names_of_near_points_do_not_lie_on_each_other():
    figure = Figure(figsize=(6.4, 4.4), dpi=110)
    axis = figure.subplots()
    places = {"ms-predrnn": (19.0, 28.32), "ms-predrnn++": (20.9, 28.21), "simvp": (10.8, 27.5), "mim": (18.5, 28.0)}
    for place in places.values():
        axis.plot(*place, "o")
    axis.set(xlim=(5, 100), ylim=(25, 40))
    figure.draw_without_rendering()
    label_points(axis, places)
    boxes = [text.get_window_extent() for text in axis.texts]
    assert [text.get_text() for text in axis.texts] == sorted(places, key=lambda name: places[name])
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_latex_has_as_many_cells_as_columns(made):
    _, out, _ = made
    lines = (out / "table9.tex").read_text().splitlines()
    columns = next(line for line in lines if "begin{tabular}" in line).split("{")[-1].rstrip("}")
    rows = [line for line in lines if line.endswith(r"\\")]
    assert len(rows) == 6
    assert {row.count("&") + 1 for row in rows} == {len(columns)}
    assert not any("_" in row.replace(r"\_", "") for row in rows)


def test_an_evaluation_is_kept_and_one_of_other_weights_is_not_used(made, tmp_path):
    runs, _, _ = made
    evaluations = tmp_path / "evaluations"
    evaluations.mkdir()
    content = json.loads((runs / "flat-1" / "evaluation.json").read_text())
    (evaluations / "flat-1.json").write_text(json.dumps(content))
    (evaluations / "flat-2.json").write_text(json.dumps(content))
    (evaluations / "ms-1.json").write_text("[]")
    (evaluations / "rival.json").write_text(json.dumps({**content, "dataset": "kth"}))
    found, left_out = find_runs(runs, evaluations)
    assert next(run for run in found if run.name == "flat-1").evaluation == content
    assert "other weights" in left_out["flat-2"]
    assert "expected an evaluation" in left_out["ms-1"]
    assert "expected an evaluation on moving_mnist, the run's own data set, got kth" in left_out["rival"]
    result = report_of("--runs", runs, "--out", tmp_path / "page", "--evaluations", evaluations)
    assert result.exit_code == 0, result.output
    page = (tmp_path / "page" / "README.md").read_text()
    assert "- ms-none: not evaluated; --evaluate evaluates it" in page
    assert "1 runs, 8 left out" in result.output


def test_other_clips_and_other_scales_are_not_one_table(made, tmp_path):
    known = find_runs(made[0])[0]
    make_run(tmp_path / "flat-3", "convlstm", "seed=3")
    make_run(tmp_path / "wide", "convlstm", "hidden_channels=3")
    more, failed = report.evaluate_runs(find_runs(tmp_path)[0], clips=2, evaluations=None, data=None)
    assert not failed
    groups = by_setting([*known, *more])
    assert [[run.name for run in group] for group in groups] == [
        ["flat-1", "flat-2", "ms-1", "ms-2", "ms-l1", "ms-none", "residual", "flat-3", "rival"],
        ["wide", "rival"],
    ]
    report.write_report([known[0], more[0]], {}, tmp_path / "page")
    assert "different numbers of clips: [2, 3]" in (tmp_path / "page" / "README.md").read_text()


def test_rain_has_its_own_table_and_colours(tmp_path):
    y, x = np.mgrid[:24, :28]
    rate = np.stack([9 * np.exp(-((x - 4 - k) ** 2 + (y - 12) ** 2) / 20.0) for k in range(7)]).astype(np.float32)
    times = [datetime(2021, 7, 1, tzinfo=UTC) + timedelta(minutes=30 * k) for k in range(7)]
    event = tmp_path / "event.nc"
    cf.write_dataset(cf.rate_dataset(rate, times, RADOLAN_900.resized(24, 28)), event)
    for model in ("convlstm", "ms-convlstm"):
        make_run(tmp_path / "runs" / model, model, "input_steps=3", "lead_steps=2", dataset="germany", data=event)
    result = report_of("--runs", tmp_path / "runs", "--out", tmp_path / "page", "--evaluate")
    assert result.exit_code == 0, result.output
    row = rows_of(tmp_path / "page", 8)[0]
    own = json.loads((tmp_path / "runs" / "convlstm" / "evaluation.json").read_text())
    assert own["windows"] == 3
    assert row["CSI-10, paper"] == "0.002"
    assert float(row["B-MSE, forecast"]) == pytest.approx(own["overall"]["convlstm"]["b-mse"], abs=0.006)
    assert float(row["HSS-0.5, all frames"]) == pytest.approx(own["paper"]["convlstm"]["hss_0.5"], abs=6e-4)
    extrapolation = next(row for row in rows_of(tmp_path / "page", 8) if row["Model"] == "extrapolation")
    assert float(extrapolation["CSI-0.5, forecast"]) > 0.1
    pixels = np.asarray(Image.open(tmp_path / "page" / "figure9.png").convert("RGB")).reshape(-1, 3)
    assert (pixels == (255, 228, 92)).all(axis=1).sum() > 100  # 5 to 10 mm/h


def test_without_a_run_there_is_one_line(tmp_path):
    result = report_of("--runs", tmp_path, "--out", tmp_path / "page")
    assert result.exit_code == 2
    assert "no run folder" in result.output
    assert not (tmp_path / "page").exists()


def test_a_broken_folder_is_named_and_the_others_are_used(tmp_path):
    make_run(tmp_path / "good")
    broken = make_run(tmp_path / "broken")
    (broken / "config.yaml").write_text("[")
    elsewhere = make_run(tmp_path / "elsewhere", data=tmp_path / "nowhere")
    assert elsewhere.is_dir()
    result = report_of("--runs", tmp_path, "--out", tmp_path / "page", "--evaluate", "--clips", 1)
    assert result.exit_code == 0, result.output
    page = (tmp_path / "page" / "README.md").read_text()
    assert "- broken: " in page
    assert "- elsewhere: not evaluated: " in page
    assert "1 runs, 2 left out" in result.output


def test_the_printed_numbers_are_the_paper_s():
    tables = paper_tables()
    assert sorted(tables) == list(range(3, 12))
    for table in tables.values():
        assert all(len(row["printed"]) == len(table["columns"]) for row in table["rows"])
    printed = {
        (number, row["model"]): dict(zip(tables[number]["columns"], map(float, row["printed"]), strict=True))
        for number in (3, 6)
        for row in tables[number]["rows"]
    }
    for cell, known in PAPER_CELLS.items():
        number = known.printed.table
        flat, multiscale = printed[number, cell], printed[number, f"ms-{cell}"]
        assert (flat["memory"], multiscale["memory"]) == known.printed.memory_gb
        assert flat["parameters"] == multiscale["parameters"] == known.printed.parameters
        if number == 3:
            assert (flat["macs"], multiscale["macs"]) == known.printed.gmacs


def test_the_paper_s_changes_follow_from_its_numbers():
    run_free = make_table(8, [])
    changes = [change(run_free, row, "memory", printed=True) for row in run_free.rows if row.name.startswith("ms-")]
    assert [round(value or 0, 1) for value in changes] == [-36.1, -46.1, -51.0, -51.0, -51.3]


def test_a_command_holds_what_differs_from_the_preset(tmp_path):
    run = make_run(tmp_path / "run", "ms-predrnn++", "learning_rate=0.001")
    text = command(TrainingRun(run, yaml.safe_load((run / "config.yaml").read_text()), {}))
    assert "--set learning_rate=0.001" in text
    assert "epochs" not in text
    assert "--set size=16" in text
