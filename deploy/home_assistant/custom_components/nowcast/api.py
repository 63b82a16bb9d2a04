"""Requests to a nowcast service; its errors as exceptions."""

from dataclasses import dataclass
from typing import Any

import aiohttp

from .const import TIMEOUT_S

Json = dict[str, Any]
ANSWER_ERRORS = (aiohttp.ClientError, TimeoutError, ValueError)
MOST_RULES = 1000
"""The longest page that the service gives."""


class NowcastApiError(Exception):
    """No response, or an error response; its text is that of the service."""


class NowcastAuthError(NowcastApiError):
    """No valid API key."""


class NowcastNoDataError(NowcastApiError):
    """The service has no forecast yet."""


@dataclass(frozen=True)
class NowcastApi:
    """A nowcast service as seen from one place.

    Attributes:
        session: of Home Assistant.
        url: of the service.
        api_key: None on the machine of the service.
        latitude: of the place.
        longitude: of the place.
    """

    session: aiohttp.ClientSession
    url: str
    api_key: str | None
    latitude: float
    longitude: float

    async def point(self) -> Json:
        """Return the forecast of the place: rates, quantiles, probabilities, next rain, amounts."""
        return await self._json("/nowcast/latest/point", lat=self.latitude, lon=self.longitude)

    async def minutes(self, forecast_id: str, language: str) -> Json:
        """Return the minute forecast of the place, with a sentence.

        Args:
            forecast_id: of the forecast that `point` returned, so that both say the same.
            language: en or de.
        """
        return await self._json(
            f"/nowcast/{forecast_id}/minutes", lat=self.latitude, lon=self.longitude, lang=language, tz="auto"
        )

    async def rules(self) -> list[Json]:
        """Return the rules of the API key; none where the service gives none without a key."""
        try:
            return list((await self._json("/rules", limit=MOST_RULES))["rules"])
        except NowcastAuthError:
            return []

    async def picture(self, forecast_id: str, lead_minutes: int) -> bytes:
        """Return the map of one lead as PNG."""
        return await self._content(f"/nowcast/{forecast_id}/image/{lead_minutes}.png")

    async def _json(self, path: str, **params: Any) -> Json:
        async with self._opened(path, params) as answer:
            await _check(answer)
            try:
                found: Json = await answer.json()
            except ANSWER_ERRORS as err:
                raise NowcastApiError(f"expected JSON of the service, got: {type(err).__name__}") from err
        return found

    async def _content(self, path: str) -> bytes:
        async with self._opened(path, {}) as answer:
            await _check(answer)
            try:
                return await answer.read()
            except ANSWER_ERRORS as err:
                raise NowcastApiError(f"the response of the service broke off: {type(err).__name__}") from err

    def _opened(self, path: str, params: Json) -> "_Opened":
        headers = {"X-API-Key": self.api_key} if self.api_key else {}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        return _Opened(self.session.get(f"{self.url}{path}", params=params, headers=headers, timeout=timeout))


class _Opened:
    """A response whose failures on the way are errors of this module."""

    def __init__(self, request: Any) -> None:
        self._request = request

    async def __aenter__(self) -> aiohttp.ClientResponse:
        try:
            answer: aiohttp.ClientResponse = await self._request.__aenter__()
        except ANSWER_ERRORS as err:
            raise NowcastApiError(f"no response from the service: {type(err).__name__}") from err
        return answer

    async def __aexit__(self, *raised: object) -> None:
        await self._request.__aexit__(*raised)


async def _check(answer: aiohttp.ClientResponse) -> None:
    """Check the status of a response.

    Raises:
        NowcastAuthError: 401 or 403.
        NowcastNoDataError: 404 or 503.
        NowcastApiError: another error.
    """
    if answer.status < 400:
        return
    try:
        detail = str((await answer.json(content_type=None))["detail"])
    except (*ANSWER_ERRORS, KeyError, TypeError):
        detail = answer.reason or ""
    kinds = {401: NowcastAuthError, 403: NowcastAuthError, 404: NowcastNoDataError, 503: NowcastNoDataError}
    raise kinds.get(answer.status, NowcastApiError)(f"{answer.status} {detail}")
