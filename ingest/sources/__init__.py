"""Sources of radar files: one module per kind of source."""

from ingest.sources import directory as directory
from ingest.sources import dwd as dwd
from ingest.sources.base import SOURCES, Arrival, Source, SourceContext, check_source_kind

__all__ = ["SOURCES", "Arrival", "Source", "SourceContext", "check_source_kind"]
