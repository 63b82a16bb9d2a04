"""The guide builds without a warning, its pages keep the line length, and it knows every message of the service."""

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from mkdocs.commands.build import build
from mkdocs.config import load_config

from tests.parsed import ROOT, files, nodes

DOCS = ROOT / "docs"
LONGEST = 120
COUNTED = ("results/", "model_cards/", "reference/", "events.md", "research/comparison.md")
"""Pages whose tables are figures or names of tests, or are written by a command: their rows may be longer."""
WRITTEN_BY_COMMANDS = ("results/performance.md", "results/moving_mnist/", "results/skill_guided/")

TROUBLE_PAGE = (DOCS / "operator" / "troubleshooting.md").read_text("utf-8")
TROUBLE = re.sub(r"\s+", " ", TROUBLE_PAGE)
SOURCES = [
    file
    for folder in ("service", "ingest", "core")
    for file in files(folder)
    if not {"archive", "versions"}.intersection(file.split("/"))
]
LOGGED = {"warning", "error", "exception"}
RAISED = {"ConfigError", "UnavailableError", "BusyError", "Refusal"}
PLACEHOLDER = "\0"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The guide, built with warnings as errors: unknown links and anchors, pages that are in no list."""
    folder: Path = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder)))
    return folder


class Loaded(HTMLParser):
    """Collects what a browser fetches for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        rel = given.get("rel") or ""
        if tag in ("img", "script", "iframe") or (tag == "link" and rel in ("stylesheet", "icon", "preload")):
            self.addresses.append(given.get("src") or given.get("href") or "")


def test_the_guide_builds_and_fetches_nothing_from_elsewhere(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 100
    for page in pages:
        loaded = Loaded()
        loaded.feed(page.read_text("utf-8"))
        assert [address for address in loaded.addresses if re.match(r"(https?:)?//", address)] == [], page.name
    for style in site.rglob("*.css"):
        assert re.findall(r"url\(['\"]?https?:", style.read_text("utf-8")) == [], style.name


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda path: path.relative_to(DOCS).as_posix())
def test_lines_are_short(page):
    name = page.relative_to(DOCS).as_posix()
    if name.startswith(WRITTEN_BY_COMMANDS):
        return
    long = [line for line in page.read_text("utf-8").splitlines() if len(line) > LONGEST]
    if name.startswith((*COUNTED, "decisions/")):
        long = [line for line in long if not line.lstrip().startswith("|")]
    assert long == []


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda path: path.relative_to(DOCS).as_posix())
def test_no_paragraph_has_five_settings(page):
    blocks = re.split(r"\n\s*\n", page.read_text("utf-8"))
    paragraphs = [block for block in blocks if not re.match(r"\s*(\||[-*] |\d+\. |```|~~~)", block)]
    assert [block for block in paragraphs if len(set(re.findall(r"NOWCAST_\w+", block))) >= 5] == []


def text_of(node: ast.expr) -> str:
    """The text of a message, with a placeholder for each value."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else PLACEHOLDER for part in node.values)
    return ""


def longest_part(message: str) -> str:
    """The longest literal text of a message."""
    parts = re.split(rf"{PLACEHOLDER}|%[-\d.,]*[sdgf]", message)
    return max((re.sub(r"\s+", " ", part).strip(" ,;:()'\"") for part in parts), key=len)


def messages() -> Iterator[tuple[str, str]]:
    """(file, message) of what the service writes to its log, refuses to start for, or is not available for."""
    for file in SOURCES:
        for node in nodes(file):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name, text = node.func, text_of(node.args[0])
            if isinstance(name, ast.Attribute):
                is_note = name.attr == "append" and "notes" in ast.unparse(name.value)
                is_logged = name.attr in LOGGED and ast.unparse(name.value) == "log"
                if not (is_note or is_logged):
                    continue
            elif not (isinstance(name, ast.Name) and name.id in RAISED):
                continue
            elif name.id == "Refusal":
                text = text_of(node.args[1])
            if len(part := longest_part(text)) > 3:
                yield file, part


def test_every_message_of_the_service_has_a_cause_and_an_action():
    missing = [f"{file}: {part}" for file, part in messages() if part[:60].rstrip() not in TROUBLE]
    assert missing == [], "add them to docs/operator/troubleshooting.md"


def test_every_alert_has_an_action():
    (group,) = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text("utf-8"))["groups"]
    rows = re.findall(r"^\| ([A-Z]\w+) \| [^|]+ \|$", TROUBLE_PAGE.split("## Alerts")[1], re.MULTILINE)
    assert rows == [rule["alert"] for rule in group["rules"]]
