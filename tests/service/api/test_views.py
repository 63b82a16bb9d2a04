"""Records and their documents: a field of a forecast stands in the record, and in the answer's schema or on a list."""

from dataclasses import fields

from service.forecasts.records import StoredForecast
from service.schemas.base import Out
from service.schemas.forecasts import ForecastOut

RENAMED = {"id": "forecast_id", "thresholds_mmh": "probability_thresholds_mmh"}
WITHIN_OTHERS = {"version": "model", "lead_minutes": "leads", "path": "links", "provider": "attribution"}
NOT_ANSWERED = {"requested_model", "inputs_sha256", "source_grid", "cadence_minutes"}


def test_every_field_of_a_forecast_is_in_its_answer_or_left_out_by_name():
    names = {field.name for field in fields(StoredForecast)} - NOT_ANSWERED - set(WITHIN_OTHERS)
    assert {RENAMED.get(name, name) for name in names} <= set(ForecastOut.model_fields)


def test_a_document_takes_the_attributes_of_its_record_and_computed_fields_first():
    class Inner(Out):
        depth_mm: float

    class Document(Out):
        name: str
        inner: Inner
        total: int

    class Part:
        depth_mm = float("nan")

    class Record:
        name = "record"
        inner = Part()
        total = 1
        more = "not in the document"

    document = Document.of(Record(), total=2)
    assert (document.name, document.total) == ("record", 2)
    assert document.model_dump_json() == '{"name":"record","inner":{"depth_mm":null},"total":2}'
