"""Conversion of frozen dataclasses to JSON, database rows or flat file attributes, and back.

    SCAN = RecordCodec(ScanHeader, flatten=("facts",), names={"coverage": "radar_coverage"})
    attributes = SCAN.to_attributes(header)  # text and numbers alone, as NetCDF and safetensors keep them
    header = SCAN.from_attributes(attributes)

A field is defined once, in the dataclass: its name, its type and its default are the format. A
field that is added later needs a default, which is its value for files written before.
"""

import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache, cached_property
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NotRequired,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np
from pydantic import AfterValidator, BeforeValidator, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python
from typing_extensions import TypedDict

from core.errors import FrameError, NowcastError, shown
from core.times import utc

Record = TypeVar("Record")

UtcTime = Annotated[datetime, AfterValidator(utc)]
NullIsNaN = Annotated[float, BeforeValidator(lambda value: float("nan") if value is None else value)]
"""A number written by `to_dict(nan_as_null=True)`: `null` is read as NaN."""


@dataclass(frozen=True, eq=False)
class RecordCodec(Generic[Record]):
    """Converter of one dataclass, with nested dataclasses, to plain values and back.

    Attributes:
        record: the dataclass; its types determine how a value is read.
        names: written name of a field where it differs from the field's own.
        omit: fields that are not written (arrays, paths); reading needs them as keyword arguments unless they have a
            default.
        flatten: fields whose own fields are written as if they were the record's.
        extra: whether unknown names are ignored (files of a later release) or refused (settings, requests).
        error: raised for values that do not fit.
    """

    record: type[Record]
    names: Mapping[str, str] = field(default_factory=dict)
    omit: tuple[str, ...] = ()
    flatten: tuple[str, ...] = ()
    extra: Literal["ignore", "forbid"] = "ignore"
    error: type[NowcastError] = FrameError

    def to_row(self, record: Record) -> dict[str, Any]:
        """Return the fields by their written names, values unchanged (times stay times)."""
        row: dict[str, Any] = {}
        for name in self._written:
            value = getattr(record, name)
            if name in self.flatten:
                row |= {inner.name: getattr(value, inner.name) for inner in fields(value)}
            else:
                row[self.names.get(name, name)] = value
        return row

    def to_dict(self, record: Record, *, nan_as_null: bool = False) -> dict[str, Any]:
        """Return what `json.dumps` takes; times are ISO 8601 text, and NaN is null with `nan_as_null`."""
        mode: Literal["null", "constants"] = "null" if nan_as_null else "constants"
        values = to_jsonable_python(self.to_row(record), inf_nan_mode=mode, fallback=_plain)
        return dict(values)

    def to_attributes(self, record: Record) -> dict[str, str | int | float]:
        """Return text and numbers alone: None is left out, a list or a record is JSON text."""
        values = {name: value for name, value in self.to_dict(record).items() if value is not None}
        return {name: _flat(value) for name, value in values.items()}

    def from_dict(self, values: Mapping[str, Any], **given: Any) -> Record:
        """Return the record of `to_dict` or `to_row`; `given` are fields from elsewhere.

        Raises:
            error: a value is missing or of another kind; the message names the field.
        """
        try:
            read = self._adapter.validate_python({name: _plain(value) for name, value in values.items()})
        except ValidationError as err:
            raise self.error(f"{self.record.__name__}: {'; '.join(map(_problem, err.errors()))}") from err
        own = {ours: read.pop(written) for ours, written in self._renamed.items() if written in read}
        for name in self.flatten:
            inner = self._hints[name]
            own[name] = inner(**{part.name: read.pop(part.name) for part in fields(inner) if part.name in read})
        return self.record(**{**read, **own, **given})

    def from_attributes(self, attributes: Mapping[str, Any], **given: Any) -> Record:
        """Return the record of `to_attributes`.

        Raises:
            error: a value is missing or of another kind; the message names the field.
        """
        values = {name: attributes[name] for name in self._types if name in attributes}
        for name, value in values.items():
            if isinstance(value, str) and not _is_text(self._types[name]):
                try:
                    values[name] = json.loads(value)
                except ValueError as err:
                    raise self.error(f"{self.record.__name__}: {name}: expected JSON, got {shown(value)}") from err
        return self.from_dict(values, **given)

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return get_type_hints(self.record, include_extras=True)

    @cached_property
    def _written(self) -> tuple[str, ...]:
        return tuple(one.name for one in fields(self.record) if one.init and one.name not in self.omit)  # type: ignore[arg-type]

    @cached_property
    def _renamed(self) -> dict[str, str]:
        """Return the written names of the fields that are renamed."""
        return {name: self.names[name] for name in self._written if name in self.names}

    @cached_property
    def _types(self) -> dict[str, Any]:
        """Return the type by written name; `NotRequired` where the dataclass has a default."""
        by_name: dict[str, Any] = {}
        for name, hint in _keys(self.record).items():
            if name in self.flatten:
                by_name |= _keys(self._hints[name])
            elif name in self._written:
                by_name[self.names.get(name, name)] = hint
        return by_name

    @cached_property
    def _adapter(self) -> TypeAdapter[dict[str, Any]]:
        return TypeAdapter(_mapping(self.record.__name__, self._types, self.extra))


def _keys(record: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(record, include_extras=True)
    keys = {}
    for one in fields(record):
        if one.init:
            has_default = one.default is not MISSING or one.default_factory is not MISSING
            keys[one.name] = NotRequired[hints[one.name]] if has_default else hints[one.name]
    return keys


def _mapping(name: str, types_by_name: Mapping[str, Any], extra: Literal["ignore", "forbid"]) -> Any:
    """Build a typed mapping for pydantic, in which times become UTC and nested mappings dataclasses."""
    make: Any = TypedDict
    mapping = make(name, {key: _readable(hint) for key, hint in types_by_name.items()})
    mapping.__pydantic_config__ = ConfigDict(extra=extra)
    return mapping


@cache
def _inner(record: type[Any]) -> Any:
    """Return the type of a nested dataclass: read as a mapping, built by its constructor, so that its checks run."""
    mapping = _mapping(record.__name__, _keys(record), "ignore")
    return Annotated[mapping, AfterValidator(lambda values: record(**values))]


def _readable(hint: Any) -> Any:
    """Return a type as pydantic reads it; pydantic's own dataclasses would accept times without a zone."""
    if hint is datetime:
        return UtcTime
    if isinstance(hint, type) and is_dataclass(hint):
        return _inner(hint)
    origin, args = get_origin(hint), get_args(hint)
    if origin is NotRequired:
        return NotRequired[_readable(args[0])]
    if origin is Annotated:
        return Annotated[(_readable(args[0]), *hint.__metadata__)]
    if origin in (Union, types.UnionType):
        return Union[tuple(_readable(arg) for arg in args)]  # noqa: UP007 (built at run time)
    if origin is None or origin is Literal:
        return hint
    return origin[tuple(arg if arg is Ellipsis else _readable(arg) for arg in args)]


def _is_text(hint: Any) -> bool:
    """Return whether a value of this type is plain text in a flat attribute, not JSON."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (NotRequired, Annotated):
        return _is_text(args[0])
    if origin in (Union, types.UnionType):
        return any(_is_text(arg) for arg in args)
    if origin is Literal:
        return all(isinstance(arg, str) for arg in args)
    return isinstance(hint, type) and issubclass(hint, str | datetime | Path | Enum)


def _plain(value: Any) -> Any:
    """Convert NumPy scalars and arrays to Python's own types."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def _flat(value: Any) -> str | int | float:
    if isinstance(value, bool):
        return int(value)
    return value if isinstance(value, str | int | float) else json.dumps(value)


def _problem(error: Any) -> str:
    place = ".".join(map(str, error["loc"]))
    if error["type"] == "missing":
        return f"{place} is missing"
    return f"{place}: {error['msg'][:1].lower()}{error['msg'][1:]}, got {shown(error['input'])}"
