"""The ingest worker: stores the files that sources deliver."""
