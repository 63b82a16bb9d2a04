"""The serving benchmark at tiny sizes: every stage is measured, and the parts add up to the whole."""

import pytest

from benchmarks.serving import STAGES, serving
from benchmarks.setting import BenchmarkSetting, quick


@pytest.mark.long
def test_every_stage_is_measured():
    section = serving(quick(BenchmarkSetting()))
    seconds = {str(row["work"]): float(row["seconds"] or 0) for row in section.rows}
    assert {f"- {words}" for words in STAGES.values()} <= set(seconds)
    assert all(value > 0 for work, value in seconds.items() if work not in ("over it", "- the rest: sending, answer"))
    parts_s = sum(value for work, value in seconds.items() if work.startswith("- "))
    assert parts_s == pytest.approx(seconds["upload of five frames, and five observations scored"])
    assert len(section.goals) == 2
