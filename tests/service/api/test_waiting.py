"""Why there is no forecast yet, in the words of /readyz."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from tests.service.api_support import NOW, REFERENCE, fill, frames_at, running, service_at


def waiting(client: TestClient) -> dict[str, Any] | None:
    found = client.get("/readyz").json()["waiting_for"]
    return dict(found) if found else None


def test_each_step_before_the_first_forecast_has_its_reason(tmp_path: Path):
    service = service_at(tmp_path, source=tmp_path)
    with running(service) as client:
        found = waiting(client)
        assert found == {
            "kind": "first scan",
            "detail": f"no radar scan has been read yet from {tmp_path}",
            "command": None,
        }
        service.store.put(*frames_at([REFERENCE]))
        found = waiting(client)
        assert found is not None
        assert found["kind"] == "second scan"
        fill(service)
        found = waiting(client)
        assert found is not None
        assert (found["kind"], "5 scans up to 2024-06-01T12:00:00Z" in found["detail"]) == ("first forecast", True)
        service.forecast_stored()
        assert waiting(client) is None


def test_old_recordings_have_the_command_that_plays_them(tmp_path: Path):
    service = service_at(tmp_path, source=tmp_path / "files", clock=lambda: NOW + timedelta(days=2000))
    fill(service)
    with running(service) as client:
        found = waiting(client)
    assert found is not None
    assert (found["kind"], found["command"]) == ("recent scans", f"nowcast run --replay {tmp_path / 'files'}")
    assert "s old" in found["detail"]


def test_a_source_that_is_late_has_no_command(tmp_path: Path):
    service = service_at(tmp_path, source_kind="dwd", clock=lambda: NOW + timedelta(hours=2))
    fill(service)
    with running(service) as client:
        found = waiting(client)
    assert found is not None
    assert (found["kind"], found["command"]) == ("recent scans", None)
    assert "Deutscher Wetterdienst" in found["detail"]
