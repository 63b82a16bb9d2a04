"""`nowcast point`: bars in the terminal, with the sentence, and marks where nothing is known."""

import io

import pytest
from rich.console import Console
from typer.testing import CliRunner

from service.client.bars import app, show
from service.client.client import Client
from service.schemas.places import PointOut
from service.schemas.sentence import Language
from tests.service.point_documents import AMOUNTS, DRY, WET, point_of, rain


def shown(point: PointOut, language: Language = "en", width: int = 90) -> list[str]:
    text = io.StringIO()
    show(point, language, Console(file=text, width=width, highlight=False))
    return text.getvalue().splitlines()


def test_each_lead_is_a_bar_as_long_as_its_rate():
    lines = shown(point_of(WET, outlook="rain", next_rain=rain(25, 0.8, 70), amounts=AMOUNTS))
    assert lines[0] == "Rain from 14:25 to about 15:10, 80 %."
    assert lines[1] == "Next hour: 0.4 to 2.1 mm"
    by_time = {line[:5]: line for line in lines}
    lengths = [by_time[time].count("█") for time in ("14:20", "14:25", "14:35", "14:45")]
    assert lengths == sorted(lengths)
    assert (lengths[0], lengths[-1]) == (0, 54)
    assert by_time["14:45"].split()[-4:] == ["14.0", "2.8-25.2", "97", "%"]


def test_the_command_takes_western_longitudes(monkeypatch: pytest.MonkeyPatch):
    wanted: list[tuple[object, ...]] = []

    def answered(client: Client, *place: object) -> PointOut:
        wanted.append(place)
        return point_of(DRY)

    monkeypatch.setattr(Client, "point", answered)
    result = CliRunner().invoke(app, ["52.52", "-3.4", "--lang", "de"])
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "Trocken bis 16:30.")
    assert wanted == [(52.52, -3.4, "latest", "auto")]
    assert CliRunner().invoke(app, ["52.52", "13", "--lang", "fr"]).exit_code == 2


def test_what_is_not_known_is_not_dry():
    lines = shown(point_of(DRY, known=10))
    dotted = [line for line in lines if "···" in line]
    assert len(dotted) == 20
    assert shown(point_of([None] * 30, outlook="unknown"), "de")[0] == "Kein Radar sieht diesen Ort."
    assert not any("█" in line for line in shown(point_of([None] * 30, outlook="unknown")))


@pytest.mark.parametrize("width", [40, 200])
def test_it_fits_the_terminal(width: int):
    assert max(map(len, shown(point_of(WET), width=width))) <= width


def test_old_data_are_loud():
    expected = "OLD DATA: radar 14:00, 1 Jun 2024 (3 min)"
    assert any(line.startswith(expected) for line in shown(point_of(DRY, stale=True, status="stale")))
