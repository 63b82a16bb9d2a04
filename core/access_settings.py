"""The settings of what others reach: keys and limits, web addresses, and the delivery of alerts.

They are part of `core.settings.Settings`, which alone is read from the environment.
"""

from pathlib import Path
from typing import Final, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

PUBLIC_URL: Final = (
    r"^https?://(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?(?:/[A-Za-z0-9._~-]{1,64}){0,8}/?$"
)
TOPIC: Final = r"^[^\s/#+\x00]+(/[^\s/#+\x00]+)*$"
"""Pattern of MQTT topics without wildcards, spaces and empty levels."""


class AccessSettings(BaseSettings):
    """The part of the settings about access and delivery."""

    keys_home: Path | None = Field(None, description="folder of the API keys; default: NOWCAST_HOME")
    allow_no_keys: bool = Field(
        False, description="start on any address without an API key; only GET works without one"
    )
    rules_per_key: int = Field(10_000, ge=1, description="most rules of one API key")
    regions: Path | None = Field(
        None, description="GeoJSON file of further named regions of rules: a FeatureCollection of polygons with ids"
    )
    alert_networks: tuple[str, ...] = Field(
        (),
        description="networks of private addresses to which alerts may be sent, also without encryption (http), such "
        "as 10.1.0.0/16 or 127.0.0.1/32; default: public addresses alone, by https",
    )
    local_without_key: bool | None = Field(
        None,
        description="whether programs of this machine may do all but administration without an API key, and have no "
        "rate limit; default: under `nowcast run` without trusted_proxies and public_url, else not",
    )
    limit_per_key: str = Field("1200/minute", description="rate limit per API key, without pictures and tiles")
    alerts_keep_days: float = Field(
        365.0, ge=1, description="retention of past alerts; how many were right stays with their rule"
    )
    mqtt_url: SecretStr | None = Field(
        None,
        description="MQTT broker of alerts and of new forecasts: mqtts://user:password@host:8883; default: none",
    )
    mqtt_topic: str = Field(
        "nowcast", pattern=TOPIC, description="first levels of the topics of alerts: TOPIC/alerts/RULE_ID"
    )
    wis2_topic: str | None = Field(
        None,
        pattern=TOPIC,
        description="topic on that broker of a WIS2 notification message for each new forecast, such as "
        "origin/a/wis2/de-example/data/recommended/weather/prediction/forecast; default: none is sent",
    )
    smtp_url: SecretStr | None = Field(
        None,
        description="mail server of alerts: smtps://user:password@host:465, or smtp://host:587, which encrypts where "
        "the server offers it; default: no e-mail",
    )
    email_from: str | None = Field(None, description="sender of alerts by e-mail, such as rain@example.org")
    push_contact: str | None = Field(
        None,
        pattern=r"^(mailto:[^@\s]+@[^@\s]+|https://\S+)$",
        description="address that push services may write to, such as mailto:rain@example.org; default: no Web Push",
    )
    cap_sender: str | None = Field(
        None,
        pattern=r"^[^\s,<&]+$",
        description="sender of the CAP documents of public rules, such as rain@example.org; default: there are none",
    )
    limit_per_address: str = Field(
        "300/minute",
        description="rate limit per client address without an API key, without pictures and tiles; see "
        "local_without_key for this machine",
    )
    limit_pictures_per_key: str = Field("12000/minute", description="rate limit of pictures and tiles per API key")
    limit_pictures_per_address: str = Field(
        "3000/minute", description="rate limit of pictures, tiles and files of the page per client address"
    )
    limit_monitoring: str = Field(
        "120/minute", description="rate limit of /readyz and /metrics together per client address"
    )
    public_url: str | None = Field(
        None,
        pattern=PUBLIC_URL,
        description="address at which clients reach the service, such as https://example.org/rain: all links and "
        "redirects begin with it; default: what trusted_proxies state, else the address of the request",
    )
    trusted_proxies: tuple[str, ...] = Field(
        (),
        description="addresses or networks of proxies whose X-Forwarded-For, -Proto, -Host and -Prefix, or Forwarded, "
        "are trusted",
    )
    proxy_headers: Literal["auto", "x-forwarded", "forwarded"] = Field(
        "auto",
        description="which headers the trusted proxies write; those of the other kind are the client's and are "
        "ignored. auto: X-Forwarded-*, and Forwarded where there are none; a request whose headers of both kinds name "
        "different clients counts as the proxy's own",
    )
    cors_origins: tuple[str, ...] = Field(
        ("*",),
        description='web origins whose scripts may call the API: ["https://example.org"] may read and write, ["*"] '
        "lets all of them read, [] none",
    )
