"""The words of the house style: names, docstrings, messages and documents in plain technical English."""

import ast
import re
import tokenize
from collections.abc import Iterator

import pytest

from tests.parsed import PACKAGES, ROOT, files, nodes, raw

DOCUMENTS = [
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "deploy/**/*", "docker-compose.yml", "Makefile", ".ci/*")
    for path in sorted(ROOT.glob(pattern))
    if path.is_file() and path.suffix != ".json"
]
THIS = "tests/test_words.py"

NOT_IN_NAMES = {"told", "tells", "came", "said", "says", "whoever", "whom", "owed", "beside", "lies", "due"}
SUSPECT = re.compile("|".join(rf"(?:(?<![a-z]){word}|{word.capitalize()})(?![a-z])" for word in NOT_IN_NAMES))
"""Found in every text that has a name with one of these words: the other texts need not be parsed."""
SCHEDULING = re.compile(r"(^|_)(is|last|next|latest|first|was)_due|due_(at|now|by)\b|^due$")
"""`due` is a word of schedules and of nothing else; `SCHEDULERS` are the files that have one."""
SCHEDULERS = ("service/tasks/", "ingest/store/", "tests/service/", "tests/ingest/")

DIALECT = re.compile(
    r"\b(?:was|were|is|are) due\b|\bdue (?:were|was)\b|\btold\b|\bcame\b|\bsaid\b|\bwhoever\b|\bwho asks\b"
    r"|\bto be had\b|\bso (?:many|long|far) (?:as|of)\b|\bat most so many\b|\bevery so many\b|(?<!--)\bbeside\b"
    r"|\blies\b|\bowed\b|\bmade anew\b|\bcall(?:ed)? off\b|\bwhose turn\b|\bwas asked (?:of|for)\b",
    re.IGNORECASE,
)
VERBS = frozenset((ROOT / "tests" / "verbs.txt").read_text("utf-8").split())
"""What a docstring of a function may begin with; a new verb is added to the file."""


def words(identifier: str) -> list[str]:
    return re.findall(r"[a-z]+", re.sub(r"([A-Z])", r"_\1", identifier).lower())


def names(module: str) -> Iterator[tuple[int, str]]:
    """Every name that a module gives: functions, classes, arguments, variables."""
    for node in nodes(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id


@pytest.mark.parametrize("folder", [*PACKAGES, "tests"])
def test_names_are_the_glossary_s(folder):
    bent = [
        f"{name}:{line} {identifier}"
        for name in files(folder)
        if name != THIS and SUSPECT.search(raw(name))
        for line, identifier in names(name)
        for word in NOT_IN_NAMES.intersection(words(identifier))
        if not (word == "due" and name.startswith(SCHEDULERS) and SCHEDULING.search(identifier))
    ]
    assert not bent, "\n".join(bent)


def docstrings(module: str) -> Iterator[tuple[int, str, str]]:
    """Line, name and docstring of every function and method that has one."""
    for node in nodes(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (text := ast.get_docstring(node)):
            yield node.lineno, node.name, text


@pytest.mark.parametrize("folder", PACKAGES)
def test_the_docstring_of_a_function_begins_with_a_verb(folder):
    bent = [
        f"{name}:{line} {function}: {text.splitlines()[0]}"
        for name in files(folder)
        for line, function, text in docstrings(name)
        if re.split(r"\W", text, maxsplit=1)[0] not in VERBS
    ]
    assert not bent, "\n".join(bent)


def texts(name: str) -> Iterator[tuple[int, str]]:
    """Line and text of every string and comment of a file."""
    with tokenize.open(ROOT / name) as file:
        for token in tokenize.generate_tokens(file.readline):
            if tokenize.tok_name[token.type] in ("COMMENT", "STRING", "FSTRING_MIDDLE"):
                yield token.start[0], token.string


@pytest.mark.parametrize("folder", [*PACKAGES, "tests"])
def test_strings_and_comments_have_no_dialect(folder):
    bent = [
        f"{name}:{line} ...{text[max(0, match.start() - 40) : match.end() + 20]!r}"
        for name in files(folder)
        if name != THIS and DIALECT.search(raw(name))  # splitting into tokens takes much longer than this search
        for line, text in texts(name)
        for match in DIALECT.finditer(text)
    ]
    assert not bent, "\n".join(bent)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_have_no_dialect(name):
    lines = re.sub(r"\]\([^)\n]*\)", "]", (ROOT / name).read_text("utf-8")).splitlines()  # without addresses
    assert [f"{name}:{number} {line}" for number, line in enumerate(lines, 1) if DIALECT.search(line)] == []
