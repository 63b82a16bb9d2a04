"""Numbers of events, secrets of the service, and subscribers by a keyed hash of their address."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

META = sa.MetaData()
EVENTS = sa.table("rule_events", sa.column("id", sa.String), sa.column("number", sa.Integer))
SECRETS = sa.Table(
    "rule_secrets",
    META,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
SUBSCRIBERS = sa.Table(
    "rule_subscribers",
    META,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("is_confirmed", sa.Boolean, nullable=False),
    sa.Column("asked_at", sa.DateTime, nullable=False),
    sa.Column("decided_at", sa.DateTime),
)


def upgrade() -> None:
    """Number the events in their order; the table of subscribers was not in use before.

    Tables of a database without a revision may be of this one already.
    """
    connection = op.get_bind()
    columns = {each["name"] for each in sa.inspect(connection).get_columns("rule_events")}
    if "number" not in columns:
        with op.batch_alter_table("rule_events") as table:
            table.add_column(sa.Column("number", sa.Integer, nullable=False, server_default="0"))
        order = sa.text("SELECT id FROM rule_events ORDER BY created_at, reference_time, id")
        for number, event_id in enumerate(connection.execute(order).scalars().all(), 1):
            connection.execute(EVENTS.update().where(EVENTS.c.id == event_id).values(number=number))
        op.create_index("ix_rule_events_number", "rule_events", ["number"])
        op.drop_table("rule_subscribers")
    META.create_all(connection, checkfirst=True)
