"""One table of sums for every score: `scored_leads` and `score_sums` replace the three tables of scores."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

KEY = ("product", "model", "version", "grid_key", "reference_time", "lead_minutes")
NONE = -1
PER_ONE = 10**10
"""Fractions are stored in units of 1e-10 from now on (`verification.scores.fss`)."""

LEADS = sa.Table(
    "scored_leads",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("product", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("grid_key", sa.String(64), nullable=False),
    sa.Column("reference_time", sa.DateTime, nullable=False),
    sa.Column("lead_minutes", sa.Integer, nullable=False),
    sa.Column("period_minutes", sa.Integer, nullable=False),
    sa.Column("companions", sa.Text, nullable=False),
    sa.Column("valid_time", sa.DateTime, nullable=False, index=True),
    sa.UniqueConstraint(*KEY, "period_minutes", "companions", name="scored_leads_key"),
)
SUMS = sa.Table(
    "score_sums",
    LEADS.metadata,
    sa.Column("scored_lead", sa.Integer, sa.ForeignKey("scored_leads.id"), primary_key=True, autoincrement=False),
    sa.Column("family", sa.String(64), primary_key=True),
    sa.Column("mask", sa.String(8), primary_key=True),
    sa.Column("threshold_mmh", sa.Double, primary_key=True),
    sa.Column("window_km", sa.Double, primary_key=True),
    sa.Column("bin", sa.Integer, primary_key=True, autoincrement=False),
    *(sa.Column(f"value_{number}", sa.BigInteger, nullable=False) for number in range(4)),
    sqlite_with_rowid=False,
)


def upgrade() -> None:
    """Create both tables, convert every row of the old ones, and drop these."""
    connection = op.get_bind()
    old = sa.MetaData()
    scores, fractions, bins = (
        sa.Table(name, old, autoload_with=connection) for name in ("scores", "fraction_sums", "reliability")
    )
    LEADS.create(connection)
    SUMS.create(connection)
    columns = [*KEY, "valid_time"]
    distinct = sa.union(*(sa.select(*(table.c[name] for name in columns)) for table in (scores, fractions, bins)))
    found = distinct.subquery()
    each = sa.select(*found.c, sa.literal(0), sa.literal(""))
    connection.execute(sa.insert(LEADS).from_select([*columns, "period_minutes", "companions"], each))
    counts = [scores.c[name] for name in ("hits", "misses", "false_alarms", "correct_negatives")]
    _convert(connection, scores, "counts", NONE, NONE, counts)
    parts = [sa.cast(sa.func.round(fractions.c[name] * PER_ONE), sa.BigInteger) for name in ("difference", "worst")]
    _convert(connection, fractions, "fss", fractions.c.window_km, NONE, [*parts, fractions.c.windows])
    cells = [bins.c[name] for name in ("cells", "events", "probability_ppm")]
    _convert(connection, bins, "reliability", NONE, bins.c.bin, cells)
    old.drop_all(connection)


def _convert(connection: sa.Connection, table: sa.Table, family: str, window: Any, number: Any, values: Any) -> None:
    """Copy one table into the generic one; columns that the family does not use are 0."""
    window, number = (sa.literal(one) if isinstance(one, int) else one for one in (window, number))
    filled = [*values, *[sa.literal(0)] * (4 - len(values))]
    query = sa.select(
        LEADS.c.id, sa.literal(family), sa.literal("all"), table.c.threshold_mmh, window, number, *filled
    ).join_from(table, LEADS, sa.and_(*(table.c[name] == LEADS.c[name] for name in KEY)))
    connection.execute(sa.insert(SUMS).from_select(list(SUMS.c.keys()), query))
