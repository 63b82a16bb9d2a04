"""Routes of EDR: an invalid query is 400 there (requirement `rc-coords-response` and others), not 422."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from core.errors import InputError
from service.api.errors import validation_text


class BadQueryError(InputError):
    """A query parameter of EDR is missing or invalid."""

    status = 400


class EdrRoute(APIRoute):
    """A route whose invalid input is answered with the status of the standard."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of requests."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as err:
                raise BadQueryError(validation_text(err)) from err
            except InputError as err:
                if err.status == InputError.status:
                    raise BadQueryError(str(err)) from err
                raise

        return handled
