"""Both clients have the same operations, with the same results and the same errors."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from service.client import AsyncClient, Client, QuietHours, RuleIn, ServiceError
from service.client.operation import Operation, Stream, finished
from service.client.operations import Operations
from tests.service.api_support import REFERENCE, STEP, fill

WKT = "POLYGON((9.2 50.3, 11.1 50.4, 10.4 51.9, 9.2 50.3))"
PLACES = [(51.0, 9.5), (52.52, 13.4)]
Call = Callable[..., Any]


@pytest.fixture(params=["blocking", "asyncio"])
def call(url: str, request: pytest.FixtureRequest) -> Iterator[Call]:
    """Calls an operation of one of the clients by its name."""
    if request.param == "blocking":
        with Client(url) as client:
            yield lambda name, *args, **options: getattr(client, name)(*args, **options)
        return
    with asyncio.Runner() as runner:
        waiting = AsyncClient(url)
        yield lambda name, *args, **options: runner.run(getattr(waiting, name)(*args, **options))
        runner.run(waiting.close())


@pytest.mark.parametrize(
    ("name", "args", "options"),
    [
        ("point", (51.0, 9.5), {"tz": "Europe/Berlin"}),
        ("points", (PLACES,), {}),
        ("minutes", (PLACES,), {"lang": "de", "tz": "auto"}),
        ("area", (WKT,), {"shares": [0.25]}),
        ("sums", (51.0, 9.5), {}),
        ("box_sums", ((9.2, 50.3, 9.9, 50.9),), {}),
        ("point_picture", (51.0, 9.5), {"width": 300}),
        ("models", (), {}),
        ("scans", (2,), {}),
        ("regions", (), {}),
    ],
)
def test_both_clients_return_the_same(url, name, args, options):
    async def awaited() -> Any:
        async with AsyncClient(url) as client:
            return await getattr(client, name)(*args, **options)

    with Client(url) as client:
        assert getattr(client, name)(*args, **options) == asyncio.run(awaited())


def test_places_minutes_and_sums_have_the_values_of_the_point(call):
    one, other = call("points", PLACES)
    assert (one, other) == (call("point", *PLACES[0]), call("point", *PLACES[1]))
    (minutes,) = call("minutes", PLACES[:1], lang="de", tz="Europe/Berlin")
    assert [row.intensity_mmh for row in minutes.minutes][1:] == [lead.rate_mmh for lead in one.series]
    assert minutes.language == "de"
    assert minutes.minutes[0].time.utcoffset() == 4 * STEP
    rates = [one.observed.rate_mmh, one.series[0].rate_mmh]
    assert call("sums", *PLACES[0]).leads[0].total_mm == pytest.approx(sum(rates) / 4, abs=0.01)


def test_a_forecast_has_the_same_parts(call, service, url):
    latest = call("latest")
    with Client(url) as client:
        same = client.forecast(latest.id)
        assert same.answer.leads == latest.answer.leads
        assert same.area(WKT, [0.5]) == client.area(WKT, latest.id, shares=[0.5])
        assert same.minutes(PLACES) == client.minutes(PLACES)
        assert same.sums(*PLACES[0]) == client.sums(*PLACES[0])
        assert same.box_sums((9.2, 50.3, 9.9, 50.9)).leads
        assert same.picture(30).startswith(b"\x89PNG")
        assert same.picture(30, 0.5) != same.picture(30)


def test_the_waiting_forecast_writes_its_file(service, url, tmp_path):
    async def saved() -> Any:
        async with AsyncClient(url) as client:
            forecast = await client.latest()
            return await forecast.save(tmp_path / "rain.nc"), await forecast.point(51.0, 9.5)

    path, point = asyncio.run(saved())
    assert path.read_bytes() == service.latest().path.read_bytes()
    assert point.lat == 51.0


@pytest.mark.parametrize("wanted", [True, False])
def test_an_upload_asks_for_members_if_they_are_wanted(tmp_path, wanted):
    sent: list[bytes] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.read())
        return httpx2.Response(422)

    (tmp_path / "frames.nc").write_bytes(b"content")
    with pytest.raises(ServiceError, match="422"):
        Client("http://x", transport=httpx2.MockTransport(answer)).upload([tmp_path / "frames.nc"], members=wanted)
    assert (b'name="members"' in sent[0]) is wanted
    assert b'filename="frames.nc"' in sent[0]


def test_a_rule_from_its_creation_to_its_end(call):
    rule = RuleIn(
        name="Rain at home",
        place={"lat": 51.0, "lon": 9.5},
        threshold=1.0,
        quiet_hours=QuietHours(start="22:00", end="06:30", tz="Europe/Berlin"),
    )
    made = call("create_rule", rule)
    assert made.secret
    assert made.definition["quiet_hours"]["start"] == "22:00"
    other = call("create_rule", {**made.definition, "name": "More rain", "threshold": 5})
    assert [one.rule_id for one in call("rules")] == [other.rule_id, made.rule_id]
    changed = call("change_rule", made.rule_id, {**made.definition, "threshold": 2})
    assert (changed.revision, call("rule", made.rule_id).definition["threshold"]) == (made.revision + 1, 2)
    assert call("test_rule", made.rule_id).results == []
    assert call("rule_verification", made.rule_id).rule.alerts == 0
    assert call("rule_events", made.rule_id).events == []
    assert call("rule_deliveries", made.rule_id, "dead").deliveries == []
    assert call("delete_rule", made.rule_id) is None
    assert call("erase_rules") == 1
    assert call("rules") == []


def test_rules_are_read_page_by_page():
    pages = {None: ["1", "2"], "x": ["3"]}

    def answer(request: httpx2.Request) -> httpx2.Response:
        cursor = dict(request.url.params).get("cursor")
        time = REFERENCE.isoformat()
        rules: list[Any] = [
            {"rule_id": one, "revision": 1, "created_at": time, "changed_at": time, "definition": {}, "alert": None,
             "secret": None, "links": {}}
            for one in pages[cursor]
        ]  # fmt: skip
        return httpx2.Response(200, json={"rules": rules, "next": None if cursor else "/rules?limit=100&cursor=x"})

    client = Client("http://x", transport=httpx2.MockTransport(answer))
    assert [one.rule_id for one in client.rules()] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("name", "args", "code", "text"),
    [
        ("create_rule", ({"name": "x", "region": "nowhere", "threshold": 1},), 404, "nowhere"),
        ("create_rule", ({"name": "x", "place": {"lat": 51, "lon": 9}, "speed": 1},), 422, "speed"),
        ("rule", ("0f8fad5b-d9cb-469f-a165-70867728950e",), 404, "rule"),
        ("minutes", ([(100.0, 0.0)],), 422, "lat"),
        ("points", ([],), 422, "lat"),
        ("area", ("POLYGON((1 2))",), 422, "WKT"),
    ],
)
def test_an_error_has_the_text_of_the_problem(call, name, args, code, text):
    with pytest.raises(ServiceError, match=text) as caught:
        call(name, *args)
    assert caught.value.code == code
    assert caught.value.problem["detail"] in str(caught.value)


def test_no_response_is_an_error_of_the_waiting_client_too():
    with pytest.raises(ServiceError, match=r"no response from http://127\.0\.0\.1:1"):
        asyncio.run(AsyncClient("http://127.0.0.1:1").latest())


def test_the_waiting_client_waits_as_the_service_asks_and_lets_others_run():
    waits: list[float] = []
    answers = iter([httpx2.Response(503, headers={"Retry-After": "3"})])
    transport = httpx2.MockTransport(
        lambda request: next(answers, httpx2.Response(200, json={"count": 0, "scans": []}))
    )

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    async def two() -> list[Any]:
        async with AsyncClient("http://x", transport=transport, sleep=sleep) as client:
            return list(await asyncio.gather(client.scans(), client.scans()))

    assert [one.scans for one in asyncio.run(two())] == [[], []]
    assert waits == [3.0]


def test_the_waiting_client_follows_events(service, url):
    for steps in (1, 2):
        fill(service, REFERENCE + steps * STEP)
    made = [service.latest().id, *(service.forecast_stored(REFERENCE + steps * STEP).id for steps in (1, 2))]

    async def followed() -> list[str]:
        found = []
        async with AsyncClient(url) as client:
            events = client.events(after=made[0])
            async for forecast in events:
                found.append(forecast.id)
                if len(found) == 2:
                    break
            await events.aclose()
        return found

    assert asyncio.run(followed()) == made[1:]


def test_a_blocking_operation_never_waits_for_an_event_loop():
    async def waits() -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="waits for an event loop"):
        finished(waits())


def test_every_operation_is_written_once():
    shared = {name for name in dir(Operations) if not name.startswith("_")}
    assert {name for kind in (Client, AsyncClient) for name in vars(kind) if not name.startswith("_")} <= {"connection"}
    kinds = {name: type(vars(base).get(name)) for base in Operations.__mro__ for name in vars(base) if name in shared}
    assert {kind for name, kind in kinds.items() if name != "connection"} == {Operation, Stream}
