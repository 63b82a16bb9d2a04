"""The operations of the REST interface, once for both clients; they return the documents of its OpenAPI page."""

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import httpx2

from service.client.connection import Connection, ServiceError
from service.client.forecast import ForecastOperations
from service.client.operation import Operation, Stream
from service.client.parts import BBox, ForecastParts, Place
from service.client.rules import RuleOperations
from service.schemas.areas import AreaOut, BoxAmountOut, PlaceAmountOut
from service.schemas.forecasts import ForecastOut
from service.schemas.listings import JobOut, ModelsOut, ScansOut
from service.schemas.minutes import MinutesOut
from service.schemas.places import PointOut
from service.schemas.scores import MaskName, RollingOut
from service.schemas.sentence import Language

LOOK_S: Final = 0.5
SILENCE_S: Final = 60.0
"""The service sends a comment more often than this; a stream silent for longer is considered broken."""

LATEST: Final = "latest"
F = TypeVar("F", bound=ForecastOperations)


class Operations(RuleOperations, Generic[F]):
    """Every operation of a service, once for both clients.

    Args:
        connection: to the service.
        kind: class of the forecasts.
    """

    def __init__(self, connection: Connection, kind: Callable[[ForecastOut, Connection], F]) -> None:
        self.connection = connection
        self._kind = kind

    @Operation
    async def close(self) -> None:
        """Close the connections."""
        await self.connection.wire.close()

    @Operation
    async def latest(self) -> F:
        """Return the newest forecast.

        Raises:
            ServiceError: no forecast is stored yet, or the service does not respond.
        """
        return await self._get(LATEST)

    @Operation
    async def forecast(self, forecast_id: str | UUID) -> F:
        """Return one forecast by its id."""
        return await self._get(forecast_id)

    @Operation
    async def nowcast(
        self, reference_time: datetime | None = None, model: str = "default", *, verify: bool = True
    ) -> F:
        """Return a forecast from the scans of the service; an identical one is computed once.

        Args:
            reference_time: of the newest input scan; None takes the newest scan.
            model: a name from `models()`.
            verify: whether to include scores.
        """
        body = _body(reference_time, model, verify)
        return self._forecast(await self.connection.request("POST", "/nowcast", json=body))

    @Operation
    async def upload(
        self,
        frames: Sequence[Path | str],
        observations: Sequence[Path | str] = (),
        model: str = "default",
        *,
        members: bool = False,
    ) -> F:
        """Return a forecast from radar files or one NetCDF with at least five times.

        Args:
            frames: files.
            observations: files of the frames that followed, to verify the forecast with.
            model: a name from `models()`.
            members: whether to make the ensemble members, too.
        """
        fields = [("frames", frames), ("observations", observations)]
        files = [(name, (Path(path).name, Path(path).read_bytes())) for name, paths in fields for path in paths]
        data = {"model": model} | ({"members": "true"} if members else {})
        return self._forecast(await self.connection.request("POST", "/nowcast", files=files, data=data))

    @Operation
    async def start(self, reference_time: datetime | None = None, model: str = "default") -> JobOut | F:
        """Request a forecast without waiting; return a job for `wait`, or the forecast if the service has no queue."""
        body, prefer = _body(reference_time, model, verify=True), {"Prefer": "respond-async"}
        answer = await self.connection.request("POST", "/nowcast", json=body, headers=prefer)
        return JobOut.model_validate_json(answer.content) if answer.status_code == 202 else self._forecast(answer)

    @Operation
    async def job(self, job_id: str) -> JobOut:
        """Return the state of a job."""
        return JobOut.model_validate_json(await self.connection.content(f"/jobs/{job_id}"))

    @Operation
    async def cancel(self, job_id: str) -> JobOut:
        """Cancel a job that is not done."""
        return JobOut.model_validate_json((await self.connection.request("DELETE", f"/jobs/{job_id}")).content)

    @Operation
    async def wait(self, job: JobOut | F, timeout_s: float = 300.0) -> F:
        """Wait for a job, and return its forecast.

        Raises:
            ServiceError: the job failed, was cancelled, or is not done within `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        while isinstance(job, JobOut):
            if job.status == "done" and job.forecast_id:
                return await self._get(job.forecast_id)
            if job.status not in ("waiting", "running"):
                raise ServiceError(f"job {job.job_id} is {job.status}: {job.detail or 'no reason given'}")
            if time.monotonic() > deadline:
                raise ServiceError(f"job {job.job_id} is still {job.status} after {timeout_s:g} s")
            await self.connection.wire.sleep(LOOK_S)
            job = JobOut.model_validate_json(await self.connection.content(f"/jobs/{job.job_id}"))
        return job

    @Operation
    async def point(self, lat: float, lon: float, forecast_id: str | UUID = LATEST, tz: str = "UTC") -> PointOut:
        """Return the forecast at one place: rates, quantiles, probabilities, and when rain starts and ends.

        Args:
            lat: degrees north.
            lon: degrees east.
            forecast_id: of a forecast.
            tz: IANA name of the zone of all times; `auto` is that of the place.
        """
        return (await self._parts(forecast_id).points([(lat, lon)], tz))[0]

    @Operation
    async def points(
        self, places: Sequence[Place], forecast_id: str | UUID = LATEST, tz: str = "UTC"
    ) -> list[PointOut]:
        """Return the forecast at several places (latitude, longitude) in one request, in their order."""
        return await self._parts(forecast_id).points(places, tz)

    @Operation
    async def minutes(
        self,
        places: Sequence[Place],
        forecast_id: str | UUID = LATEST,
        *,
        lang: Language = "en",
        tz: str = "UTC",
    ) -> list[MinutesOut]:
        """Return the minute forecast of places (latitude, longitude), each with a sentence, in their order."""
        return await self._parts(forecast_id).minutes(places, lang, tz)

    @Operation
    async def area(
        self,
        polygon: dict[str, Any] | str,
        forecast_id: str | UUID = LATEST,
        *,
        shares: Sequence[float] | None = None,
    ) -> AreaOut:
        """Return means, sums and probabilities over a polygon: GeoJSON, or WKT with longitude before latitude."""
        return await self._parts(forecast_id).area(polygon, shares)

    @Operation
    async def sums(self, lat: float, lon: float, forecast_id: str | UUID = LATEST) -> PlaceAmountOut:
        """Return the depths in mm from the reference time to each lead, at a place."""
        return await self._parts(forecast_id).sums(lat, lon)

    @Operation
    async def box_sums(self, bbox: BBox, forecast_id: str | UUID = LATEST) -> BoxAmountOut:
        """Return the depths in mm from the reference time to each lead, of the grid cells of a box."""
        return await self._parts(forecast_id).box_sums(bbox)

    @Operation
    async def point_picture(
        self, lat: float, lon: float, forecast_id: str | UUID = LATEST, *, lang: Language = "en", width: int = 480
    ) -> bytes:
        """Return the forecast of a place as a picture with bars and a sentence, as PNG."""
        return await self._parts(forecast_id).point_picture(lat, lon, lang, width)

    @Operation
    async def verification(
        self, period_hours: float = 24, model: str | None = None, mask: MaskName | None = None
    ) -> RollingOut:
        """Return the scores of the last hours, of one model and both baselines, or of all models.

        Args:
            period_hours: back from now.
            model: None for all models.
            mask: `all` observed grid cells, or those `known` to rest on an observation; None for both.
        """
        content = await self.connection.content("/verification", period_hours=period_hours, model=model, mask=mask)
        found = page = RollingOut.model_validate_json(content)
        while page.next:
            page = RollingOut.model_validate_json(await self.connection.content(self.connection.path_of(page.next)))
            more = {name: [*rows, *getattr(page, name)] for name, rows in found if isinstance(rows, list)}
            found = found.model_copy(update=more)
        return found.model_copy(update={"next": None})

    @Operation
    async def models(self) -> ModelsOut:
        """Return the models that can forecast."""
        return ModelsOut.model_validate_json(await self.connection.content("/models"))

    @Operation
    async def scans(self, limit: int = 100) -> ScansOut:
        """Return the newest stored scans."""
        return ScansOut.model_validate_json(await self.connection.content("/scans", limit=limit))

    @Stream
    async def events(self, after: str | UUID | None = None) -> AsyncGenerator[F, None]:
        """Yield every new forecast, without end; after a lost connection it resumes without missing one.

        Args:
            after: id of the last known forecast; None starts with the next one.
        """
        last = str(after) if after else None
        while True:
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
            try:
                async with aclosing(self.connection.events("/events", headers=headers, timeout=SILENCE_S)) as events:
                    async for event in events:
                        last = event.id or last
                        if event.event == "forecast":
                            yield await self._get(event.id)
            except ServiceError as err:
                if err.code and err.code not in (429, 503):
                    raise
            await self.connection.wire.sleep(LOOK_S)

    async def _get(self, forecast_id: str | UUID) -> F:
        return self._forecast(await self.connection.request("GET", f"/nowcast/{forecast_id}"))

    def _parts(self, forecast_id: str | UUID) -> ForecastParts:
        return ForecastParts(self.connection, forecast_id)

    def _forecast(self, answer: httpx2.Response) -> F:
        return self._kind(ForecastOut.model_validate_json(answer.content), self.connection)


def _body(reference_time: datetime | None, model: str, verify: bool) -> dict[str, Any]:
    time_text = reference_time.isoformat() if reference_time else None
    return {"reference_time": time_text, "model": model, "verify": verify}
