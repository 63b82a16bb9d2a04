"""GET /alerts/cap: the alerts of public rules as CAP 1.2 documents with an Atom index; for anybody."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as PathParameter

from core.errors import NoDataError
from service.alerts.cap import CAP_TYPE, atom_index, cap_document, chain_of, public_events
from service.alerts.regions import regions_of
from service.alerts.rulebook import rule_book
from service.api.backend import Backend, BackendDep
from service.api.errors import documented

router = APIRouter(prefix="/alerts", tags=["alerts"])

ATOM_TYPE = "application/atom+xml"
IN_XML = {"schema": {"type": "string"}}


@router.get(
    "/cap",
    summary="Alerts of public rules as an Atom feed of CAP documents",
    response_class=Response,
    responses={**documented(404, 422), 200: {"description": "an Atom feed", "content": {ATOM_TYPE: IN_XML}}},
)
def read_index(
    request: Request,
    backend: BackendDep,
    region: Annotated[str | None, Query(description="id of a region; all if omitted", max_length=100)] = None,
) -> Response:
    """Return the newest 200 events of public rules of the last 30 days, each with a link to its CAP document."""
    _check_offered(backend)
    if region is not None:
        regions_of(backend.settings.regions).check(region)
    found = public_events(rule_book(backend.settings).engine, region)
    address = str(request.base_url).rstrip("/")
    return Response(atom_index(found, backend.settings, address, region, datetime.now(UTC)), media_type=ATOM_TYPE)


@router.get(
    "/cap/{event_id}.xml",
    summary="One alert as a CAP 1.2 document",
    response_class=Response,
    responses={**documented(404, 422), 200: {"description": "a CAP document", "content": {CAP_TYPE: IN_XML}}},
)
def read_cap(
    event_id: Annotated[
        UUID, PathParameter(description="id of an event", examples=["0f8fad5b-d9cb-469f-a165-70867728950e"])
    ],
    backend: BackendDep,
) -> Response:
    """Return the document of an event; those of its alert before it are its `references`."""
    _check_offered(backend)
    chain = chain_of(rule_book(backend.settings).engine, str(event_id))
    content = cap_document(chain, backend.settings, regions_of(backend.settings.regions))
    return Response(content, media_type=CAP_TYPE, headers={"Cache-Control": "max-age=86400"})


def _check_offered(backend: Backend) -> None:
    if backend.settings.cap_sender is None:
        raise NoDataError("this service publishes no CAP documents: NOWCAST_CAP_SENDER names no sender")
