"""Ten thousand rules on the forecast of Germany: five seconds on two cores."""

from dataclasses import replace
from datetime import UTC, datetime
from time import perf_counter, process_time

import numpy as np
import pytest
from sqlalchemy import insert

from core.grid import RADOLAN_900
from ingest.store.database import open_engine, writing
from models.fields import ForecastFields
from service.alerts.cells import AreaCells
from service.alerts.evaluation import evaluate
from service.alerts.machine import RuleState
from service.alerts.regions import Regions
from service.alerts.rule import checked_definition
from service.alerts.rulebook import RuleBook, RuleLimitError
from service.alerts.tables import RuleRow, RuleStateRow
from service.forecasts.packing import rounded_rate
from service.forecasts.records import StoredForecast
from service.schemas.rules import RuleIn
from tests.service.alerts.playing import CHANCES_MMH, sent_rules
from tests.service.api_support import chance_of
from tests.service.fakes import write_fields

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
MOST_S = 5.0
CORES = 2


def germany(folder) -> StoredForecast:
    """A forecast of 30 leads on 900 x 900 cells with showers."""
    random = np.random.default_rng(5)
    y_HW, x_HW = np.mgrid[:900, :900].astype(np.float32)
    rate_HW = np.zeros((900, 900), np.float32)
    for _ in range(60):
        row, col, peak = random.uniform(0, 900), random.uniform(0, 900), random.exponential(8)
        rate_HW += np.float32(peak) * np.exp(-((x_HW - col) ** 2 + (y_HW - row) ** 2) / 300)
    rate_LHW = rounded_rate(np.stack([np.roll(rate_HW, lead * 3, axis=1) for lead in range(30)]))
    chances = np.stack([chance_of(rate_LHW, mmh) for mmh in CHANCES_MMH])
    fields = ForecastFields(rate_LHW, np.isfinite(rate_LHW), chances, CHANCES_MMH)
    forecast = StoredForecast(
        *("a" * 36, "ok", "default", NOW, NOW, "default", "default", "1", "RY", RADOLAN_900, (NOW,) * 25, (), ()),
        tuple(range(5, 151, 5)),
        "0" * 64,
        folder / "forecast.nc",
        "scans",
        thresholds_mmh=CHANCES_MMH,
        cadence_minutes=5,
    )
    write_fields(forecast, fields)
    return forecast


@pytest.mark.long
def test_ten_thousand_rules_take_five_seconds_of_two_cores(tmp_path):
    forecast = germany(tmp_path)
    book = RuleBook(open_engine(f"sqlite:///{tmp_path / 'rules.sqlite'}"))
    sent = sent_rules(10_000, grid=RADOLAN_900)
    for index in range(0, 10_000, 40):
        del sent[index]["place"]
        sent[index]["region"] = sorted(Regions().names)[index // 40 % 16]
    rows, states = [], []
    for index, one in enumerate(sent):
        definition = {
            **checked_definition(RuleIn.model_validate(one)),
            "targets": [{"kind": "webhook", "url": "https://example.org/"}],
        }
        rows.append(
            {
                "id": f"{index:036d}",
                "owner": "x",
                "revision": 1,
                "definition": definition,
                "secret": "",
                "created_at": NOW,
                "changed_at": NOW,
            }
        )
        states.append(vars(RuleState(f"{index:036d}")))
    with writing(book.engine) as connection:
        connection.execute(insert(RuleRow), rows)
        connection.execute(insert(RuleStateRow), states)
    with pytest.raises(RuleLimitError, match="at most 10000 rules"):
        book.create("x", definition)
    cells = AreaCells(Regions())
    for name in ("cold", "warm"):
        began, cpu_began = perf_counter(), process_time()
        done = [evaluate(book, forecast, cells, part, NOW) for part in ("rates", "sums")]
        print(name, f"{perf_counter() - began:.2f} s, {process_time() - cpu_began:.2f} s of CPU", done)
        assert process_time() - cpu_began < MOST_S * CORES
        forecast = replace(forecast, reference_time=datetime(2024, 6, 1, 12, 5, tzinfo=UTC))
