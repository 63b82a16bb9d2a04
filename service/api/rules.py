"""Rules and their alerts: POST, GET, PUT and DELETE /rules; an API key sees its own rules alone."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi import Path as PathParameter

from core.errors import AuthenticationError, InputError, NowcastError, shown
from service.access.callers import Caller
from service.alerts import channels as channels
from service.alerts.cells import doubts_of
from service.alerts.channels.base import checked_target, shown_target, waits_for_receiver, welcome_target
from service.alerts.channels.webhook import shown_secret
from service.alerts.delivery import send_test
from service.alerts.events import events_of
from service.alerts.outbox import deliveries_of
from service.alerts.regions import regions_of
from service.alerts.rule import check_line, checked_definition
from service.alerts.rulebook import RuleBook, StoredRule, rule_book
from service.alerts.verification import verification_of
from service.api.access import CallerDep, check
from service.api.backend import Backend, BackendDep
from service.api.csv_tables import TableRoute, as_table
from service.api.errors import documented
from service.api.lanes import in_lane, lane_held
from service.api.paging import Cursor, Limit, next_link, position_of
from service.api.proxies import public_prefix
from service.schemas.rules import (
    AlertOut,
    AlertStateOut,
    DeliveriesOut,
    DeliveryOut,
    DeliveryState,
    RecordOut,
    RegionOut,
    RegionsOut,
    RuleEventsOut,
    RuleIn,
    RuleOut,
    RulesOut,
    RuleVerificationOut,
    TestedRuleOut,
)

router = APIRouter(prefix="/rules", tags=["rules"], route_class=TableRoute)

LOCAL: Final = "local"
"""Owner of the rules of clients on this machine without a key."""

RuleId = Annotated[
    str,
    PathParameter(description="id of a rule", max_length=36, examples=["0f8fad5b-d9cb-469f-a165-70867728950e"]),
]


def owner_of(caller: CallerDep) -> str | None:
    """Return whose rules a caller sees: its own, with the scope admin all of them (None).

    Raises:
        AuthenticationError: no API key, and not on this machine.
    """
    if caller.allows("admin"):
        return None
    return _name(caller)


OwnerDep = Annotated[str | None, Depends(owner_of)]


def stored_rule(rule_id: RuleId, owner: OwnerDep, backend: BackendDep) -> StoredRule:
    """Return the rule that the path names, if it is the caller's.

    Raises:
        NoDataError: there is none.
    """
    return _book(backend).get(rule_id, owner)


RuleDep = Annotated[StoredRule, Depends(stored_rule)]


async def hold_for_receivers(rule: RuleIn, request: Request) -> AsyncIterator[None]:
    """Hold a place among the requests that wait for receivers, if one of the rule's is asked to agree."""
    if any(waits_for_receiver(target) for target in rule.targets):
        async with lane_held(request, "messages"):
            yield
    else:
        yield


ASKING: Final = [Depends(hold_for_receivers, scope="function")]


@router.post(
    "",
    summary="Create a rule",
    status_code=201,
    responses=documented(401, 403, 404, 409, 413, 422),
    dependencies=ASKING,
)
def create_rule(rule: RuleIn, backend: BackendDep, caller: CallerDep, response: Response) -> RuleOut:
    """Store a rule. It is evaluated with the next forecast, and its events are sent to its targets.

    The answer holds the secret that signs messages to webhooks; it is not shown again.
    """
    owner = _name(caller)
    stored = _book(backend).create(owner, _checked(rule, backend, caller, owner))
    response.headers["Location"] = f"{public_prefix()}/rules/{stored.id}"
    return _whole_rule_out(stored, backend, secret=shown_secret(stored.secret))


@router.get("", openapi_extra=as_table("rules"), summary="Rules, newest first", responses=documented(401, 422))
def read_rules(
    backend: BackendDep,
    owner: OwnerDep,
    request: Request,
    response: Response,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> RulesOut:
    """Return the rules of the caller's API key; with the scope admin those of every key."""
    found = _book(backend).select(owner, after=position_of(cursor), limit=limit + 1)
    last = found[limit - 1] if len(found) > limit else None
    link = next_link(request, response, (last.created_at, last.id) if last else None)
    return RulesOut(rules=[_rule_out(one) for one in found[:limit]], next=link)


@router.delete("", summary="Erase all own rules", responses=documented(401, 403))
def erase_rules(backend: BackendDep, caller: CallerDep) -> dict[str, int]:
    """Delete all rules of the caller's API key with their alerts, events and messages; return their number."""
    return {"erased": _book(backend).erase_owner(_name(caller))}


@router.get("/regions", openapi_extra=as_table("regions"), summary="Named regions")
def read_regions(backend: BackendDep) -> RegionsOut:
    """Return the regions that rules may name: the states of Germany, and those of the operator's file."""
    found = regions_of(backend.settings.regions)
    return RegionsOut(
        regions=[RegionOut(region=region, name=name) for region, name in sorted(found.names.items())],
        attribution=found.attribution,
    )


@router.get("/{rule_id}", summary="One rule", responses=documented(401, 404))
def read_rule(stored: RuleDep, backend: BackendDep) -> RuleOut:
    """Return a rule, the alert that it has raised now, and why it can raise none (`notes`)."""
    return _whole_rule_out(stored, backend)


@router.put(
    "/{rule_id}",
    summary="Replace a rule",
    responses=documented(401, 403, 404, 409, 413, 422),
    dependencies=ASKING,
)
def change_rule(rule_id: RuleId, rule: RuleIn, backend: BackendDep, owner: OwnerDep, caller: CallerDep) -> RuleOut:
    """Replace a rule. An alert that it has raised is cancelled, and its receivers get that message.

    Its record begins anew, unless only name, language, quiet hours or receivers change.
    """
    book = _book(backend)
    definition = _checked(rule, backend, caller, book.get(rule_id, owner).owner)
    return _whole_rule_out(book.change(rule_id, owner, definition), backend)


@router.delete("/{rule_id}", summary="Erase a rule", status_code=204, responses=documented(401, 403, 404))
def delete_rule(rule_id: RuleId, backend: BackendDep, owner: OwnerDep) -> None:
    """Delete a rule with its alerts, events and messages, also those that wait."""
    _book(backend).delete(rule_id, owner)


@router.get(
    "/{rule_id}/events",
    openapi_extra=as_table("events"),
    summary="Events of a rule",
    responses=documented(401, 404, 422),
)
def read_events(stored: RuleDep, backend: BackendDep, limit: Limit = 100) -> RuleEventsOut:
    """Return the events of the last 30 days, the newest first: raised, updated, ended, cancelled."""
    return RuleEventsOut(events=events_of(_book(backend).engine, stored.id, limit))


@router.get(
    "/{rule_id}/deliveries",
    openapi_extra=as_table("deliveries"),
    summary="Messages of a rule",
    responses=documented(401, 404, 422),
)
def read_deliveries(
    stored: RuleDep,
    backend: BackendDep,
    state: Annotated[DeliveryState | None, Query(description="state of the messages; all if omitted")] = None,
    limit: Limit = 100,
) -> DeliveriesOut:
    """Return the messages of the last 30 days, the newest first; `state=dead` those that were given up."""
    found = deliveries_of(_book(backend).engine, stored.id, state, limit)
    return DeliveriesOut(
        deliveries=[
            DeliveryOut.of(one, delivery_id=one.id, next_at=None if one.ended_at else one.next_at) for one in found
        ]
    )


@router.get(
    "/{rule_id}/verification",
    openapi_extra=as_table("alerts"),
    summary="How good the alerts are",
    responses=documented(401, 404),
)
def read_rule_verification(stored: RuleDep, backend: BackendDep) -> RuleVerificationOut:
    """Return hits, false alarms, misses and the time gained: of this rule, and of all rules of its quantity.

    A hit: a scan from the reference time of the alert to the end of its lead window shows the event. A miss: the event
    begins while no alert is raised.
    """
    found = verification_of(_book(backend).engine, stored)
    return RuleVerificationOut(
        rule=RecordOut.of(found.rule),
        pooled=RecordOut.of(found.pooled),
        alerts=[AlertOut.of(one, alert_id=one.id) for one in found.alerts],
    )


@router.post(
    "/{rule_id}/test",
    summary="Send a test message",
    responses=documented(401, 403, 404),
    dependencies=[in_lane("messages")],
)
def test_rule(stored: RuleDep, backend: BackendDep) -> TestedRuleOut:
    """Send a test message to each target of a rule at once; return what happened."""
    results = []
    for target in stored.definition["targets"]:
        problem = send_test(stored, dict(target), backend.settings)
        results.append({"target": shown_target(target), "delivered": problem is None, "problem": problem})
    return TestedRuleOut(results=results)


def _checked(rule: RuleIn, backend: Backend, caller: Caller, owner: str) -> dict[str, object]:
    """Return the definition to store for `owner`; receivers that have to agree are asked.

    Raises:
        InputError: not usable.
        PermissionDeniedError: public, and the caller is no administrator.
        UnavailableError: a receiver cannot be asked now.
    """
    check_line(rule.name, "name")
    if rule.public:
        check(caller, "admin")
        if backend.settings.cap_sender is None:
            raise InputError("public: needs NOWCAST_CAP_SENDER, and this service has none")
    definition = checked_definition(rule)
    if rule.region is not None:
        regions_of(backend.settings.regions).check(rule.region)
    definition["targets"] = [checked_target(target, backend.settings) for target in rule.targets]
    longest = backend.settings.lead_minutes
    if rule.lead_from_minutes >= longest:
        raise InputError(f"lead_from_minutes: expected less than {longest}, got {shown(rule.lead_from_minutes)}")
    if rule.lead_to_minutes > longest:
        raise InputError(f"lead_to_minutes: expected at most {longest}, as forecasts reach, got {rule.lead_to_minutes}")
    for target in rule.targets:
        welcome_target(target, backend.settings, rule.language, owner)
    return definition


def _name(caller: Caller) -> str:
    if caller.key is not None:
        return caller.key.id
    if not caller.is_local:
        raise AuthenticationError("rules belong to an API key; expected X-API-Key or Authorization: Bearer, got none")
    return LOCAL


def _book(backend: Backend) -> RuleBook:
    return rule_book(backend.settings)


def _whole_rule_out(stored: StoredRule, backend: Backend, secret: str | None = None) -> RuleOut:
    """Return a rule with notes on what keeps it silent, as far as the newest forecast says."""
    notes: list[str] = []
    with suppress(NowcastError, OSError):  # none yet, or deleted meanwhile: the rule is there all the same
        notes = doubts_of(stored.rule, backend.service.latest(), regions_of(backend.settings.regions))
    return _rule_out(stored, secret).model_copy(update={"notes": notes})


def _rule_out(stored: StoredRule, secret: str | None = None) -> RuleOut:
    here, state = f"{public_prefix()}/rules/{stored.id}", stored.state
    definition = {**stored.definition, "targets": [shown_target(one) for one in stored.definition["targets"]]}
    return RuleOut.of(
        stored,
        rule_id=stored.id,
        definition={name: value for name, value in definition.items() if value is not None},
        alert=AlertStateOut.of(state) if state.alert_id else None,
        secret=secret,
        links={"self": here, **{name: f"{here}/{name}" for name in ("events", "deliveries", "verification")}},
    )
