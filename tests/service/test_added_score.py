"""A score that is added appears in /verification, /metrics, the client and the page, without another line."""

import json
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

import service.client.__main__ as command
from tests.added_scores import OF_COUNTS, OWN, added_scores
from tests.service.api_support import NOW, REFERENCE, fill, frames_at, lead_times, running, service_at
from tests.service.live import served

PAGE = Path(command.__file__).parents[1] / "page" / "source" / "scores.js"
MODELS = {"default", "persistence", "extrapolation"}


@pytest.fixture(scope="module")
def verified(tmp_path_factory):
    """A service with one scored forecast, while two scores more are registered."""
    now = NOW + timedelta(hours=3)
    with added_scores():
        made = service_at(tmp_path_factory.mktemp("home"), clock=lambda: now)
        fill(made)
        made.forecast_stored(REFERENCE)
        for frame in frames_at(lead_times()):
            made.store.put(frame)
        assert made.verify_observed() > 0
        yield made


@pytest.fixture(scope="module")
def answer(verified):
    with running(verified) as client:
        return client.get("/verification").json()


def test_it_is_in_the_answer(answer):
    rows = [row for row in answer["scores"] if row["scores"]["ets"] is not None]
    assert {row["model"] for row in rows} == MODELS
    for row in rows:
        assert row["scores"][OF_COUNTS] == pytest.approx(row["scores"]["ets"])
        assert row["scores"]["csi"] == row["csi"]
    own = [one for one in answer["values"] if one["score"] == OWN]
    assert {(one["model"], one["lead_minutes"]) for one in own} == {
        (model, lead) for model in MODELS for lead in (30, 60, 90, 120, 150)
    }
    assert all(0 < one["value"] <= 1 and one["threshold_mmh"] is None for one in own)
    assert {"fss", "rate-mae", "brier", "reliability", "crps"} <= {one["score"] for one in answer["values"]}


def test_it_is_in_the_answer_of_a_forecast(verified):
    with running(verified) as client:
        forecast = client.post("/nowcast", json={"reference_time": REFERENCE.isoformat()}).json()
    found = forecast["verification"]
    assert found["kind"] == "this_forecast"
    assert {OF_COUNTS, "ets"} <= set(found["scores"][0]["scores"])
    assert len(found["scores_known"]) == len(found["scores"])
    for every, known in zip(found["scores"], found["scores_known"], strict=True):
        assert known["hits"] <= every["hits"]


def test_it_is_a_gauge(verified, answer):
    with running(verified) as client:
        text = client.get("/metrics").text
    families = {family.name: family.samples for family in text_string_to_metric_families(text)}
    assert len(families["nowcast_squall"]) == len(families["nowcast_ets"]) > 10
    samples = {(s.labels["model"], s.labels["lead"]): s.value for s in families["nowcast_near_share"]}
    values = [one for one in answer["values"] if one["score"] == OWN]
    assert samples == {(one["model"], str(one["lead_minutes"])): one["value"] for one in values}
    assert set(families["nowcast_fss"][0].labels) == {"lead", "threshold", "model", "window_km"}


def test_the_client_prints_it(verified, monkeypatch):
    with served(verified) as url:
        monkeypatch.setenv("NOWCAST_CLIENT_URL", url)
        done = CliRunner().invoke(command.app, ["verification", "--hours", "24"])
    assert done.exit_code == 0, done.output
    head, *lines = done.output.splitlines()
    names = head.removeprefix("# ").split("\t")
    assert names[:9] == [
        *("model", "lead_minutes", "threshold_mmh", "csi", "hss"),
        *("hits", "misses", "false_alarms", "correct_negatives"),
    ]
    assert {OF_COUNTS, "ets"} <= set(names)
    row = dict(zip(names, lines[0].split("\t"), strict=True))
    assert row[OF_COUNTS] == row["ets"]
    assert any(line.split("\t")[4:5] == [OWN] for line in lines)


@pytest.mark.skipif(shutil.which("node") is None, reason="no node to run the script with")
def test_the_page_offers_it(answer, tmp_path):
    """The page's own function, on the answer."""
    function = re.search(r"^function otherScores\(.*?^}$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert function is not None
    given = json.dumps({"scores": answer["scores"], "values": answer["values"]})
    script = tmp_path / "page.js"
    script.write_text(
        f"const given = {given};\n{function[0]}\n"
        "const found = otherScores(given.scores, given.values);\n"
        "console.log(JSON.stringify([...found].map(([name, rows]) => [name, rows.length])));"
    )
    done = subprocess.run(["node", str(script)], capture_output=True, text=True, check=True)
    offered = dict(json.loads(done.stdout))
    assert offered[OF_COUNTS] == offered["ets"] == len(answer["scores"])
    assert offered[OWN] == len([one for one in answer["values"] if one["score"] == OWN])
    assert {"far", "fss, 17 km", "fss, 50 km", "brier"} <= set(offered)
    assert not {"csi", "hss"} & set(offered)
