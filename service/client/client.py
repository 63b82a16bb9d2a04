"""The operations of the REST interface as methods; answers are the documents of its OpenAPI page."""

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
from service.schemas.forecasts import ForecastOut, PointOut
from service.schemas.listings import JobOut, ModelsOut, ScansOut
from service.schemas.scores import RollingOut

LOCAL: Final = "http://127.0.0.1:8000"
LOOK_S: Final = 0.5
SILENCE_S: Final = 60.0
"""The service sends a comment more often than this; a stream that is silent for longer is dead."""


class Client:
    """Asks one service; as a context manager it closes its connections.

    Args:
        url: of the service.
        api_key: for services that ask for one.
        patience_s: so long in all a call waits where the service is busy or not ready and says when to come again.
        timeout_s: for one answer.
        transport: of httpx2; None is the network.
        sleep: waits; a test's own does not.
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
        """The newest forecast.

        Raises:
            ServiceError: there is none yet, or no answer.
        """
        return self.forecast("latest")

    def forecast(self, forecast_id: str | UUID) -> Forecast:
        """One forecast by its id."""
        return self._forecast(self.connection.request("GET", f"/nowcast/{forecast_id}"))

    def nowcast(
        self, reference_time: datetime | None = None, model: str = "default", *, verify: bool = True
    ) -> Forecast:
        """A forecast from the scans of the service; the same is made once and found again.

        Args:
            reference_time: of the newest scan that it starts from; None is the newest there is.
            model: a name of `models()`.
            verify: with its scores.
        """
        return self._forecast(self.connection.request("POST", "/nowcast", json=_body(reference_time, model, verify)))

    def upload(
        self, frames: Sequence[Path | str], observations: Sequence[Path | str] = (), model: str = "default"
    ) -> Forecast:
        """A forecast from radar files, or from one NetCDF of five times; scored where `observations` followed."""
        fields = [("frames", frames), ("observations", observations)]
        files = [(name, (Path(path).name, Path(path).read_bytes())) for name, paths in fields for path in paths]
        return self._forecast(self.connection.request("POST", "/nowcast", files=files, data={"model": model}))

    def start(self, reference_time: datetime | None = None, model: str = "default") -> JobOut | Forecast:
        """Ask for a forecast without waiting: a job for `wait`, or the forecast itself where there is no queue."""
        body, prefer = _body(reference_time, model, verify=True), {"Prefer": "respond-async"}
        answer = self.connection.request("POST", "/nowcast", json=body, headers=prefer)
        return JobOut.model_validate_json(answer.content) if answer.status_code == 202 else self._forecast(answer)

    def job(self, job_id: str) -> JobOut:
        """How a job stands."""
        return JobOut.model_validate_json(self.connection.request("GET", f"/jobs/{job_id}").content)

    def cancel(self, job_id: str) -> JobOut:
        """Call a job off that is not done."""
        return JobOut.model_validate_json(self.connection.request("DELETE", f"/jobs/{job_id}").content)

    def wait(self, job: JobOut | Forecast, timeout_s: float = 300.0) -> Forecast:
        """The forecast of a job, when it is made.

        Raises:
            ServiceError: the job failed, was cancelled, or is not done in time.
        """
        deadline = time.monotonic() + timeout_s
        while not isinstance(job, Forecast):
            if job.status == "done" and job.forecast_id:
                return self.forecast(job.forecast_id)
            if job.status not in ("waiting", "running"):
                raise ServiceError(f"job {job.job_id} is {job.status}: {job.detail or 'no reason was given'}")
            if time.monotonic() > deadline:
                raise ServiceError(f"job {job.job_id} is still {job.status} after {timeout_s:g} s")
            self.connection.pause(LOOK_S)
            job = self.job(job.job_id)
        return job

    def point(self, lat: float, lon: float, forecast_id: str | UUID = "latest") -> PointOut:
        """The forecast of one place: its rates, and when rain begins and ends."""
        answer = self.connection.request("GET", f"/nowcast/{forecast_id}/point", params={"lat": lat, "lon": lon})
        return PointOut.model_validate_json(answer.content)

    def verification(self, period_hours: float = 24, model: str | None = None) -> RollingOut:
        """The scores of the last hours; of one model with both baselines beside it, or of all."""
        asked = {"period_hours": period_hours} | ({"model": model} if model else {})
        return RollingOut.model_validate_json(self.connection.request("GET", "/verification", params=asked).content)

    def models(self) -> ModelsOut:
        """What forecasts can be asked of."""
        return ModelsOut.model_validate_json(self.connection.request("GET", "/models").content)

    def scans(self, limit: int = 100) -> ScansOut:
        """The newest stored scans."""
        return ScansOut.model_validate_json(self.connection.request("GET", "/scans", params={"limit": limit}).content)

    def events(self, after: str | UUID | None = None) -> Generator[Forecast, None, None]:
        """Every new forecast as it comes, without end; a connection that breaks is made again and misses none.

        Args:
            after: id of the last forecast that is known; None begins with the next one.
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
