"""All rules at once give exactly the events and outcomes of a plain script, each once."""

from collections import Counter
from datetime import datetime

import pytest
from sqlalchemy import select

from core.settings import Settings
from ingest.store.database import reading
from service.alerts.cells import AreaCells
from service.alerts.evaluation import evaluate
from service.alerts.regions import Regions
from service.alerts.rulebook import RuleBook, rule_book
from service.alerts.tables import RuleEventRow
from tests.service.alerts.playing import (
    PlainRule,
    fields_of_file,
    frames_of,
    play,
    rainy_world,
    sent_rules,
    stored,
)
from tests.service.conftest import CENTRE_GRID


@pytest.fixture
def book(tmp_path) -> RuleBook:
    return rule_book(Settings(home=tmp_path))


@pytest.fixture
def cells() -> AreaCells:
    return AreaCells(Regions())


def events_in(book: RuleBook) -> dict[str, list[tuple[str, datetime]]]:
    with reading(book.engine) as connection:
        rows = connection.execute(select(RuleEventRow.rule_id, RuleEventRow.kind, RuleEventRow.reference_time)).all()
    found: dict[str, list[tuple[str, datetime]]] = {}
    for rule_id, kind, time in sorted(rows, key=lambda row: row[2]):
        found.setdefault(rule_id, []).append((kind, time))
    return found


@pytest.mark.parametrize(("rules", "scans"), [(40, 13), pytest.param(120, 22, marks=pytest.mark.long)])
def test_events_and_outcomes_are_those_of_a_plain_script(open_world, book, cells, rules, scans):
    world = rainy_world(open_world)
    sent = sent_rules(rules)
    ids = [stored(book, one) for one in sent]
    areas = {rule.id: cells.of(CENTRE_GRID, {rule.area_key: rule.area})[0] for rule in book.rules()}
    grid_cells = {each: [divmod(int(cell), CENTRE_GRID.width) for cell in found] for each, found in areas.items()}
    plain = {each: PlainRule(one, grid_cells[each]) for each, one in zip(ids, sent, strict=True)}
    for forecast in play(world, 0, scans):
        assert forecast.grid.same_place(CENTRE_GRID)
        for part in ("rates", "sums"):
            assert evaluate(book, forecast, cells, part, world.now)
            assert evaluate(book, forecast, cells, part, world.now) is None, "a second time changes nothing"
        fields, frames = fields_of_file(forecast), frames_of(forecast)
        for each in plain.values():
            each.look(forecast.reference_time, fields, frames)
    expected = {each: one.events for each, one in plain.items() if one.events}
    assert events_in(book) == expected
    kinds = Counter(kind for events in expected.values() for kind, _ in events)
    wanted = ("raised", "updated", "ended", "cancelled") if scans > 20 else ("raised", "ended")
    assert all(kinds[kind] > 3 for kind in wanted), kinds
    states = {rule_id: book.get(rule_id).state for rule_id in ids}
    for rule_id, one in plain.items():
        state = states[rule_id]
        found = {"hit": state.hits, "false_alarm": state.false_alarms, "unknown": state.unknown, "miss": state.misses}
        assert found == one.outcomes, one.rule
        assert state.lead_gained_minutes == pytest.approx(one.gained)
    pooled = Counter({kind: sum(one.outcomes[kind] for one in plain.values()) for kind in one.outcomes})
    assert all(pooled[kind] for kind in (("hit", "false_alarm", "miss") if scans > 20 else ("hit", "miss"))), pooled
