"""GET /verification: both masks with their cells, both means over leads, the schedule, and why there is nothing."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from typer.testing import CliRunner

import service.client.__main__ as command
from ingest.windows.regrid import onto
from service.client import Client
from service.client.connection import Connection
from service.forecasts.nowcast import NowcastService
from tests.service.api_support import (
    CHANCES_MMH,
    GRID,
    NOW,
    REFERENCE,
    Shift,
    fill,
    frames_at,
    lead_times,
    load,
    running,
    service_at,
)
from tests.service.live import served
from verification.bootstrap import LEAST_OBSERVED_CELLS
from verification.counts import Counts, contingency

INFLOW = (np.s_[:, :, :30], np.s_[2:, :, :36])
"""Cells whose rain comes from outside, according to extrapolation: more at later leads."""

MODELS = ("default", "persistence", "extrapolation")
LEADS = (30, 60, 90, 120, 150)


class Knowing(Shift):
    """A forecaster that does not know a part of its cells."""

    unknown: tuple[Any, ...] = INFLOW

    def fields(self, rate_mmh_THW, lead_steps):
        found = super().fields(rate_mmh_THW, lead_steps)
        known_LHW = found.known_LHW.copy()
        for place in self.unknown:
            known_LHW[place] = False
        return replace(found, known_LHW=known_LHW)


def load_knowing(name: str) -> Shift:
    """The model's own mask is another one, and changes no count."""
    if name == "persistence":
        return load(name)
    made = Knowing(name, 2) if name == "extrapolation" else Knowing(name, 3, thresholds_mmh=CHANCES_MMH)
    made.unknown = INFLOW if name == "extrapolation" else (np.s_[:, 36:, 30:],)
    return made


@pytest.fixture(scope="module")
def verified(tmp_path_factory) -> NowcastService:
    """Two of four scheduled forecasts, the first of them scored at every lead."""
    clock = [NOW]
    made = service_at(tmp_path_factory.mktemp("home"), clock=lambda: clock[0], load=load_knowing)
    fill(made)
    made.forecast_stored(scheduled=True)
    for step, time in enumerate(lead_times()):
        clock[0] = time + timedelta(minutes=3)
        made.store.put(*frames_at([time]))
        if step == 3:
            made.forecast_stored(scheduled=True)
        assert made.verify_observed() > 0, "each lead is scored alone, once its scan is there"
    return made


@pytest.fixture(scope="module")
def client(verified) -> Iterator[TestClient]:
    with running(verified) as made:
        yield made


def asked(client: TestClient, **params: str) -> dict[str, Any]:
    answer = client.get("/verification", params=params)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def expected_counts(service: NowcastService, model: str, mask: str, threshold_mmh: float) -> dict[int, list[Counts]]:
    """Counts of each lead of a model's forecasts, the oldest first, from the files alone."""
    found: dict[int, list[Counts]] = {lead: [] for lead in LEADS}
    for forecast in reversed(service.list(model=model)):
        observed_THW = onto(np.stack([one.rate_mmh_HW for one in frames_at(forecast.valid_times)]), GRID, forecast.grid)
        counted_THW = np.isfinite(forecast.rate_mmh_THW) & np.isfinite(observed_THW)
        if mask == "known":
            for place in INFLOW:
                counted_THW[place] = False
        seen_THW = np.where(counted_THW, observed_THW, np.nan)
        for index, lead in enumerate(forecast.lead_minutes):
            if forecast.valid_times[index] <= lead_times()[-1]:
                counts = contingency(forecast.rate_mmh_THW[index], seen_THW[index], threshold_mmh)
                found[lead].append(counts)
    return found


@pytest.mark.parametrize(("mask", "field"), [("all", "scores"), ("known", "scores_known")])
def test_both_masks_have_the_same_fields_and_their_own_counts(client, verified, mask, field):
    own = verified.list(model="default", end=REFERENCE)[0]
    expected = expected_counts(verified, "default", mask, 0.5)
    single = client.get(f"/nowcast/{own.id}").json()["verification"]
    assert (single["kind"], [len(one) for one in expected.values()]) == ("this_forecast", [2, 1, 1, 1, 1])
    for document, wanted in (
        (single, {lead: counts[0] for lead, counts in expected.items()}),
        (asked(client), {lead: sum(counts, Counts()) for lead, counts in expected.items()}),
    ):
        rows = [row for row in document[field] if (row["model"], row["threshold_mmh"]) == ("default", 0.5)]
        assert [row["lead_minutes"] for row in rows] == list(LEADS)
        for row in rows:
            counts = wanted[row["lead_minutes"]]
            assert [row[name] for name in Counts.columns()] == list(vars(counts).values())
            assert row["cells"] == counts.total > 0
            assert row["observed_cells"] == counts.hits + counts.misses
        assert set(document["scores"][0]) == set(document["scores_known"][0])


def test_the_masks_of_all_models_are_that_of_extrapolation(client):
    answer = asked(client)
    for field in ("scores", "scores_known"):
        by_model = {model: [row["cells"] for row in answer[field] if row["model"] == model] for model in MODELS}
        assert by_model["default"] == by_model["persistence"] == by_model["extrapolation"]
    assert sum(row["cells"] for row in answer["scores_known"]) < sum(row["cells"] for row in answer["scores"])


@pytest.mark.parametrize(("mask", "other"), [("all", "scores_known"), ("known", "scores")])
def test_one_mask_alone(client, mask, other):
    both, one = asked(client), asked(client, mask=mask)
    field = {"all": "scores", "known": "scores_known"}[mask]
    assert one[field] == both[field] != []
    assert one[other] == []
    assert one["mask"] == mask
    assert one["means"] == [row for row in both["means"] if row["mask"] == mask] != []
    assert {row["score"] for row in one["values"]} >= {"brier", "reliability"}
    for row in one["values"]:
        if row["score"] == "reliability":
            rows = [
                found
                for found in one[field]
                if all(found[name] == row[name] for name in ("model", "lead_minutes", "threshold_mmh"))
            ]
            assert [row["cells"]] == [found["cells"] for found in rows]


def test_the_bins_of_a_mask_hold_its_cells(client):
    for mask, field in (("all", "scores"), ("known", "scores_known")):
        answer = asked(client, mask=mask)
        for part in answer["brier"]:
            key = {name: part[name] for name in ("model", "lead_minutes", "threshold_mmh")}
            (row,) = [one for one in answer[field] if all(one[name] == value for name, value in key.items())]
            assert (part["cells"], part["events"]) == (row["cells"], row["observed_cells"])
        assert answer["brier"]


@pytest.mark.parametrize("value", ["both", "", "ALL"])
def test_another_mask_is_refused(client, value):
    answer = client.get("/verification", params={"mask": value})
    assert answer.status_code == 422
    assert "mask" in answer.json()["detail"]


@pytest.mark.parametrize("mask", ["all", "known"])
@pytest.mark.parametrize("threshold", [0.1, 0.5])
def test_the_two_means_over_leads(client, verified, mask, threshold):
    means = asked(client)["means"]
    found = {
        row["mean"]: row
        for row in means
        if (row["model"], row["mask"], row["score"], row["threshold_mmh"]) == ("persistence", mask, "csi", threshold)
    }
    by_lead = [sum(some, Counts()) for some in expected_counts(verified, "persistence", mask, threshold).values()]
    csi = [one.hits / (one.hits + one.misses + one.false_alarms) for one in by_lead]
    total = sum(by_lead, Counts())
    assert found["leads"]["value"] == pytest.approx(sum(csi) / 5)
    assert found["pooled"]["value"] == pytest.approx(total.hits / (total.hits + total.misses + total.false_alarms))
    assert found["leads"]["value"] != pytest.approx(found["pooled"]["value"], abs=1e-4)
    for row in found.values():
        assert (row["leads"], row["cells"], row["observed_cells"]) == (5, total.total, total.hits + total.misses)


def test_rows_of_few_observed_cells_claim_nothing(client):
    answer = asked(client)
    rows = [*answer["scores"], *answer["scores_known"], *answer["means"], *answer["values"]]
    assert {row["enough"] for row in rows} == {True, False}
    assert all(row["enough"] == (row["observed_cells"] >= LEAST_OBSERVED_CELLS) for row in rows)
    assert all(row["observed_cells"] <= row["cells"] for row in rows)


def test_forecasts_that_the_schedule_did_not_make_are_missed(client):
    schedule = asked(client)["schedule"]
    assert [row["model"] for row in schedule] == list(MODELS)
    for row in schedule:
        assert (row["expected"], row["made"], row["missed"]) == (5, 2, 3)
        assert (row["start"], row["end"]) == ("2024-06-01T12:00:00Z", "2024-06-01T14:00:00Z")
        assert row["cadence_minutes"] == 30
    later = asked(client, start="2024-06-01T13:30:00Z")["schedule"]
    assert {(row["expected"], row["made"], row["missed"]) for row in later} == {(1, 1, 0)}


def test_missed_forecasts_are_a_metric(client):
    families = {one.name: one for one in text_string_to_metric_families(client.get("/metrics").text)}
    found = {
        (one.labels["model"], one.labels["outcome"]): one.value
        for one in families["nowcast_scheduled_forecasts"].samples
    }
    assert found == {(model, outcome): value for model in MODELS for outcome, value in (("made", 2), ("missed", 3))}


def test_an_empty_answer_has_a_reason(tmp_path: Path):
    service = service_at(tmp_path)
    fill(service)
    with running(service) as client:
        assert asked(client)["empty_because"] == "no forecast from stored scans exists yet"
        service.forecast_stored()
        reason = asked(client, model="default")["empty_because"]
        assert "up to 2024-06-01T12:03:00Z is scored" in reason
        assert "is of 2024-06-01T12:00:00Z, and its first lead is valid at 2024-06-01T12:30:00Z" in reason


def test_scores_have_no_reason_to_be_empty(client):
    assert asked(client)["empty_because"] is None


def test_the_client_prints_a_mask_the_schedule_and_the_reason(verified, tmp_path, monkeypatch):
    empty = service_at(tmp_path)
    with served(verified) as url, served(empty) as empty_url:
        monkeypatch.setenv("NOWCAST_CLIENT_URL", url)
        lines = CliRunner().invoke(command.app, ["verification", "--mask", "known"]).output.splitlines()
        monkeypatch.setenv("NOWCAST_CLIENT_URL", empty_url)
        nothing = CliRunner().invoke(command.app, ["verification"])
    names = lines[0].removeprefix("# ").split("\t")
    row = dict(zip(names, lines[1].split("\t"), strict=True))
    assert row["model"] == "default"
    assert row["enough"] in ("yes", "no")
    assert "default\t5\t2\t3" in lines
    assert nothing.exit_code == 0
    assert nothing.output.strip() == "# no scores yet: no forecast from stored scans exists yet"


def test_pages_hold_the_whole_of_the_period_in_which_the_first_one_was_asked_for(verified, client):
    whole, pages, path = asked(client), [], "/verification?limit=40"
    names = [name for name, rows in whole.items() if isinstance(rows, list)]
    while path:
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        pages.append(answer.json())
        path = pages[-1]["next"]
        assert answer.headers.get("link") == (f'<{path}>; rel="next"' if path else None)
    assert whole["next"] is None
    assert len(pages) == -(-max(len(whole[name]) for name in names) // 40) > 2
    for name in names:
        assert [row for page in pages for row in page[name]] == whole[name]
    assert {page["until"] for page in pages} == {pages[0]["until"]}
    for wrong in ("nonsense", "MjAyNC0wNi0wMVQxMjowMDowMCswMDowMCBhYmM"):
        assert client.get(f"/verification?cursor={wrong}").status_code == 422


def test_the_client_follows_the_pages(verified, monkeypatch):
    real, asked_paths = Connection.content, list[str]()

    async def in_small_pages(self, path, **params):
        asked_paths.append(path)
        return await real(self, path, **(params | {"limit": 50} if path == "/verification" else params))

    with served(verified) as address, Client(address) as client:
        whole = client.verification().model_dump(exclude={"start", "until"})
        monkeypatch.setattr(Connection, "content", in_small_pages)
        assert client.verification().model_dump(exclude={"start", "until"}) == whole
    assert len(asked_paths) > 2
