"""The CAP feed: documents of the standard's form, in a chain, of public rules alone."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from lxml import etree
from starlette.testclient import TestClient

from core.settings import Settings
from ingest.sources import attribution_of
from service.access.keybook import KeyBook
from service.alerts.cap import PublicEvent, atom_index, cap_document, chain_of, public_events
from service.alerts.messages import service_address
from service.alerts.regions import regions_of
from service.alerts.rule import checked_definition
from service.alerts.rulebook import rule_book
from service.app import create_app
from service.schemas.rules import RuleIn
from tests.service.alerts.happening import happen
from tests.service.api_support import BASE_URL, running, service_at

SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).with_name("cap12.xsd")))
CAP = "{urn:oasis:names:tc:emergency:cap:1.2}"
ATOM = "{http://www.w3.org/2005/Atom}"
RULE: dict[str, Any] = {
    "name": "Bavaria & more", "region": "DE-BY", "quantity": "rate", "threshold": 10.0, "language": "de", "public": True
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    service = service_at(tmp_path_factory.mktemp("cap"), cap_sender="rain@example.org")
    assert service_address(service.settings) is None
    boss = KeyBook.from_settings(service.settings).create("Boss", "admin")
    with running(service) as client:
        made = [
            client.post("/rules", json=rule, headers={"X-API-Key": boss})
            for rule in (RULE, {**RULE, "region": "DE-BE"}, {**RULE, "public": False})
        ]
        assert [one.status_code for one in made] == [201] * 3, made[0].text
        yield client, rule_book(service.settings), [one.json()["rule_id"] for one in made]


def documents(client: TestClient, ids: list[str]) -> list[ET.Element]:
    found = []
    for event_id in ids:
        answer = client.get(f"/alerts/cap/{event_id}.xml")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/cap+xml"), answer.text
        SCHEMA.assertValid(etree.fromstring(answer.content))
        assert client.get(f"/alerts/cap/{event_id}.xml").content == answer.content, "a document never changes"
        found.append(ET.fromstring(answer.content))
    return found


def text(document: ET.Element, name: str) -> str:
    found = next(document.iter(CAP + name), None)
    return "" if found is None else str(found.text)


def check_credit(chain: list[PublicEvent]) -> None:
    """Documents and the index state whose radar data they are from."""
    settings = Settings(cap_sender="rain@example.org", source_kind="dwd")
    content = cap_document(chain, settings, regions_of(None))
    SCHEMA.assertValid(etree.fromstring(content))
    pairs = {
        one.findtext(f"{CAP}valueName"): one.findtext(f"{CAP}value")
        for one in ET.fromstring(content).iter(f"{CAP}parameter")
    }
    feed = ET.fromstring(atom_index(chain, settings, "http://here", None, datetime.now(UTC)))
    assert pairs["attribution"] == feed.findtext(f"{ATOM}rights") == attribution_of("dwd") != ""


def test_an_alert_is_a_chain_of_valid_documents(world):
    client, book, (rule_id, _, _) = world
    ids = happen(book, rule_id, "raised", "updated", "ended")
    found = documents(client, ids)
    assert [text(one, "msgType") for one in found] == ["Alert", "Update", "Update"]
    assert [text(one, "responseType") for one in found] == ["Monitor", "Monitor", "AllClear"]
    assert text(found[0], "references") == ""
    check_credit(chain_of(book.engine, ids[0]))
    names = [",".join(text(one, part) for part in ("sender", "identifier", "sent")) for one in found]
    assert text(found[2], "references") == " ".join(names[:2])
    assert text(found[0], "identifier") == ids[0]
    assert text(found[0], "status") == "Actual"
    assert (text(found[0], "severity"), text(found[0], "certainty")) == ("Moderate", "Likely")
    assert text(found[0], "areaDesc") == "Bayern"
    assert text(found[0], "language") == "de-DE"
    for polygon in found[0].iter(f"{CAP}polygon"):
        points = str(polygon.text).split()
        assert points[0] == points[-1]
        lat, lon = map(float, points[0].split(","))
        assert 47 < lat < 51
        assert 8 < lon < 14


def test_a_cancellation_refers_to_what_it_cancels(world):
    client, book, (_, rule_id, _) = world
    first, last = documents(client, happen(book, rule_id, "raised", "cancelled"))
    assert text(last, "msgType") == "Cancel"
    assert text(first, "identifier") in text(last, "references")
    assert "Wir wissen es nicht mehr" in text(last, "description")


def test_the_index_lists_public_events_by_region(world):
    client, book, (_, _, private) = world
    (hidden,) = happen(book, private, "raised")
    answer = client.get("/alerts/cap", params={"region": "DE-BY"})
    assert answer.headers["content-type"] == "application/atom+xml"
    feed = ET.fromstring(answer.content)
    assert [child.tag for child in feed][:3] == [f"{ATOM}{name}" for name in ("id", "title", "updated")]
    assert feed.find(f"{ATOM}author/{ATOM}name") is not None
    entries = feed.findall(f"{ATOM}entry")
    assert entries
    for entry in entries:
        for name in ("id", "title", "updated"):
            assert entry.findtext(ATOM + name)
        link = entry.find(f"{ATOM}link")
        assert link is not None
        assert link.attrib["href"].startswith(BASE_URL), "the address of this reader"
        found = client.get(link.attrib["href"].removeprefix(BASE_URL))
        assert "Bayern" in found.text
        assert "<web>" not in found.text, "an address that leads nowhere from other machines"
    assert hidden not in answer.text
    assert client.get(f"/alerts/cap/{hidden}.xml").status_code == 404
    assert client.get("/alerts/cap", params={"region": "DE-XX"}).status_code == 404
    assert len(client.get("/alerts/cap").text) > len(answer.text)


def test_events_of_a_rule_that_is_of_another_region_by_now_stay_with_theirs(world):
    _, book, _ = world
    definition = checked_definition(RuleIn.model_validate(RULE))
    rule_id = book.create("boss", definition).id
    ids = happen(book, rule_id, "raised", "updated")
    book.change(rule_id, "boss", {**definition, "region": "DE-BE"})
    bavaria, berlin = ({one.id for one in public_events(book.engine, region)} for region in ("DE-BY", "DE-BE"))
    assert set(ids) <= bavaria
    assert not set(ids) & berlin


def test_a_control_character_in_a_name_leaves_the_documents_readable(world):
    client, book, _ = world
    definition = checked_definition(RuleIn.model_validate({**RULE, "name": "a\x0bb\ufffe"}))
    (event_id,) = happen(book, book.create("boss", definition).id, "raised")
    documents(client, [event_id])
    assert "a b" in "".join(ET.fromstring(client.get("/alerts/cap").content).itertext())


def test_only_administrators_publish_and_only_regions(tmp_path):
    service = service_at(tmp_path, cap_sender="rain@example.org")
    keys = KeyBook.from_settings(service.settings)
    user, boss = keys.create("User", "forecast"), keys.create("Boss", "admin")
    place = {"place": {"lat": 51, "lon": 10}, "quantity": "rate", "threshold": 1, "name": "x", "public": True}
    app = create_app(service)
    with TestClient(app, BASE_URL, client=("203.0.113.5", 5000)) as client:
        app.state.backend.wait_warm(30)
        assert client.post("/rules", json=RULE, headers={"X-API-Key": user}).status_code == 403
        refused = client.post("/rules", json=place, headers={"X-API-Key": boss})
        assert (refused.status_code, "public: expected a named region" in refused.text) == (422, True)


def test_without_a_sender_there_is_no_feed(tmp_path):
    service = service_at(tmp_path)
    boss = KeyBook.from_settings(service.settings).create("Boss", "admin")
    with running(service) as client:
        assert client.get("/alerts/cap").status_code == 404
        refused = client.post("/rules", json=RULE, headers={"X-API-Key": boss})
        assert (refused.status_code, "NOWCAST_CAP_SENDER" in refused.text) == (422, True)


@pytest.mark.parametrize("public_url", [None, "https://rain.example.org/x/"])
def test_the_id_of_the_feed_is_the_same_for_every_reader(public_url):
    settings = Settings(cap_sender="rain@example.org", public_url=public_url)
    ids = [
        {
            ET.fromstring(atom_index([], settings, address, region, datetime.now(UTC))).findtext(f"{ATOM}id")
            for address in ("http://10.0.0.1:8000", "https://rain.example.org/x")
        }
        for region in (None, "DE-BY")
    ]
    assert [len(one) for one in ids] == [1, 1], "whatever name a reader reaches the service by"
    assert ids[0] != ids[1]
    if public_url:
        assert ids[1] == {"https://rain.example.org/x/alerts/cap?region=DE-BY"}
