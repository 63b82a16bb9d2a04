"""Sources of radar files: one module per kind of source."""

from ingest.sources import directory as directory
from ingest.sources import dwd as dwd
from ingest.sources import eumetnet as eumetnet
from ingest.sources.base import SOURCES, Arrival, Source, SourceContext, attribution_of, check_source_kind

__all__ = ["SOURCES", "Arrival", "Source", "SourceContext", "attribution_of", "check_source_kind"]
