"""A record comes back the same from JSON, a row and flat attributes, and a wrong value is named."""

import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import FrameError, InputError
from core.grid import DE1200, Grid
from core.records import NullIsNaN, RecordCodec


class Kind(Enum):
    DRY = "dry"
    WET = "wet"


@dataclass(frozen=True)
class Figures:
    mean: NullIsNaN
    digest: str = ""


@dataclass(frozen=True)
class Sample:
    name: str
    at: datetime
    times: tuple[datetime | None, ...]
    grid: Grid
    kind: Kind
    status: Literal["ok", "stale"]
    figures: Figures
    path: Path
    count: int = 0
    wet: bool = False
    next_grid: Grid | None = None
    labels: tuple[str, ...] = ()
    by_lead: dict[int, float] = field(default_factory=dict)


CODEC = RecordCodec(Sample, names={"name": "sample_name"}, omit=("path",), flatten=("figures",))
AT = datetime(2024, 6, 1, 12, 30, tzinfo=UTC)
SAMPLE = Sample(
    name='one, "two"',
    at=AT,
    times=(AT, None),
    grid=DE1200,
    kind=Kind.WET,
    status="stale",
    figures=Figures(1.5, "ab"),
    path=Path("a/b.nc"),
    count=3,
    wet=True,
    next_grid=DE1200,
    labels=("ham", "ros"),
    by_lead={5: 0.25},
)


def read(values: dict[str, Any]) -> Sample:
    return CODEC.from_dict(values, path=SAMPLE.path)


def test_a_record_comes_back_from_json() -> None:
    text = json.dumps(CODEC.to_dict(SAMPLE))
    assert '"sample_name"' in text
    assert '"at": "2024-06-01T12:30:00Z"' in text
    assert read(json.loads(text)) == SAMPLE


def test_a_record_comes_back_from_a_row_whose_times_are_times() -> None:
    row = CODEC.to_row(SAMPLE)
    assert (row["at"], row["digest"]) == (AT, "ab")
    assert "path" not in row
    assert "figures" not in row
    assert CODEC.from_dict({**row, "grid": DE1200.to_dict(), "next_grid": None}, path=SAMPLE.path).at == AT


def test_a_record_comes_back_from_attributes_of_text_and_numbers_alone() -> None:
    attributes = CODEC.to_attributes(SAMPLE)
    assert {type(value) for value in attributes.values()} <= {str, int, float}
    assert CODEC.from_attributes(attributes, path=SAMPLE.path) == SAMPLE


def test_a_record_comes_back_from_attributes_that_are_all_text() -> None:
    attributes = {name: str(value) for name, value in CODEC.to_attributes(SAMPLE).items()}
    assert CODEC.from_attributes(attributes, path=SAMPLE.path) == SAMPLE


def test_numpy_scalars_are_read_and_written_as_numbers() -> None:
    values = CODEC.to_dict(SAMPLE) | {"count": np.int64(7), "mean": np.float32(2.5), "wet": np.bool_(True)}
    sample = read(values)
    assert (sample.count, sample.figures.mean, sample.wet) == (7, 2.5, True)
    assert type(sample.count) is int
    written = RecordCodec(Figures).to_dict(Figures(np.float32(0.5)))  # type: ignore[arg-type]
    assert (written, type(written["mean"])) == ({"mean": 0.5, "digest": ""}, float)


def test_a_field_that_a_file_does_not_have_takes_its_default() -> None:
    values = CODEC.to_dict(SAMPLE)
    for name in ("count", "wet", "next_grid", "labels", "by_lead", "digest"):
        del values[name]
    sample = read(values)
    assert (sample.count, sample.wet, sample.next_grid, sample.labels, sample.by_lead) == (0, False, None, (), {})
    assert sample.figures == Figures(1.5)


def test_none_is_left_out_of_attributes_and_comes_back() -> None:
    codec = RecordCodec(Sample, omit=("path", "figures", "grid"))
    values = {"name": "x", "at": AT, "times": [], "kind": "dry", "status": "ok"}
    sample = codec.from_dict(values, path=Path(), figures=Figures(0), grid=DE1200)
    attributes = codec.to_attributes(sample)
    assert "next_grid" not in attributes
    assert codec.from_attributes(attributes, path=Path(), figures=Figures(0), grid=DE1200) == sample


@given(st.datetimes(min_value=datetime(1980, 1, 1), max_value=datetime(2100, 1, 1)), st.integers(-14, 14))  # noqa: DTZ001
def test_times_are_read_as_utc_whatever_their_zone(naive: datetime, hours: int) -> None:
    local = naive.replace(tzinfo=timezone(timedelta(hours=hours)))
    values = CODEC.to_dict(SAMPLE)
    for text in (local.isoformat(), local):
        read_at = read({**values, "at": text}).at
        assert (read_at, read_at.utcoffset()) == (local, timedelta(0))
    assert read({**values, "at": naive.isoformat()}).at == naive.replace(tzinfo=UTC)


def test_nan_is_null_where_json_must_be_strict_and_comes_back() -> None:
    codec = RecordCodec(Figures)
    values = codec.to_dict(Figures(math.nan), nan_as_null=True)
    assert values["mean"] is None
    assert math.isnan(codec.from_dict(values).mean)
    assert math.isnan(codec.from_dict(json.loads(json.dumps(codec.to_dict(Figures(math.nan))))).mean)


def test_unknown_names_are_ignored_or_refused_as_chosen() -> None:
    assert RecordCodec(Figures).from_dict({"mean": 1, "later": 2}) == Figures(1)
    with pytest.raises(FrameError, match=r"Figures: later: extra inputs are not permitted, got 2"):
        RecordCodec(Figures, extra="forbid").from_dict({"mean": 1, "later": 2})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("at", "yesterday", "Sample: at: input should be a valid datetime"),
        ("times", ["2024-06-01T12:30Z", 1.5j], r"Sample: times\.1: .*got 1\.5j"),
        ("grid", {"crs": "EPSG:4326"}, r"Sample: grid\.west_m is missing"),
        ("count", "many", "Sample: count: input should be a valid integer.*got 'many'"),
        ("status", "good", "Sample: status: input should be 'ok' or 'stale', got 'good'"),
        ("kind", "moist", "Sample: kind: input should be 'dry' or 'wet', got 'moist'"),
    ],
)
def test_a_wrong_value_is_named_with_its_field(name: str, value: object, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        read({**CODEC.to_dict(SAMPLE), name: value})


def test_a_missing_value_and_broken_json_are_named() -> None:
    attributes = CODEC.to_attributes(SAMPLE)
    with pytest.raises(FrameError, match="Sample: sample_name is missing"):
        CODEC.from_attributes({k: v for k, v in attributes.items() if k != "sample_name"}, path=Path())
    with pytest.raises(FrameError, match=r"Sample: times: expected JSON, got '\[1'"):
        CODEC.from_attributes({**attributes, "times": "[1"}, path=Path())


def test_the_checks_of_an_inner_record_hold_and_the_error_is_the_one_asked_for() -> None:
    grid = {**DE1200.to_dict(), "height": 0}
    with pytest.raises(InputError, match="got 0 x 1100"):
        read({**CODEC.to_dict(SAMPLE), "grid": grid})
    with pytest.raises(InputError, match="mean is missing") as caught:
        RecordCodec(Figures, error=InputError).from_dict({})
    assert type(caught.value) is InputError
