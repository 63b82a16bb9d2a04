"""The shape of the source: no circle of imports, no arrow upwards, no name twice, nothing too long, no crumbs."""

import ast
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.parsed import PACKAGES, ROOT, files, nodes, raw

MODULE_LINES = 300
FUNCTION_LINES = 30
"""Without the docstring and the decorators."""

HELPER_LINES = 70
PLUG_INS = (
    *(
        "models/cells/",
        "training/datasets/",
        "training/loggers/",
        "ingest/readers/",
        "ingest/sources/",
        "verification/scores/",
    ),
    *("benchmarks/peers/", "service/alerts/channels/", "service/foreign/"),
)

IDEAS: Mapping[str, str] = {
    "service/api/bodies.py": "the limits of bodies that are no uploads, a middleware by itself",
    "service/api/metrics.py": "one router a resource",
    "service/api/scans.py": "one router a resource",
    "service/api/cap.py": "one router a resource",
    "service/page/router.py": "one router a resource",
    "service/alerts/verification.py": "how good the alerts are, a resource of its own",
    "benchmarks/reading.py": "one benchmark a file",
    "ingest/store/recent.py": "the window of a model of any scale, as `ready` is that of another",
    "models/convert/setting.py": "what the reference's checkpoints were trained on",
    "models/cost/largest.py": "a search by itself, without models",
    "models/network_ensemble.py": "one kind of forecaster a file",
    "models/pretrained.py": "an entry of the package's interface",
    "training/effects.py": "which keys have no effect, apart from the keys",
    "training/trainer/learning_rate.py": "one registry a file",
    "models/bands.py": "a large field goes through any cell in bands of rows",
}
"""Short modules with one importer that stand for an idea of their own, each with the reason."""


@cache
def sources() -> Mapping[str, tuple[ast.AST, ...]]:
    """The nodes of every module of the project but the tests, by its path."""
    return {file: nodes(file) for package in PACKAGES for file in files(package)}


def module_path(name: str) -> str | None:
    """The file of a module or package of the project."""
    path = name.replace(".", "/")
    return next((file for file in (f"{path}.py", f"{path}/__init__.py") if file in sources()), None)


@cache
def imports() -> Mapping[str, frozenset[str]]:
    """Which files each file imports, inside functions too; for types alone too."""
    return {file: frozenset(imported_files(found)) - {file} for file, found in sources().items()}


def imported_files(found: Iterable[ast.AST]) -> Iterator[str]:
    for node in found:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if module_path(name) else node.module for name in names]
        else:
            continue
        yield from (file for file in map(module_path, names) if file)


def test_no_import_is_relative():
    relative = [
        f"{file}:{node.lineno}"
        for file, found in sources().items()
        for node in found
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not relative, "the graph of the other tests would miss these"


def test_no_files_import_each_other_in_a_circle():
    without_importers = {file: set(files) for file, files in imports().items()}
    while leaves := [file for file, imported in without_importers.items() if not imported]:
        for file in leaves:
            del without_importers[file]
        for imported in without_importers.values():
            imported.difference_update(leaves)
    in_circles = {file for file in without_importers if file in reachable(file)}
    assert not in_circles, "\n".join(sorted(in_circles))


def reachable(file: str) -> set[str]:
    """The files that a file imports, and those that these import, and so on."""
    found, waiting = set[str](), [*imports()[file]]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting.extend(imports()[one])
    return found


def test_every_folder_of_modules_is_a_package():
    folders = {Path(file).parent for file in sources()}
    bare = [str(folder) for folder in sorted(folders) if not (ROOT / folder / "__init__.py").is_file()]
    assert not bare, "import-linter does not read these"


def test_imports_point_downwards():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def contracts() -> dict[str, dict[str, list[str]]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return {contract["name"]: contract for contract in settings["contracts"]}


def test_no_contract_has_an_exception():
    assert not {name for name, contract in contracts().items() if contract.get("ignore_imports")}


def test_the_client_may_import_no_part_of_the_service_but_its_documents():
    forbidden = next(each for name, each in contracts().items() if "client" in name)["forbidden_modules"]
    parts = {
        path.stem for path in (ROOT / "service").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert {f"service.{part}" for part in parts - {"__init__", "client", "schemas"}} <= set(forbidden)


def test_no_class_name_is_used_twice():
    places: dict[str, list[str]] = defaultdict(list)
    for file, found in sources().items():
        for node in found:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{file}:{node.lineno}")
    twice = [f"{name}: {', '.join(lines)}" for name, lines in sorted(places.items()) if len(lines) > 1]
    assert not twice, "\n".join(twice)


def test_no_module_is_long():
    lengths = {file: len(raw(file).splitlines()) for file in sources()}
    assert not {file: length for file, length in lengths.items() if length > MODULE_LINES}


def test_no_function_is_long():
    long = [
        f"{file}:{node.lineno} {node.name}: {length}"
        for file, found in sources().items()
        for node in found
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (length := body_length(node)) > FUNCTION_LINES
    ]
    assert not long, "\n".join(long)


def body_length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function with its signature, without its docstring."""
    lines = (node.end_lineno or 0) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is not None:
        lines -= (first.end_lineno or 0) - first.lineno + 1
    return lines


def helpers() -> dict[str, str]:
    """Short modules with exactly one importer, which is given."""
    importers: dict[str, list[str]] = defaultdict(list)
    for file, imported in imports().items():
        for one in imported:
            importers[one].append(file)
    return {
        file: found[0]
        for file, found in importers.items()
        if len(found) == 1
        and not file.startswith(PLUG_INS)
        and Path(file).stem not in ("__init__", "__main__")
        and len(raw(file).splitlines()) < HELPER_LINES
    }


def test_a_short_helper_of_one_module_stands_in_that_module():
    crumbs = [f"{file} <- {importer}" for file, importer in sorted(helpers().items()) if file not in IDEAS]
    assert not crumbs, "\n".join(crumbs)


@pytest.mark.parametrize("file", IDEAS)
def test_the_list_of_ideas_names_short_helpers_only(file):
    assert file in helpers(), "it needs no place in the list (any more)"
