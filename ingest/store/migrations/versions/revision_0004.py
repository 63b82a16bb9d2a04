"""Rules and their alerts, events, deliveries, evaluations and subscribers."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

META = sa.MetaData()
ID = sa.String(36)
TABLES = (
    sa.Table(
        "rules",
        META,
        sa.Column("id", ID, primary_key=True),
        sa.Column("owner", sa.String(64), nullable=False, index=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("definition", sa.JSON, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False, index=True),
        sa.Column("changed_at", sa.DateTime, nullable=False),
    ),
    sa.Table(
        "rule_states",
        META,
        sa.Column("rule_id", ID, primary_key=True),
        sa.Column("alert_id", ID),
        sa.Column("raised_at", sa.DateTime),
        sa.Column("last_held_at", sa.DateTime),
        sa.Column("last_event_at", sa.DateTime),
        sa.Column("expected_at", sa.DateTime),
        sa.Column("probability", sa.Double),
        sa.Column("hits", sa.Integer, nullable=False),
        sa.Column("false_alarms", sa.Integer, nullable=False),
        sa.Column("misses", sa.Integer, nullable=False),
        sa.Column("unknown", sa.Integer, nullable=False),
        sa.Column("lead_gained_minutes", sa.Double, nullable=False),
    ),
    sa.Table(
        "rule_alerts",
        META,
        sa.Column("id", ID, primary_key=True),
        sa.Column("rule_id", ID, nullable=False, index=True),
        sa.Column("raised_at", sa.DateTime, nullable=False),
        sa.Column("probability", sa.Double, nullable=False),
        sa.Column("ended_at", sa.DateTime),
        sa.Column("outcome", sa.String(16), nullable=False, index=True),
        sa.Column("lead_gained_minutes", sa.Double),
        sa.Column("looked", sa.Integer, nullable=False),
        sa.Column("observed", sa.Integer, nullable=False),
    ),
    sa.Table(
        "rule_events",
        META,
        sa.Column("id", ID, primary_key=True),
        sa.Column("rule_id", ID, nullable=False),
        sa.Column("alert_id", ID, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("reference_time", sa.DateTime, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False, index=True),
        sa.Column("document", sa.JSON, nullable=False),
        sa.UniqueConstraint("alert_id", "kind", "reference_time", name="rule_events_key"),
        sa.Index("rule_events_of_rule", "rule_id", "reference_time"),
    ),
    sa.Table(
        "rule_deliveries",
        META,
        sa.Column("id", ID, primary_key=True),
        sa.Column("event_id", ID, nullable=False),
        sa.Column("rule_id", ID, nullable=False),
        sa.Column("target", sa.Integer, nullable=False),
        sa.Column("receiver", sa.JSON, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", sa.DateTime, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("ended_at", sa.DateTime),
        sa.Column("problem", sa.Text),
        sa.Index("rule_deliveries_open", "state", "next_at"),
        sa.Index("rule_deliveries_of_rule", "rule_id", "target", "number"),
    ),
    sa.Table(
        "rule_evaluations",
        META,
        sa.Column("reference_time", sa.DateTime, primary_key=True),
        sa.Column("part", sa.String(16), primary_key=True),
        sa.Column("forecast_id", ID, nullable=False),
        sa.Column("evaluated_at", sa.DateTime, nullable=False),
        sa.Column("rules", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
    ),
    sa.Table(
        "rule_subscribers",
        META,
        sa.Column("address", sa.String(320), primary_key=True),
        sa.Column("token_sha256", sa.String(64), nullable=False, index=True),
        sa.Column("is_confirmed", sa.Boolean, nullable=False),
        sa.Column("asked_at", sa.DateTime, nullable=False),
        sa.Column("confirmed_at", sa.DateTime),
    ),
)


def upgrade() -> None:
    """Create the tables; they begin empty."""
    META.create_all(op.get_bind(), TABLES, checkfirst=True)
