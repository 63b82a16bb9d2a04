"""The documents name tests, modules and pages that exist."""

import importlib.util
import re
import runpy
from functools import cache
from pathlib import Path

import pytest

from core.settings import Settings
from service.command import SUBCOMMANDS

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
NEVER_USED = {39, 79, 84, 85, 93, 94, 104, 113, 114, 122, 125, 126, 130, 143, 146, 147, 148, 149, 150}
"""Numbers that no decision page has."""


@cache
def known_tests() -> set[str]:
    """The names of all tests."""
    texts = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]
    return {name for text in texts for name in re.findall(r"def (test_\w+)\(", text)}


@pytest.mark.parametrize(
    "document", [*sorted(ROOT.glob("docs/*.md")), ROOT / "docs/results/reliability.md"], ids=lambda path: path.name
)
def test_every_test_that_a_document_names_is_there(document):
    assert set(re.findall(r"`(test_\w+)`", document.read_text())) - known_tests() == set()


def test_the_index_of_decisions_has_every_page_under_its_title():
    folder = ROOT / "docs" / "decisions"
    pages = sorted(folder.glob("[0-9]*.md"))
    titles = [re.sub(r"^# (\d{4}) ", rf"| [\1]({page.name}) | ", page.read_text().splitlines()[0]) for page in pages]
    rows = [line for line in (folder / "README.md").read_text().splitlines() if line.startswith("| [")]
    assert rows == [f"{title} |" for title in titles]
    numbers = [int(page.name[:4]) for page in pages]
    assert sorted({*numbers, *NEVER_USED}) == list(range(1, numbers[-1] + 1))
    assert not NEVER_USED.intersection(numbers)


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_module_and_page_that_a_document_names_is_there(document):
    text = document.read_text("utf-8")
    links = {link for link in re.findall(r"\]\(([^)#:]+)(?:#[\w-]*)?\)", text) if link}
    assert {link for link in links if not (document.parent / link).exists()} == set()
    if document.name == "CHANGELOG.md":
        return  # it names modules by the names that they had
    commands = set(re.findall(r"python -m ((?:core|ingest|models|training|service|benchmarks)[\w.]*)", text))
    assert {name for name in commands if importlib.util.find_spec(name.rstrip(".")) is None} == set()
    paths = set(
        re.findall(r"`((?:core|ingest|models|training|service|verification|benchmarks|tests)/[\w/]+\.py)`", text)
    )
    placeholders = {path for path in paths if "NAME" in path or path.endswith("/toy.py")}
    assert {path for path in paths - placeholders if not (ROOT / path).exists()} == set()


def test_the_page_of_settings_is_the_script_s():
    made = runpy.run_path(str(ROOT / "docs" / "make_settings.py"))["page"]()
    assert (ROOT / "docs" / "settings.md").read_text("utf-8") == made, "run: python docs/make_settings.py"


def test_the_page_of_rest_is_the_script_s():
    made = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))["rest_page"]()
    assert (ROOT / "docs" / "reference" / "rest.md").read_text("utf-8") == made, "run: python docs/make_reference.py"


def test_the_page_of_commands_has_every_command():
    page = (ROOT / "docs" / "reference" / "commands.md").read_text("utf-8")
    shown = [one.name for one in SUBCOMMANDS if not one.hidden]
    assert re.findall(r"^### `nowcast ([\w-]+)`$", page, re.MULTILINE) == shown, "run: python docs/make_reference.py"


@pytest.mark.long  # it imports every command
def test_the_page_of_commands_is_the_script_s():
    made = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))["commands_page"]()
    assert (ROOT / "docs" / "reference" / "commands.md").read_text("utf-8") == made


def test_every_setting_has_a_meaning():
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    entries = re.findall(r"^`NOWCAST_(\w+)`\n:   (.*)$", page, re.MULTILINE)
    assert {name.lower() for name, _ in entries} == set(Settings.model_fields)
    assert [name for name, text in entries if not re.sub(r"^Default `.*?`: ?", "", text).strip()] == []
