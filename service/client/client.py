"""The operations of the REST interface as methods; they return the documents of its OpenAPI page."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

import httpx2

from service.client.connection import Connection, ServiceError
from service.client.forecast import Forecast
from service.schemas.forecasts import ForecastOut
from service.schemas.listings import JobOut, ModelsOut, ScansOut
from service.schemas.places import PointOut
from service.schemas.scores import MaskName, RollingOut

LOCAL: Final = "http://127.0.0.1:8000"
LOOK_S: Final = 0.5
SILENCE_S: Final = 60.0
"""The service sends a comment more often than this; a stream silent for longer is considered broken."""


class Client:
    """Client of one service; as a context manager it closes its connections.

    Args:
        url: of the service.
        api_key: for services that require one.
        patience_s: total time for which a call retries while the service is busy (429) or not ready (503).
        timeout_s: time limit of one request.
        transport: transport of httpx2; None is the network.
        sleep: waits for a number of seconds; a test replaces it.
    """

    def __init__(
        self,
        url: str = LOCAL,
        api_key: str | None = None,
        *,
        patience_s: float = 60.0,
        timeout_s: float = 60.0,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.connection = Connection(
            url, api_key, patience_s=patience_s, timeout_s=timeout_s, transport=transport, sleep=sleep
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.connection.close()

    def latest(self) -> Forecast:
        """Return the newest forecast.

        Raises:
            ServiceError: no forecast is stored yet, or the service does not respond.
        """
        return self.forecast("latest")

    def forecast(self, forecast_id: str | UUID) -> Forecast:
        """Return one forecast by its id."""
        return self._forecast(self.connection.request("GET", f"/nowcast/{forecast_id}"))

    def nowcast(
        self, reference_time: datetime | None = None, model: str = "default", *, verify: bool = True
    ) -> Forecast:
        """Return a forecast from the scans of the service; an identical one is computed once.

        Args:
            reference_time: of the newest input scan; None takes the newest scan.
            model: a name from `models()`.
            verify: whether to include scores.
        """
        return self._forecast(self.connection.request("POST", "/nowcast", json=_body(reference_time, model, verify)))

    def upload(
        self, frames: Sequence[Path | str], observations: Sequence[Path | str] = (), model: str = "default"
    ) -> Forecast:
        """Return a forecast from radar files or one NetCDF with at least five times; `observations` verify it."""
        fields = [("frames", frames), ("observations", observations)]
        files = [(name, (Path(path).name, Path(path).read_bytes())) for name, paths in fields for path in paths]
        return self._forecast(self.connection.request("POST", "/nowcast", files=files, data={"model": model}))

    def start(self, reference_time: datetime | None = None, model: str = "default") -> JobOut | Forecast:
        """Request a forecast without waiting; return a job for `wait`, or the forecast if the service has no queue."""
        body, prefer = _body(reference_time, model, verify=True), {"Prefer": "respond-async"}
        answer = self.connection.request("POST", "/nowcast", json=body, headers=prefer)
        return JobOut.model_validate_json(answer.content) if answer.status_code == 202 else self._forecast(answer)

    def job(self, job_id: str) -> JobOut:
        """Return the state of a job."""
        return JobOut.model_validate_json(self.connection.request("GET", f"/jobs/{job_id}").content)

    def cancel(self, job_id: str) -> JobOut:
        """Cancel a job that is not done."""
        return JobOut.model_validate_json(self.connection.request("DELETE", f"/jobs/{job_id}").content)

    def wait(self, job: JobOut | Forecast, timeout_s: float = 300.0) -> Forecast:
        """Wait for a job, and return its forecast.

        Raises:
            ServiceError: the job failed, was cancelled, or is not done within `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        while not isinstance(job, Forecast):
            if job.status == "done" and job.forecast_id:
                return self.forecast(job.forecast_id)
            if job.status not in ("waiting", "running"):
                raise ServiceError(f"job {job.job_id} is {job.status}: {job.detail or 'no reason given'}")
            if time.monotonic() > deadline:
                raise ServiceError(f"job {job.job_id} is still {job.status} after {timeout_s:g} s")
            self.connection.pause(LOOK_S)
            job = self.job(job.job_id)
        return job

    def point(self, lat: float, lon: float, forecast_id: str | UUID = "latest", tz: str = "UTC") -> PointOut:
        """Return the forecast at one place: rates, quantiles, probabilities, and when rain starts and ends.

        Args:
            lat: degrees north.
            lon: degrees east.
            forecast_id: of a forecast.
            tz: IANA name of the zone of all times.
        """
        params = {"lat": lat, "lon": lon, "tz": tz}
        answer = self.connection.request("GET", f"/nowcast/{forecast_id}/point", params=params)
        return PointOut.model_validate_json(answer.content)

    def verification(
        self, period_hours: float = 24, model: str | None = None, mask: MaskName | None = None
    ) -> RollingOut:
        """Return the scores of the last hours, of one model and both baselines, or of all models.

        Args:
            period_hours: back from now.
            model: None for all models.
            mask: `all` observed grid cells, or those `known` to rest on an observation; None for both.
        """
        optional = {"model": model, "mask": mask}
        params = {"period_hours": period_hours} | {name: value for name, value in optional.items() if value}
        return RollingOut.model_validate_json(self.connection.request("GET", "/verification", params=params).content)

    def models(self) -> ModelsOut:
        """Return the models that can forecast."""
        return ModelsOut.model_validate_json(self.connection.request("GET", "/models").content)

    def scans(self, limit: int = 100) -> ScansOut:
        """Return the newest stored scans."""
        return ScansOut.model_validate_json(self.connection.request("GET", "/scans", params={"limit": limit}).content)

    def events(self, after: str | UUID | None = None) -> Generator[Forecast, None, None]:
        """Yield every new forecast, without end; after a lost connection it resumes without missing one.

        Args:
            after: id of the last known forecast; None starts with the next one.
        """
        last = str(after) if after else None
        while True:
            try:
                for event in self._listen(last):
                    last = event.id or last
                    if event.event == "forecast":
                        yield self.forecast(event.id)
            except ServiceError as err:
                if err.code and err.code not in (429, 503):
                    raise
            self.connection.pause(LOOK_S)

    def _listen(self, last: str | None) -> Iterator[httpx2.ServerSentEvent]:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        with self.connection.stream("/events", headers=headers, timeout=SILENCE_S) as answer:
            yield from httpx2.EventSource(answer)

    def _forecast(self, answer: httpx2.Response) -> Forecast:
        return Forecast(ForecastOut.model_validate_json(answer.content), self.connection)


def _body(reference_time: datetime | None, model: str, verify: bool) -> dict[str, Any]:
    time_text = reference_time.isoformat() if reference_time else None
    return {"reference_time": time_text, "model": model, "verify": verify}
