"""Write docs/reference/rest.md and docs/reference/commands.md from the code: `python docs/make_reference.py`."""

import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import typer
from typer.cli import get_docs_for_click
from typer.core import TyperCommand, TyperGroup

from service.app import create_app
from service.command import SUBCOMMANDS, load

FOLDER: Final = Path(__file__).parent / "reference"
MADE: Final = "This page is made from the code by `python docs/make_reference.py`."
WIDTH: Final = 120

REST_HEAD: Final = f"""# REST

Every operation of the interface, as `/openapi.json` of a running service describes it; `/docs` there is the same as a
page on which requests can be tried. The [developer's guide](../api/index.md) says what they are for.
{MADE}
"""
COMMANDS_HEAD: Final = f"""# Commands

Every subcommand of `nowcast`. {MADE}
"""


def rest_page() -> str:
    """Return the page of the REST interface: the operations by tag, each with its parameters."""
    by_tag: dict[str, list[str]] = {}
    for path, operations in create_app().openapi()["paths"].items():
        for verb, operation in operations.items():
            (tag, *_) = operation.get("tags", ["other"])
            by_tag.setdefault(tag, []).append("\n".join(_operation(path, verb, operation)))
    parts = [f"\n## {tag}\n\n" + "\n".join(texts) for tag, texts in by_tag.items()]
    return REST_HEAD + "".join(parts)


def _operation(path: str, verb: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"### `{verb.upper()} {path}`"
    yield ""
    yield _wrapped(operation.get("summary", "") + ".")
    yield ""
    for one in operation.get("parameters", []):
        if one["in"] not in ("path", "query"):
            continue
        needed = ", required" if one.get("required") and one["in"] == "query" else ""
        meaning = one.get("description") or one.get("schema", {}).get("description", "")
        yield _wrapped(f"- `{one['name']}` ({one['in']}{needed}): {meaning}".rstrip(": "), "  ")
    types = sorted({kind for answer in operation["responses"].values() for kind in answer.get("content", {})})
    others = ", ".join(f"`{kind}`" for kind in types if kind != "application/problem+json")
    yield _wrapped(f"- answers: {', '.join(sorted(operation['responses']))}" + (f"; {others}" if others else ""), "  ")
    yield ""


def commands_page() -> str:
    """Return the page of the commands, by the panels of `nowcast --help`; Typer writes the text of each."""
    parts, panel = [COMMANDS_HEAD], ""
    for one in SUBCOMMANDS:
        if one.hidden:
            continue
        if one.panel != panel:
            panel = one.panel
            parts.append(f"\n## {panel}\n")
        command = load(one.place)
        assert isinstance(command, TyperCommand | TyperGroup)
        context = typer.Context(command, info_name=f"nowcast {one.name}")
        parts.append("\n" + _tidy(get_docs_for_click(obj=command, ctx=context, name=f"nowcast {one.name}", indent=2)))
    return "".join(parts)


def _tidy(text: str) -> str:
    """Return the text of a command with lines of the usual length."""
    lines = [line.rstrip() for line in text.replace(str(Path.cwd()), ".").splitlines()]
    wrapped = [_wrapped(line, "  " if line.startswith("* ") else "") if len(line) > WIDTH else line for line in lines]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(wrapped)).strip() + "\n"


def _wrapped(text: str, indent: str = "") -> str:
    options = {"break_long_words": False, "break_on_hyphens": False}
    return "\n".join(textwrap.wrap(" ".join(text.split()), WIDTH, subsequent_indent=indent, **options))


PAGES: Final = {"rest.md": rest_page, "commands.md": commands_page}

if __name__ == "__main__":
    for _name, _page in PAGES.items():
        (FOLDER / _name).write_text(_page(), "utf-8")
