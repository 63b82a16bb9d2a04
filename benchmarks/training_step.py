"""One training step of every multi-scale model against the textbook: forward, loss, backward, Adam."""

from dataclasses import replace

from benchmarks.fresh import free_bytes
from benchmarks.goals import goals_on
from benchmarks.memory import textbook_saved_bytes
from benchmarks.page import BENCHMARKS, Goal, Row, Section
from benchmarks.setting import BenchmarkSetting
from benchmarks.sides import our_training, textbook_training
from benchmarks.timing import compare, geometric_mean

SPARE = 1.5
"""Memory needed relative to what the textbook saves: gradients and work space come on top."""
EAGER, COMPILED = "times faster", "compiled, times faster"


@BENCHMARKS.register("training")
def training(setting: BenchmarkSetting) -> Section:
    """Time training steps over all predictions of 5 frames in and 5 out."""
    rows = [_row(name, setting) for name in setting.multiscale]
    columns = (EAGER, COMPILED) if setting.compiled else (EAGER,)
    means = {column: geometric_mean(float(row[column] or 0) for row in rows) for column in columns}
    goals = []
    for column in columns:
        how = " with --compile" if column == COMPILED else ""
        figures = {str(row["model"]): float(row[column] or 0) for row in rows}
        figures |= {"mean": means[column]} if setting.complete else {}
        goals += [
            Goal(f"training step{how}, {_named(name)}", target, figures[name], "times faster", True)
            for name, target in zip(("ms-convlstm", "mean"), goals_on(setting.device).training, strict=True)
            if name in figures
        ]
    text = (
        f"One step of {setting.size()}, batch {setting.batch}, {setting.hidden_channels} channels, six layers: "
        f"forward over all {setting.input_steps + setting.lead_steps - 1} predictions, l1 + l2, backward, Adam. Ours "
        "is what `training.run --precision bf16-mixed` does: channels last, autocast to bfloat16, weights and loss "
        "in float32; the textbook is float32, eager and contiguous. Both sides in turns; medians. Where the textbook's "
        "step does not fit into this machine's memory, both sides run at half the edge."
    )
    return Section("Training step", text, [*rows, {"model": _named("mean"), **means}], goals, _skipped(setting))


def _row(name: str, setting: BenchmarkSetting) -> Row:
    setting = fitting(name, setting)
    ours, theirs = our_training(name, setting), textbook_training(name, setting)
    result = compare(name, ("ours", ours.step), ("textbook", theirs.step), runs=setting.runs)
    row: Row = {"model": name, "size": f"{setting.height}x{setting.width}", "textbook, s": result.theirs_s}
    row |= {"ours, s": result.ours_s, EAGER: result.ratio}
    if setting.compiled:
        faster = our_training(name, setting, compiled=True)
        again = compare(name, ("compiled", faster.step), ("textbook", theirs.step), runs=setting.runs)
        row |= {"compiled, s": again.ours_s, COMPILED: again.ratio}
    return row | {"pairs": result.runs}


def fitting(name: str, setting: BenchmarkSetting) -> BenchmarkSetting:
    """Halve the edges of the setting until the textbook's step fits into the free memory."""
    while SPARE * textbook_saved_bytes(name, setting) > free_bytes(setting.device):
        setting = replace(setting, height=setting.height // 2, width=setting.width // 2)
    return setting


def _named(name: str) -> str:
    return "geometric mean of the ms- models" if name == "mean" else name


def _skipped(setting: BenchmarkSetting) -> list[str]:
    compiler = "`torch.compile` of the stack: minutes per model and a C++ compiler; `--compile` adds its columns"
    return [] if setting.compiled else [compiler]
