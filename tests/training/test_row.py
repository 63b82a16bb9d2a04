"""`make row` trains in the setting of the recorded runs, so that its row and theirs share a table."""

import re
import shlex
from pathlib import Path

import yaml

from training.config import HOW_IT_IS_WATCHED, HOW_IT_RUNS, resolve
from training.report.runs import TrainingRun, by_setting

ROOT = Path(__file__).parents[2]


def _recorded(name):
    return yaml.safe_load((ROOT / "docs/results/moving_mnist/runs" / name / "config.yaml").read_text())


def test_make_row_has_the_configuration_of_the_recorded_run():
    recipe = re.search(r"^row: install\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    lines = recipe[1].replace("\\\n", " ").replace("$(ROW)", "ms-convlstm")
    command = next(part for part in lines.split(";") if "training.run --dataset" in part)
    words = shlex.split(command.split("$(if")[0].partition("training.run")[2])
    options = dict(zip(words[::2], words[1::2], strict=True)) | {"--set": "", "--out": ""}
    sets = [words[n + 1] for n, word in enumerate(words) if word == "--set"]
    model, steps, precision = (options[key] for key in ("--model", "--max-steps", "--precision"))
    config = resolve(options["--dataset"], file=None, sets=sets, model=model, max_steps=int(steps), precision=precision)
    made = config.model_dump(mode="json")
    recorded = _recorded("mmnist-ms-convlstm-2022")
    compared = recorded.keys() - HOW_IT_RUNS - HOW_IT_IS_WATCHED
    assert "learning_rate" in compared
    assert {key: made[key] for key in compared} == {key: recorded[key] for key in compared}
    runs = [TrainingRun(Path(name), config, {}) for name, config in (("own", made), ("recorded", recorded))]
    assert len(by_setting(runs)) == 1
