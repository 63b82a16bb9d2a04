"""Result of a benchmark: a section of the page, with its table, and the goals that it decides."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.setting import BenchmarkSetting
from core.registry import Registry

Value = str | int | float | None
Row = dict[str, Value]
"""One row of a table: values by column heading; None is "not measured"."""


@dataclass(frozen=True)
class Goal:
    """A goal and the measured figure.

    Attributes:
        work: what the figure describes.
        target: the figure of the goal.
        measured: the measured figure.
        unit: of both.
        at_least: whether more is better.
    """

    work: str
    target: float
    measured: float
    unit: str
    at_least: bool

    @property
    def reached(self) -> bool:
        """Return whether the measured figure is as good as the target."""
        return self.measured >= self.target if self.at_least else self.measured <= self.target

    def row(self) -> Row:
        """Return the row of the table of goals."""
        bound = "at least" if self.at_least else "at most"
        return {
            "work": self.work,
            "goal": f"{bound} {number(self.target)} {self.unit}",
            "measured": f"{number(self.measured)} {self.unit}",
            "": "reached" if self.reached else "**not reached**",
        }


@dataclass(frozen=True)
class Section:
    """One benchmark's part of the page.

    Attributes:
        text: what was run on both sides; how to read the table.
        skipped: what was left out on this machine, and why.
        draw: writes the section's picture to a path; None without a picture.
    """

    title: str
    text: str
    rows: Sequence[Row]
    goals: Sequence[Goal] = ()
    skipped: Sequence[str] = ()
    draw: Callable[[Path], None] | None = field(default=None, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        goals = [{**asdict(goal), "reached": goal.reached} for goal in self.goals]
        return {"title": self.title, "rows": list(self.rows), "goals": goals, "skipped": list(self.skipped)}


BENCHMARKS: Registry[Callable[[BenchmarkSetting], Section]] = Registry("benchmark")


def number(value: Value) -> str:
    """Format a number with three significant digits and commas for thousands; return text unchanged."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 0.1 else f"{value:.2f}"


def table(rows: Sequence[Row]) -> str:
    """Return a Markdown table with the columns of all rows, in the order of their first occurrence."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [columns, *([number(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[n]) for line in cells) for n in range(len(columns))]
    right = [all(not isinstance(row.get(column), str) for row in rows) for column in columns]
    lines = ["| " + " | ".join(_pad(*cell) for cell in zip(line, widths, right, strict=True)) + " |" for line in cells]
    rule = "| " + " | ".join("-" * (w - 1) + ":" if r else "-" * w for w, r in zip(widths, right, strict=True)) + " |"
    return "\n".join([lines[0], rule, *lines[1:]])


def _pad(cell: str, width: int, right: bool) -> str:
    return cell.rjust(width) if right else cell.ljust(width)


def section_text(name: str, section: Section, command: str, picture: str | None = None) -> str:
    """Return one section as Markdown, with the command that reproduces it."""
    parts = [f"## {section.title}", f"```\n{command} --only {name}\n```", section.text]
    parts += [table(section.rows)] if section.rows else []
    parts += [f"![{section.title}]({picture})"] if picture else []
    parts += ["Left out here:\n\n" + "\n".join(f"- {line}" for line in section.skipped)] if section.skipped else []
    return "\n\n".join(part for part in parts if part)


def goals_text(sections: Iterable[Section]) -> str:
    """Return the table of all goals; empty if no section has one."""
    rows = [goal.row() for section in sections for goal in section.goals]
    return f"## Goals\n\n{table(rows)}" if rows else ""
