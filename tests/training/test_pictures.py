"""Pictures of forecasts: rows and columns, the drawn part, licence, and bad input."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from models import load_forecaster
from tests.training.test_event_skill import write_event
from tests.training.test_native_checks import NATIVE
from training import frame_rows
from training.evaluation.event_windows import ANY_LENGTH, event_windows
from training.pictures import app, picture_rows, png_of, rainiest_part


@pytest.fixture(scope="module")
def event(tmp_path_factory):
    return write_event(tmp_path_factory.mktemp("event") / "bom_20201031.nc", 1)


def test_the_part_with_most_rain_is_drawn():
    rate = np.zeros((2, 90, 60), np.float32)
    rate[1, 72:80, 5:9] = 3
    rate[0, 0, 0] = np.nan
    assert rainiest_part(rate, 20) == (slice(60, 80), slice(0, 20))
    assert rainiest_part(rate[:, :10, :12], 20) == (slice(0, 10), slice(0, 12))


def test_rows_are_observation_rate_member_and_probability(event):
    window = next(iter(event_windows(event, ANY_LENGTH, every_minutes=60, all_leads=True)))
    rows = picture_rows(window, load_forecaster(NATIVE, "cpu"), [10, 60], 3)
    assert [row.label for row in rows] == ["observed", "rate", "member 4 of 20", "probability of 2 mm/h"]
    assert {row.fields_LHW.shape for row in rows} == {(2, 60, 60)}
    np.testing.assert_array_equal(rows[0].fields_LHW[1], window.future_LHW[5])
    shown = rows[1].fields_LHW >= 2
    assert (rows[3].fields_LHW[shown] >= 0.2).all()
    with Image.open(BytesIO(png_of(rows, [10, 60], "title"))) as picture:
        assert picture.size[0] == 1300
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 10


def test_the_command_writes_a_picture_and_names_what_is_wrong(event, tmp_path):
    def run(text):
        return CliRunner().invoke(app, ["--event", text, "--checkpoint", NATIVE, "--out", str(tmp_path / "pictures")])

    result = run(f"{event}@2020-01-02T01:00")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "pictures" / "au-2020-10-31.png").stat().st_size > 10_000
    assert "expected FILE@TIME" in run(str(event)).output
    assert "an hour of scans before it" in run(f"{event}@2020-01-02T00:10").output


def test_a_second_picture_of_a_spell_has_a_name_of_its_own(event, tmp_path, monkeypatch):
    monkeypatch.setattr("training.pictures.draw_window", lambda window, forecaster, member, path: path.touch())
    events = [part for hour in (1, 2) for part in ("--event", f"{event}@2020-01-02T0{hour}:00")]
    result = CliRunner().invoke(app, [*events, "--checkpoint", NATIVE, "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["au-2020-10-31.png", "au-2020-10-31_20200102T0200.png"]


def test_taxibj_s_figure_has_the_error_below_each_forecast(monkeypatch, tmp_path):
    figures: list[Any] = []
    monkeypatch.setattr(frame_rows, "save", lambda figure, path: figures.append(figure))
    given, truth = np.full((2, 3, 4), 0.1), np.full((2, 3, 4), 0.5)
    rows = [("given", given), ("truth", truth), ("one", truth - 0.2), ("two", truth + 0.3)]
    frame_rows.draw_images(rows, tmp_path / "x.png", frame_rows.LAYOUTS["taxibj"], title="clip 0")
    axes = [axis for axis in figures[0].axes if axis.images]
    labels = [axis.get_ylabel() for axis in axes[::2]]
    assert labels[:6] == ["given", "truth", "one", "|GT - P| one", "two", "|GT - P| two"]
    np.testing.assert_allclose(axes[6].images[0].get_array(), 0.2)
    np.testing.assert_allclose(axes[10].images[0].get_array(), 0.3)
    assert [axes[n].images[0].get_clim() for n in (4, 6)] == [(0, 1), (0, pytest.approx(0.3))]
    frame_rows.draw_images(rows, tmp_path / "x.png", frame_rows.LAYOUTS["kth"], title="clip 0")
    assert sum(bool(axis.images) for axis in figures[1].axes) == 8
