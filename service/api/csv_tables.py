"""Answers as tables: `Accept: text/csv` where a route names the list of its answer that is one (RFC 4180).

The route's own answer is made first; its list becomes the rows. A field of a nested object is a column NAME_FIELD, a
list of plain values one cell with semicolons, null an empty cell; a nested list is left out, or is a table of its own.
A text that spreadsheets would compute, such as the name of a rule that begins with `=`, has an apostrophe before it.
"""

import csv
import hashlib
import io
import json
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, get_args, get_origin

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from pydantic import BaseModel

from service.api.caching import not_modified
from service.api.negotiate import CSV, JSON, is_rather

TABLE: Final = "x-table"
"""Member of a route's OpenAPI operation: the list, and the fields of the document that each row repeats."""

CHOICE: Final = "table"
"""Query parameter of routes with several lists."""

MEDIA_TYPE: Final = f"{CSV}; charset=utf-8; header=present"
REPLACED: Final = ("content-length", "content-type", "etag")
HASH_CHARACTERS: Final = 24
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""First characters of what spreadsheets compute (OWASP, CSV injection)."""

Row = dict[str, Any]


def as_table(rows: str, *, repeat: Sequence[str] = ()) -> dict[str, Any]:
    """Return the argument `openapi_extra` of a route of `TableRoute`.

    Args:
        rows: name of the list; `groups.bins` is the list in each entry of a list, with the entry's own fields.
        repeat: fields of the document that stand first in each row.
    """
    return {TABLE: {"rows": rows, "repeat": list(repeat)}}


class TableRoute(APIRoute):
    """A route whose answer is also a table, if it says so by `as_table`."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        responses: dict[int | str, dict[str, Any]] | None = None,
        openapi_extra: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        responses = dict(responses or {})
        if TABLE in (openapi_extra or {}):
            known = responses.get(200, {})
            content = {**known.get("content", {}), CSV: {"schema": {"type": "string"}}}
            responses[200] = {**known, "content": content}
        super().__init__(path, endpoint, responses=responses, openapi_extra=openapi_extra, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of requests."""
        handle = super().get_route_handler()
        table: Mapping[str, Any] | None = (self.openapi_extra or {}).get(TABLE)
        if table is None:
            return handle

        async def handled(request: Request) -> Response:
            is_table = is_rather(request.headers.get("accept"), CSV, JSON)
            answer = await handle(_for_json(request) if is_table else request)
            answer.headers.add_vary_header("Accept")
            if not is_table or answer.status_code != 200:
                return answer
            path = request.query_params.get(CHOICE, table["rows"]).split(".")
            made = await run_in_threadpool(_table_of, bytes(answer.body), self.response_model, path, table["repeat"])
            return _csv_answer(request, answer, made)

        return handled


def _table_of(body: bytes, model: Any, path: Sequence[str], repeat: Sequence[str]) -> str:
    return table_text(json.loads(body), model, path, repeat)


def table_text(document: Any, model: Any, path: Sequence[str], repeat: Sequence[str] = ()) -> str:
    """Return a list of a document, or of several documents, as a table.

    Args:
        document: as parsed from JSON.
        model: its type, or a union of types; the columns of an empty table follow it.
        path: names of the list, and of the lists in its entries.
        repeat: fields of the document that stand first.
    """
    documents = document if isinstance(document, list) else [document]
    rows = [
        {name: flat.get(name) for name in repeat} | row
        for one in documents
        for flat in [dict(_flat(one))]
        for row in _rows(one, path)
    ]
    columns = list(dict.fromkeys([*repeat, *_columns(model, path), *(name for row in rows for name in row)]))
    return csv_text(columns, ([row.get(name) for name in columns] for row in rows))


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table with a line of names, lines ending in CR LF, and values quoted where they need it."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ";".join(str(_cell(one)) for one in value)
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return "" if value is None else value


def _for_json(request: Request) -> Request:
    """Return the request as one for JSON, without the validators of a table that the client holds."""
    own = [(name, text) for name, text in request.scope["headers"] if name not in (b"accept", b"if-none-match")]
    return Request({**request.scope, "headers": [(b"accept", JSON.encode()), *own]}, request.receive)


def _csv_answer(request: Request, answer: Response, content: str) -> Response:
    body = content.encode()
    tag = f'W/"{hashlib.sha256(body).hexdigest()[:HASH_CHARACTERS]}-csv"'
    kept = {name: text for name, text in answer.headers.items() if name not in REPLACED}
    headers = {"cache-control": "no-cache", **kept, "ETag": tag}
    return not_modified(request, headers) or Response(body, headers=headers, media_type=MEDIA_TYPE)


def _rows(document: Mapping[str, Any], path: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of the list at a path, each with the fields of the entries around it that it does not have."""
    name, *inner = path
    for entry in document.get(name) or ():
        own = dict(_flat(entry))
        yield from (own | row for row in _rows(entry, inner)) if inner else (own,)


def _flat(entry: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the plain values of an object, and those of the objects in it."""
    for name, value in entry.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}_")
        elif not (isinstance(value, list) and any(isinstance(one, dict | list) for one in value)):
            yield before + name, value


def _columns(model: Any, path: Sequence[str]) -> list[str]:
    """Return the names of the plain fields of a list's entries and of those around them, by their types."""
    models, columns = _models(model), list[str]()
    for name in path:
        found = [one.model_fields[name].annotation for one in models if name in one.model_fields]
        models = [inner for annotation in found for inner in _models(annotation)]
        columns += [field for one in models[:1] for field in _fields(one)]
    return columns


def _fields(model: type[BaseModel], before: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = _models(field.annotation)
        if inner and not _is_list(field.annotation):
            yield from _fields(inner[0], f"{before}{name}_")
        elif not inner and dict not in _origins(field.annotation):
            yield before + name


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [one for argument in get_args(annotation) for one in _models(argument)]


def _is_list(annotation: Any) -> bool:
    return any(origin in (list, tuple) for origin in _origins(annotation))


def _origins(annotation: Any) -> list[Any]:
    """Return the containers of an annotation: itself, and those of the alternatives of a union."""
    return [get_origin(annotation), *(get_origin(one) for one in get_args(annotation))]
