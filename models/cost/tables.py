"""The figures of `models.cost.report` as tables that are readable both in a terminal and as Markdown."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

MIB = 2**20
GIGA = 1e9
Figures = dict[str, Any]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with aligned columns: the first flush left, the others flush right."""
    lines = [header, *rows]
    widths = [max(len(line[n]) for line in lines) for n in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    first, *others = [
        [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        for line in lines
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in (first, rule, *others))


def tables_of_one(figures: Figures) -> str:
    """Return all figures of one model as text, a recurrent one flat and multi-scale."""
    costs, paper = list(figures["measured"].values()), figures.get("paper")
    rows = _measured_rows(costs, figures.get("drop"))
    notes = [_basis(figures)]
    if paper is not None:
        rows += _paper_rows(paper)
        notes += _notes(paper)
    header = ["", *figures["measured"], *(["drop"] if len(costs) == 2 else [])]
    return "\n".join([_title(figures), "", table(header, rows), "", *notes])


def _measured_rows(costs: list[Figures], drop: Figures | None) -> list[list[str]]:
    def row(label: str, text: Callable[[Figures], str], key: str = "") -> list[str]:
        last = [] if drop is None else [_percent(drop[key]) if key else ""]
        return [label, *(text(cost) for cost in costs), *last]

    rows = [
        row("parameters", lambda cost: f"{cost['parameters']:,}"),
        row("MACs of one forward, computed", lambda cost: f"{cost['macs']['total']:,}", "macs"),
        row("  of them convolutions", lambda cost: f"{cost['macs']['convolutions']:,}"),
        row("  matrix products", lambda cost: f"{cost['macs']['matrix_products']:,}"),
        row("  resampling and warps", lambda cost: f"{cost['macs']['resampling']:,}"),
        row("  besides: elementwise products", lambda cost: f"{cost['macs']['products']:,}"),
        row("saved activations, MiB, measured", lambda cost: _mib(cost["activation_bytes"]), "activation_bytes"),
        row("  besides: joined weights", lambda cost: _mib(cost["joined_weight_bytes"])),
        row("weights, gradients, Adam's moments, MiB", lambda cost: _mib(cost["state_bytes"])),
    ]
    if all(cost["peak_bytes"] is not None for cost in costs):
        rows.append(row("peak of a training step, MiB", lambda cost: _mib(cost["peak_bytes"]), "peak_bytes"))
    return rows


def _paper_rows(paper: Figures) -> list[list[str]]:
    predicted, printed = paper["predicted"], paper["printed"]
    where = f"paper's memory, GB, table {printed['table']}"
    rows = [
        ["paper's parameters", *[f"{paper['parameters']:,}"] * 2, ""],
        ["paper's MACs, worked out", *_pair(paper["macs_here"], "{:,}")],
        [
            "predicted outputs, MiB (eq. 5 to 7)",
            *map(_mib, predicted["output_bytes"]),
            _percent(predicted["output_drop"]),
        ],
        ["predicted memory, MiB (eq. 3, 9)", *map(_mib, predicted["total_bytes"]), _percent(predicted["memory_drop"])],
        [where, *_pair(printed["memory_gb"], "{:.2f}")],
        ["at table 3's setting: MACs computed", *_pair(paper["table_3_computed_here"], "{:,}")],
        ["  paper's MACs, worked out", *_pair(paper["table_3_worked_out"], "{:,}")],
    ]
    if paper["table_3_printed_gmacs"] is not None:
        rows.append(["  paper's MACs, as printed", *_pair(paper["table_3_printed_gmacs"], "{:.1f} G")])
    return rows


def _pair(values: Sequence[float], form: str) -> list[str]:
    return [form.format(values[0]), form.format(values[1]), _percent(1 - values[1] / values[0])]


def _notes(paper: Figures) -> list[str]:
    notes = [
        "The paper's MACs are what its counter (thop) sees: dead branches too, 11 per bilinear value, no attention, no "
        "warp. Table 3: 64 x 64, 10 + 10 frames, batch 1, 64 channels, 6 layers.",
        "Predictions take exact halves and quarters, and count what the paper's ConvLSTM counts: convolution outputs, "
        "activations, products.",
    ]
    note = paper["note"]
    return [*notes, f"{note[0].upper()}{note[1:]}."] if note else notes


def tables_of_all(reports: list[Figures]) -> str:
    """Return one row per model in a table of parameters and work, one of table 3, one of memory."""
    recurrent = [figures for figures in reports if "drop" in figures]
    known = [figures for figures in recurrent if figures["paper"] is not None]
    parts = [_title(reports[0] | {"model": "all models"}), _work_table(reports)]
    if known:
        parts.append(
            "Table 3 of the paper (64 x 64, 10 + 10 frames, batch 1, 64 channels, 6 layers), GMAC\n\n" + _table_3(known)
        )
    if recurrent:
        parts.append("Memory of one training forward\n\n" + _memory_table(recurrent))
    notes = [f"{names}: {note}." for names, note in _notes_of(known)]
    return "\n\n".join(
        [*parts, "\n".join([_basis(reports[0]), *(_notes(known[0]["paper"])[:2] if known else []), *notes])]
    )


def _notes_of(known: list[Figures]) -> Iterable[tuple[str, str]]:
    for figures in known:
        if figures["paper"]["note"]:
            yield figures["model"], figures["paper"]["note"]


def _work_table(reports: list[Figures]) -> str:
    header = [
        "model",
        "parameters",
        "paper's",
        "GMAC flat",
        "multi-scale",
        "drop",
        "paper's flat",
        "multi-scale",
        "drop",
    ]
    rows = []
    for figures in reports:
        costs, paper = list(figures["measured"].values()), figures.get("paper")
        work = [f"{cost['macs']['total'] / GIGA:.2f}" for cost in costs]
        drop = [_percent(figures["drop"]["macs"])] if len(costs) == 2 else ["", ""]
        counted = ["", "", ""]
        if paper is not None:
            counted = _pair([count / GIGA for count in paper["macs_here"]], "{:.2f}")
        parameters = f"{paper['parameters']:,}" if paper is not None else ""
        rows.append([figures["model"], f"{costs[0]['parameters']:,}", parameters, *work, *drop, *counted])
    return table(header, rows)


def _table_3(known: list[Figures]) -> str:
    header = ["model", "computed flat", "multi-scale", "drop", "worked out flat", "multi-scale", "drop", "printed"]
    rows = []
    for figures in known:
        paper = figures["paper"]
        pairs = [paper["table_3_computed_here"], paper["table_3_worked_out"]]
        cells = [cell for pair in pairs for cell in _pair([count / GIGA for count in pair], "{:.3f}")]
        printed = paper["table_3_printed_gmacs"]
        rows.append(
            [figures["model"], *cells, "not printed" if printed is None else "{:.1f} / {:.1f}".format(*printed)]
        )
    return table(header, rows)


def _memory_table(recurrent: list[Figures]) -> str:
    with_peak = all("peak_bytes" in figures["drop"] for figures in recurrent)
    header = ["model", "saved flat, MiB", "multi-scale", "drop", *(["peak flat", "multi-scale", "drop"] * with_peak)]
    header += ["predicted flat", "multi-scale", "drop of outputs", "drop of memory (eq. 9)", "paper's drop"]
    rows = []
    for figures in recurrent:
        row = [figures["model"]]
        for key in ["activation_bytes", *["peak_bytes"] * with_peak]:
            row += [*(_mib(cost[key]) for cost in figures["measured"].values()), _percent(figures["drop"][key])]
        rows.append(row + _predicted(figures["paper"]))
    return table(header, rows)


def _predicted(paper: Figures | None) -> list[str]:
    if paper is None:
        return [""] * 5
    predicted, printed = paper["predicted"], paper["printed"]
    drops = [_percent(predicted["output_drop"]), _percent(predicted["memory_drop"])]
    return [
        *map(_mib, predicted["output_bytes"]),
        *drops,
        f"{_percent(printed['memory_drop'])} (table {printed['table']})",
    ]


def _title(figures: Figures) -> str:
    setting = figures["setting"]
    options = "".join(f", {key}={value}" for key, value in setting["options"].items())
    return (
        f"{figures['model']}: {setting['height']} x {setting['width']}, {setting['input_steps']} frames in and "
        f"{setting['lead_steps']} out, batch {setting['batch']}, {setting['hidden_channels']} channels, "
        f"{setting['num_layers']} layers{options}"
    )


def _basis(figures: Figures) -> str:
    where = {
        "shapes": "on shapes alone: operators and autograd graph of a run on the CPU, without its numbers",
        "cpu": "on the CPU",
        "cuda": "on the GPU",
    }[figures["measured_on"]]
    where += f", precision {figures['setting']['precision']}"
    return f"Computed and measured {where}. Saved: unique storages kept for the gradient of one forward, no parameters."


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _mib(count: float) -> str:
    return f"{count / MIB:,.1f}"
