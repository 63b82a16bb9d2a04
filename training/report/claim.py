"""The paper's claim, pair by pair: the multi-scale model compared with the flat one at equal parameters."""

from collections.abc import Iterable

from models.build import MULTISCALE
from models.cost.tables import table as markdown_table
from training.report.tables import COSTS, Table, TableRow, change, column, forecast_value
from verification.scores import SCORES


def claim(tables: Iterable[Table]) -> str:
    """Return the changes from flat to multi-scale in percent, ours and the paper's, and how many pairs improved.

    The text is empty if no pair was run.
    """
    tables = list(tables)
    pairs: dict[str, dict[str, tuple[str, str]]] = {}
    better: dict[str, list[bool]] = {}
    for table in tables:
        for row in _pairs_run(table):
            for key in table.columns:
                ours, printed = change(table, row, key, printed=False), change(table, row, key, printed=True)
                if ours is not None and key != "parameters":
                    pairs.setdefault(row.name, {})[key] = (f"{ours:+.1f}", "" if printed is None else f"{printed:+.1f}")
                    better.setdefault(key, []).append(ours > 0 if is_better_high(key) else ours < 0)
    if not pairs:
        return ""
    head = ["Pair", *(text for key in better for text in (f"{column(key).label}, %", "paper, %"))]
    lines = [
        [f"{name} against {name.removeprefix(MULTISCALE)}", *(v for key in better for v in found.get(key, ("", "")))]
        for name, found in pairs.items()
    ]
    counts = [f"{column(key).label} {sum(won)} of {len(won)}" for key, won in better.items()]
    text = "Changes from the flat model to the multi-scale one, means over seeds. Pairs in which multi-scale is better:"
    parts = ["### Multi-scale against flat", markdown_table(head, lines), f"{text} {', '.join(counts)}."]
    return "\n\n".join([*parts, *by_seed(tables)]) + "\n"


def by_seed(tables: Iterable[Table]) -> list[str]:
    """Return, for pairs with several seeds, the change of each seed, and whether the seeds contradict each other."""
    found: dict[tuple[str, str], str] = {}
    for table in tables:
        for row in _pairs_run(table):
            flat = next(one for one in table.rows if one.name == row.name.removeprefix(MULTISCALE))
            for key in [key for key in table.columns if key not in COSTS]:
                changes = _seed_changes(flat, row, key)
                if len(changes) > 1:
                    each = ", ".join(f"{seed}: {value:+.1f} %" for seed, value in changes.items())
                    apart = min(changes.values()) < 0 < max(changes.values())
                    agree = "**the seeds contradict each other**" if apart else "the seeds agree"
                    found[row.name, key] = f"- {row.name}, {column(key).label}: {each}; {agree}."
    return ["Seed by seed:\n\n" + "\n".join(found.values())] if found else []


def _seed_changes(flat: TableRow, multiscale: TableRow, key: str) -> dict[str, float]:
    """Return the change in percent by seed, for seeds with which both models were run."""
    by_model = []
    for row in (flat, multiscale):
        found = [(str(run.config.get("seed")), forecast_value(run, key)) for run in row.runs]
        by_model.append({seed: value for seed, value in found if value})
    both = [seed for seed in by_model[0] if seed in by_model[1]]
    return {seed: 100 * (by_model[1][seed] / by_model[0][seed] - 1) for seed in both}


def _pairs_run(table: Table) -> list[TableRow]:
    if any(row.part for row in table.rows):
        return []
    run = {row.name for row in table.rows if row.runs}
    return [row for row in table.rows if row.runs and row.name.removeprefix(MULTISCALE) in run - {row.name}]


def is_better_high(key: str) -> bool:
    """Return whether a larger value of a column is a better one."""
    return key not in COSTS and SCORES.get(key.split("_")[0])().best > 0
