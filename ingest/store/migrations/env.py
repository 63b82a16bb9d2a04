"""Alembic's environment: runs revisions on the connection that `ingest.store.schema` passes in its configuration."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    render_as_batch=True,  # SQLite alters a table by copying it
    transaction_per_migration=False,  # the caller's transaction holds all of them
)
with context.begin_transaction():
    context.run_migrations()
