"""`python -m benchmarks.structure --root DIR`: the numbers of docs/decisions/0048-rooms.md for a checkout.

What the source looks like is counted from its syntax trees. How many of its files one scan and one upload pass through,
and how often SQLite is connected to, is counted while a fresh process does just that with the checkout's own code.
"""

import ast
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

PACKAGES: Final = ("core", "verification", "ingest", "models", "training", "service", "benchmarks")
LAYERS: Final = (("core",), ("verification",), ("ingest",), ("models",), ("training", "service"), ("benchmarks",))
LONG_FUNCTION: Final = 30
SHORT_MODULE: Final = 70
TRACED_S: Final = 600

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    root: Annotated[Path, typer.Option(help="checkout to count")] = Path(),
    json_file: Annotated[Path | None, typer.Option("--json", help="also write the numbers to this file")] = None,
) -> None:
    """Print the structural numbers of a checkout."""
    numbers = {**counted(root), **traced(root, "scan"), **traced(root, "upload")}
    for name, number in numbers.items():
        typer.echo(f"{number:>8,}  {name}")
    if json_file:
        json_file.write_text(json.dumps(numbers, indent=2) + "\n", "utf-8")


def counted(root: Path) -> dict[str, int]:
    """Return the numbers that need nothing but the source."""
    paths = [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]
    trees = {path.relative_to(root).as_posix(): ast.parse(path.read_text("utf-8")) for path in paths}
    lines = {name: len((root / name).read_text("utf-8").splitlines()) for name in trees}
    arrows = {name: set(imported(tree, trees)) - {name} for name, tree in trees.items()}
    importers: dict[str, set[str]] = defaultdict(set)
    for name, targets in arrows.items():
        for target in targets:
            importers[target].add(name)
    single = [name for name, found in importers.items() if len(found) == 1 and not name.endswith("__init__.py")]
    circles = [files for files in components(arrows) if len(files) > 1]
    classes = [node.name for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    floor = {package: number for number, packages in enumerate(LAYERS) for package in packages}
    pairs = [(name.split("/")[0], target.split("/")[0]) for name, targets in arrows.items() for target in targets]
    return {
        "files of Python, without tests": len(trees),
        "lines": sum(lines.values()),
        f"functions over {LONG_FUNCTION} lines": sum(length > LONG_FUNCTION for length in function_lengths(trees)),
        "modules with one importer": len(single),
        f"of them under {SHORT_MODULE} lines": sum(lines[name] < SHORT_MODULE for name in single),
        "circles of files": len(circles),
        "files in circles": sum(map(len, circles)),
        "arrows upwards between packages": sum(floor[low] < floor[high] for low, high in pairs),
        "class names used twice": len({name for name in classes if classes.count(name) > 1}),
    }


def imported(tree: ast.Module, known: dict[str, ast.Module]) -> Iterator[str]:
    """Yield the files that a module imports, in functions too; an import for types alone does not count."""
    for_types = {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.unparse(branch.test)
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and node not in for_types:
            names = [(alias.name, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node not in for_types:
            names = [(f"{node.module}.{alias.name}", node.module) for alias in node.names]
        else:
            continue
        for name, package in names:
            found = file_of(name, known) or file_of(package, known)
            if found:
                yield found


def file_of(module: str, known: dict[str, ast.Module]) -> str | None:
    """Return the file of a module of the checkout, or None."""
    path = module.replace(".", "/")
    return next((file for file in (f"{path}.py", f"{path}/__init__.py") if file in known), None)


def components(arrows: dict[str, set[str]]) -> list[set[str]]:
    """Return the sets of files that reach each other."""
    reach: dict[str, set[str]] = {}
    for start in arrows:
        found: set[str] = set()
        waiting = [*arrows[start]]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting.extend(arrows[name])
        reach[start] = found
    groups = {frozenset({name} | {other for other in reach[name] if name in reach[other]}) for name in arrows}
    return [set(group) for group in groups]


def function_lengths(trees: dict[str, ast.Module]) -> Iterator[int]:
    """Yield the lines of every function, without its docstring and its decorators."""
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if ast.get_docstring(node, clean=False) is not None:
                    length -= (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
                yield length


def traced(root: Path, what: str) -> dict[str, int]:
    """Return the files of ours that run, and the SQLite connections, for one scan or one upload."""
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, str(Path(__file__).with_name("structure_trace.py").resolve()), what, home]
        done = subprocess.run(
            command, cwd=root.resolve(), capture_output=True, text=True, timeout=TRACED_S, check=False
        )
    if done.returncode:
        raise RuntimeError(f"{what}: {done.stderr}")
    numbers = json.loads(done.stdout.splitlines()[-1])
    return {
        f"files that one {what} runs": numbers["files"],
        f"SQLite connections of one {what}": numbers["connections"],
    }


if __name__ == "__main__":
    app()
