"""When forecasts were made, longer than these are kept: `forecast_times`, of which the missed ones are counted."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TIMES = sa.Table(
    "forecast_times",
    sa.MetaData(),
    sa.Column("product", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("reference_time", sa.DateTime, primary_key=True),
    sa.Column("issued_at", sa.DateTime, nullable=False),
    sa.Column("scheduled", sa.Boolean, nullable=False),
    sqlite_with_rowid=False,
)


def upgrade() -> None:
    """Create the table; it begins empty, since earlier releases did not store which forecasts were scheduled."""
    TIMES.create(op.get_bind(), checkfirst=True)
