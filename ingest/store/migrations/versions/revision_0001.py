"""The schema of release 0.1.0, which stored no revision: existing tables are checked, missing ones are created."""

import sqlalchemy as sa
from alembic import op

from core.errors import ConfigError

revision = "0001"
down_revision = None

REBUILT_FROM_FILES = ("scans",)
"""Tables that may be dropped where their columns are older than release 0.1.0: they are rebuilt from the files."""

SCHEMA = sa.MetaData()


def scored() -> list[sa.Column[object]]:
    """Return the columns that the three tables of scores share."""
    return [
        sa.Column("product", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Text, primary_key=True),
        sa.Column("grid_key", sa.String(64), primary_key=True),
        sa.Column("reference_time", sa.DateTime, primary_key=True),
        sa.Column("lead_minutes", sa.Integer, primary_key=True),
        sa.Column("threshold_mmh", sa.Double, primary_key=True),
        sa.Column("valid_time", sa.DateTime, nullable=False, index=True),
    ]


sa.Table(
    "scans",
    SCHEMA,
    sa.Column("product", sa.Text, primary_key=True),
    sa.Column("valid_time", sa.DateTime, primary_key=True, index=True),
    sa.Column("received_at", sa.DateTime, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("grid_key", sa.String(64), nullable=False),
    sa.Column("coverage", sa.Double, nullable=False),
    sa.Column("missing_radars", sa.JSON, nullable=False),
    sa.Column("issued_at", sa.DateTime, nullable=False),
    sa.Column("wet_fraction", sa.Double, nullable=False),
    sa.Column("wet_mean_mmh", sa.Double, nullable=False),
    sa.Column("max_mmh", sa.Double, nullable=False),
    sa.Column("field_digest", sa.String(32), nullable=False),
)
sa.Table(
    "files",
    SCHEMA,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("name", sa.Text, primary_key=True, index=True),
    sa.Column("observations", sa.Integer, nullable=False),
    sa.Column("forecasts", sa.Integer, nullable=False),
    sa.Column("ingested_at", sa.DateTime, nullable=False),
)
sa.Table(
    "rejected_files",
    SCHEMA,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", sa.DateTime, nullable=False),
)
sa.Table(
    "ingest_counts",
    SCHEMA,
    sa.Column("what", sa.String(64), primary_key=True),
    sa.Column("n", sa.BigInteger, nullable=False),
)
sa.Table(
    "forecasts",
    SCHEMA,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("origin", sa.String(16), nullable=False),
    sa.Column("requested_model", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("product", sa.Text, nullable=False),
    sa.Column("grid_key", sa.String(64), nullable=False),
    sa.Column("reference_time", sa.DateTime, nullable=False, index=True),
    sa.Column("inputs_sha256", sa.String(64), nullable=False, index=True),
    sa.Column("leads", sa.Integer, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("attributes", sa.JSON, nullable=False),
)
sa.Table(
    "scores",
    SCHEMA,
    *scored(),
    sa.Column("forecast_id", sa.String(36), nullable=False),
    sa.Column("hits", sa.BigInteger, nullable=False),
    sa.Column("misses", sa.BigInteger, nullable=False),
    sa.Column("false_alarms", sa.BigInteger, nullable=False),
    sa.Column("correct_negatives", sa.BigInteger, nullable=False),
)
sa.Table(
    "fraction_sums",
    SCHEMA,
    *scored(),
    sa.Column("window_km", sa.Double, primary_key=True),
    sa.Column("difference", sa.Double, nullable=False),
    sa.Column("worst", sa.Double, nullable=False),
    sa.Column("windows", sa.BigInteger, nullable=False),
)
sa.Table(
    "reliability",
    SCHEMA,
    *scored(),
    sa.Column("bin", sa.Integer, primary_key=True),
    sa.Column("cells", sa.BigInteger, nullable=False),
    sa.Column("events", sa.BigInteger, nullable=False),
    sa.Column("probability_ppm", sa.BigInteger, nullable=False),
)
sa.Table(
    "heartbeats",
    SCHEMA,
    sa.Column("giver", sa.String(255), primary_key=True),
    sa.Column("given_at", sa.DateTime, nullable=False),
    sa.Column("completed_at", sa.DateTime, nullable=False),
)
sa.Table(
    "forecast_jobs",
    SCHEMA,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("reference_time", sa.Text),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("owner", sa.Text),
    sa.Column("forecast_id", sa.String(36)),
    sa.Column("problem", sa.JSON),
    sa.Column("created_at", sa.DateTime, nullable=False, index=True),
    sa.Column("handed_out_at", sa.DateTime, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
)
sa.Table(
    "api_keys",
    SCHEMA,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("scope", sa.String(16), nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("rate_limit", sa.Text),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("revoked_at", sa.DateTime),
)


def upgrade() -> None:
    """Create missing tables; each component of release 0.1.0 created its own at its first start.

    Raises:
        ConfigError: a table has other columns than in release 0.1.0.
    """
    connection = op.get_bind()
    inspector = sa.inspect(connection)
    there = set(inspector.get_table_names())
    for table in SCHEMA.sorted_tables:
        if table.name in there:
            found = {column["name"] for column in inspector.get_columns(table.name)}
            expected = {column.name for column in table.columns}
            if found == expected:
                continue
            if table.name not in REBUILT_FROM_FILES:
                raise ConfigError(
                    f"table {table.name} is not that of release 0.1.0: expected the columns "
                    f"{', '.join(sorted(expected))}, got {', '.join(sorted(found))}"
                )
            table.drop(connection)
        table.create(connection)
