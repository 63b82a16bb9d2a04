"""The ingest worker: takes what sources bring into the store."""
