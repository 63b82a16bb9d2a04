"""Settings of the channels of alerts: what is wrong in them is named, at the start and with each rule."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from core.settings import Settings
from service import alerter
from service.alerts.arrivals import announce
from service.alerts.channels.base import DeliveryError
from service.alerts.channels.email import Email
from service.alerts.messages import required_address, service_address
from service.alerts.rulebook import rule_book
from tests.service.api_support import running, service_at

PUBLIC = "https://rain.example.org"
MAIL: dict[str, Any] = {"smtp_url": SecretStr("smtps://me:secret@mail.example.org"), "email_from": "rain@example.org"}
BROKER = SecretStr("mqtts://me:secret@broker.example.org")
WIS2 = "origin/a/wis2/de-example/data/recommended/weather/prediction/forecast"
RULE: dict[str, Any] = {"name": "Garden", "place": {"lat": 51, "lon": 10}, "quantity": "rate", "threshold": 1}
ADDRESS = {"kind": "email", "address": "anna@example.org"}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, None),
        ({**MAIL, "public_url": PUBLIC}, None),
        ({**MAIL, "host": "192.0.2.7"}, None),
        ({**MAIL, "email_from": "Rain <rain@example.org>", "public_url": PUBLIC}, None),
        (MAIL, "NOWCAST_PUBLIC_URL"),
        ({**MAIL, "host": "0.0.0.0"}, "NOWCAST_PUBLIC_URL"),
        ({**MAIL, "email_from": None, "public_url": PUBLIC}, "NOWCAST_EMAIL_FROM"),
        ({**MAIL, "email_from": "rain", "public_url": PUBLIC}, "NOWCAST_EMAIL_FROM"),
        ({**MAIL, "smtp_url": SecretStr("https://me:secret@x"), "public_url": PUBLIC}, "NOWCAST_SMTP_URL"),
        ({**MAIL, "smtp_url": SecretStr("smtp://me:secret@x:mail"), "public_url": PUBLIC}, "NOWCAST_SMTP_URL"),
        ({**MAIL, "smtp_url": SecretStr("smtp://[::1"), "public_url": PUBLIC}, "NOWCAST_SMTP_URL"),
        ({"mqtt_url": BROKER}, None),
        ({"mqtt_url": SecretStr("http://me:secret@broker")}, "NOWCAST_MQTT_URL"),
        ({"mqtt_url": SecretStr("mqtt://me:secret@broker:many")}, "NOWCAST_MQTT_URL"),
        ({"mqtt_url": BROKER, "wis2_topic": WIS2, "public_url": PUBLIC}, None),
        ({"mqtt_url": BROKER, "wis2_topic": WIS2}, "NOWCAST_PUBLIC_URL"),
        ({"wis2_topic": WIS2, "public_url": PUBLIC}, "NOWCAST_MQTT_URL"),
    ],
)
def test_a_setting_that_cannot_work_is_named_without_its_password(settings, named):
    found = alerter.settings_problems(Settings(**settings))
    assert [one for one in found if named and named in one] == found
    assert len(found) == (0 if named is None else 1)
    assert "secret" not in str(found)


def test_the_process_of_rules_names_it_and_goes_on(tmp_path, monkeypatch, caplog):
    settings = Settings(home=tmp_path, mqtt_url=SecretStr("http://x"), **MAIL)
    monkeypatch.setattr(alerter, "get_settings", lambda: settings)
    monkeypatch.setattr(alerter, "start_telemetry", lambda part, settings: None)
    with caplog.at_level(logging.ERROR):
        alerter.check_start()
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 2
    assert "NOWCAST_MQTT_URL" in caplog.text
    assert "NOWCAST_PUBLIC_URL" in caplog.text


def test_a_rule_with_such_a_channel_is_refused_and_others_are_made(tmp_path):
    with running(service_at(tmp_path, mqtt_url=SecretStr("http://x"), **MAIL)) as client:
        for target, named in (({"kind": "mqtt"}, "NOWCAST_MQTT_URL"), (ADDRESS, "NOWCAST_PUBLIC_URL")):
            answer = client.post("/rules", json={**RULE, "targets": [target]})
            assert (answer.status_code, named in answer.text) == (422, True), answer.text
        assert client.post("/rules", json={**RULE, "targets": [{"kind": "ntfy", "topic": "a"}]}).status_code == 201


def test_no_message_has_a_link_that_leads_to_its_reader_s_own_machine(tmp_path, monkeypatch):
    for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "::"):
        assert service_address(Settings(host=host)) is None
        assert service_address(Settings(host=host, public_url=f"{PUBLIC}/")) == PUBLIC
    assert service_address(Settings(host="2001:db8::7", port=80)) == "http://[2001:db8::7]:80"
    assert required_address(Settings(public_url=PUBLIC), "x") == PUBLIC
    settings = Settings(home=tmp_path, **MAIL)
    monkeypatch.setattr("service.alerts.channels.email.is_confirmed", lambda engine, address, owner: True)
    message: Any = SimpleNamespace(settings=settings, target=ADDRESS, owner="anna")
    with pytest.raises(DeliveryError, match="NOWCAST_PUBLIC_URL") as waits:
        Email().send(message)
    assert not waits.value.is_final, "it is sent once the setting is there"
    unaddressed: Any = settings.model_copy(update={"mqtt_url": BROKER, "wis2_topic": WIS2})
    service: Any = None  # not even looked at
    assert announce(service, rule_book(settings).engine, unaddressed) == 0


@pytest.mark.parametrize("address", ["anna@localhost", "anna@mail", "anna"])
def test_an_address_whose_domain_has_no_dot_is_refused_with_that_reason(tmp_path, address):
    settings = {**MAIL, "public_url": "https://rain.example.org"}
    with running(service_at(tmp_path, **settings)) as client:
        answer = client.post("/rules", json={**RULE, "targets": [{"kind": "email", "address": address}]})
    assert answer.status_code == 422
    assert "whose domain has a dot" in answer.text
    assert address not in answer.json()["detail"]
