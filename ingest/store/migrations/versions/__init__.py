"""One module per revision of the schema, `revision_NNNN.py`."""
