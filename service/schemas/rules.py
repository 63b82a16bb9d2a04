"""The documents of rules: what an owner sends, and what the service answers."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.schemas.base import Out

Quantity = Literal["rate", "sum_60min", "start", "end"]
Language = Literal["en", "de"]
EventKind = Literal["raised", "updated", "ended", "cancelled"]
DeliveryState = Literal["waiting", "sending", "sent", "dead"]
CLOCK: Final = r"^([01]\d|2[0-3]):[0-5]\d$"
MOST_TARGETS: Final = 5
Degrees = Annotated[float, Field(allow_inf_nan=False)]


class In(BaseModel):
    """Base of what a client sends: an unknown field is an error that names it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Place(In):
    """A place on Earth; longitudes of 180 to 360 are those of the west."""

    lat: Degrees = Field(ge=-90, le=90, description="latitude in degrees north")
    lon: Degrees = Field(ge=-180, le=360, description="longitude in degrees east")


class QuietHours(In):
    """Hours of the day without messages; they may include midnight."""

    start: str = Field(pattern=CLOCK, description="local time, HH:MM", examples=["22:00"])
    end: str = Field(pattern=CLOCK, description="local time, HH:MM; not the start", examples=["06:30"])
    tz: str = Field("UTC", max_length=64, description="time zone by its IANA name", examples=["Europe/Berlin"])


class RuleIn(In):
    """A rule: where, what, how likely, when, and who receives it. Exactly one of the four areas is set."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Rain at home",
                    "place": {"lat": 52.52, "lon": 13.4},
                    "quantity": "rate",
                    "threshold": 1.0,
                    "probability": 0.5,
                    "lead_to_minutes": 60,
                }
            ]
        }
    )

    name: str = Field(min_length=1, max_length=100, description="name in the messages")
    place: Place | None = Field(None, description="one place")
    bbox: tuple[Degrees, Degrees, Degrees, Degrees] | None = Field(
        None, description="box: west, south, east, north in degrees"
    )
    polygon: dict[str, Any] | None = Field(None, description="GeoJSON geometry: Polygon or MultiPolygon")
    region: str | None = Field(None, max_length=100, description="id of a region of `GET /rules/regions`")
    quantity: Quantity = Field(
        "rate",
        description="rate: rain rate; sum_60min: depth of the next 60 minutes; start, end: of rain at or above the "
        "threshold",
    )
    threshold: float | None = Field(
        None, gt=0, le=500, allow_inf_nan=False, description="mm/h, of sums mm; start and end: 0.1 by default"
    )
    probability: float = Field(0.5, gt=0, le=1, allow_inf_nan=False, description="least probability of the event")
    lead_from_minutes: int = Field(0, ge=0, le=360, description="first lead time of the window; of sums 0")
    lead_to_minutes: int = Field(60, ge=5, le=360, description="last lead time of the window; of sums 60")
    dry_minutes: int = Field(30, ge=0, le=120, description="time without the event before it is over, or may begin")
    quiet_hours: QuietHours | None = Field(None, description="hours without messages")
    language: Language = Field("en", description="language of the messages")
    public: bool = Field(
        False, description="publish the alerts at `/alerts/cap`; of named regions, by API keys with the scope admin"
    )
    targets: list[dict[str, Any]] = Field(
        default_factory=list,
        max_length=MOST_TARGETS,
        description='receivers: `kind` and the fields of that kind, such as {"kind": "webhook", "url": "https://..."}',
    )


class PushKeyOut(Out):
    """What a browser needs to subscribe to Web Push."""

    application_server_key: str | None = Field(
        description="public key of this service (VAPID) in base64url; null where it offers no Web Push"
    )


class RecordOut(Out):
    """Outcomes of alerts; an event without an alert is a miss."""

    alerts: int = Field(description="alerts whose outcome is known")
    hits: int
    false_alarms: int
    misses: int
    unknown: int = Field(description="alerts without enough observations")
    lead_gained_minutes: float | None = Field(description="mean time from the alert to the event, of hits")


class AlertStateOut(Out):
    """The alert that is raised now."""

    alert_id: str
    raised_at: datetime
    expected_at: datetime | None
    probability: float


class RuleOut(Out):
    """A rule as it is stored."""

    rule_id: str
    revision: int
    created_at: datetime
    changed_at: datetime
    definition: dict[str, Any] = Field(description="as it was sent, without secrets of targets")
    alert: AlertStateOut | None
    secret: str | None = Field(description="signs the messages of webhooks; only in the answer that creates it")
    links: dict[str, str]
    notes: list[str] = Field(
        default=[], description="why no alert can be raised, such as a place outside the grid; empty in lists of rules"
    )


class RulesOut(Out):
    """Rules of one owner, the newest first."""

    rules: list[RuleOut]
    next: str | None = Field(description="link to the next page")


class RegionOut(Out):
    """A named region."""

    region: str
    name: str


class RegionsOut(Out):
    """The named regions that rules may use."""

    regions: list[RegionOut]
    attribution: str


class RuleEventsOut(Out):
    """Events of a rule, the newest first."""

    events: list[dict[str, Any]]


class DeliveryOut(Out):
    """One message to one target."""

    delivery_id: str
    event_id: str
    target: int = Field(description="its position among the targets of the rule, from 0")
    state: DeliveryState
    attempts: int
    created_at: datetime
    next_at: datetime | None = Field(description="next attempt; null after the end")
    ended_at: datetime | None
    problem: str | None = Field(description="reason of the last failure")


class DeliveriesOut(Out):
    """Messages of a rule, the newest first; `dead` ones were given up."""

    deliveries: list[DeliveryOut]


class TestedRuleOut(Out):
    """Outcome of a test message, by target."""

    results: list[dict[str, Any]]


class AlertOut(Out):
    """A past alert and what the radar observed."""

    alert_id: str
    raised_at: datetime
    ended_at: datetime | None
    probability: float
    outcome: Literal["open", "hit", "false_alarm", "unknown"]
    lead_gained_minutes: float | None


class RuleVerificationOut(Out):
    """How good the alerts are: of this rule, and of all rules of its kind together."""

    rule: RecordOut
    pooled: RecordOut = Field(description="all rules of this quantity")
    alerts: list[AlertOut] = Field(description="the newest 100")
