"""The history of the catalogue's schema, as Alembic revisions; `ingest.store.schema` applies them at the start.

To change a table:

1. Change its class (`ingest/store/tables.py`, `service/forecasts/tables.py`, ...).
2. Add `versions/revision_NNNN.py` with the next number, four digits: `revision = "NNNN"`, `down_revision` the one
   before, and an `upgrade()` of Alembic operations (`op.create_table`, `with op.batch_alter_table("scores") as table:`
   for columns, since SQLite changes a table by copying it; `op.execute` for the rows). A new column needs a
   `server_default` or a value for the rows that are there. There is no downgrade: the copy of the file is the way back.
3. Run `tests/ingest/store/test_schema.py`: it compares the classes with the migrated database and lists the
   differences, and it upgrades the catalogue of every release under `tests/golden/`.

Nothing else names a revision: the highest number in `versions/` is the schema that this release knows. A revision that
was released is never changed, and none imports the project's tables, since today's are not those of its time.
"""
