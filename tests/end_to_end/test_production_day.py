"""Half an hour of German rain on the production layout, with an upgrade in the middle."""

from pathlib import Path

import pytest

from tests.end_to_end import production_day

pytestmark = [pytest.mark.stack, pytest.mark.long]


def test_an_upgrade_of_the_production_layout_loses_and_doubles_nothing(
    tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
):
    counts = production_day.run(shared_data / "events", tmp_path, hours=0.5, rules=80)
    assert counts["problems"] == []
    assert counts["is_whole"]
    assert counts["events"] > 10
    with capsys.disabled():
        print(counts)
