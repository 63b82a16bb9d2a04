"""Query parameters that an operation does not have are errors, so that a misspelt one is never ignored."""

from typing import Any, Final

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from core.errors import InputError, shown
from service.api.errors import documented


async def only_known_parameters(request: Request) -> None:
    """Check that the operation has every query parameter of the request.

    Raises:
        InputError: it lacks one.
    """
    if not request.scope["query_string"]:
        return
    route: APIRoute = request.scope["route"]
    known = tuple(dict.fromkeys(_names(route.dependant)))
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        expected = f"one of {', '.join(known)}" if known else "no query parameter"
        raise InputError(f"query parameter: expected {expected}, got {shown(unknown[0])}")


STRICT: Final[dict[str, Any]] = {"dependencies": [Depends(only_known_parameters)], "responses": documented(422)}
"""Arguments of `include_router` for the operations of this service; interfaces of other standards ignore more names."""


def _names(dependant: Dependant) -> list[str]:
    """Return the names of the query parameters of a function and of all that it depends on."""
    names = [name for each in dependant.dependencies for name in _names(each)]
    return [*(field.alias for field in dependant.query_params), *names]
