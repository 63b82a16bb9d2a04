"""The project's source as tests of its shape and words read it: each file is read, parsed and walked once."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("core", "verification", "ingest", "models", "training", "service", "benchmarks")


@cache
def files(folder: str) -> tuple[str, ...]:
    """The modules below a folder of the project, by their paths."""
    return tuple(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / folder).rglob("*.py")))


@cache
def raw(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(raw(name))


@cache
def nodes(name: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree(name)))
