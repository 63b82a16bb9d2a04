"""Writes framework.svg beside itself: `python docs/images/make_framework.py`."""

from pathlib import Path

COLUMNS = {"t − 1": 300, "t": 690}
BETWEEN = 495
LEVELS = (0, 1, 2, 2, 1, 0)
WIDTHS = (210, 140, 90)
SIZES = ("H × W", "H/2 × W/2", "H/4 × W/4")
WAYS = ("", "max-pool", "max-pool", "", "bilinear", "bilinear")
HIGH = 46
SIDE = 32
H, M, STATE, DIAGONAL, SKIP, FED = "#1f5fbf", "#d9660a", "#2b8a3e", "#8e3cb0", "#1f5fbf", "#777777"
LEGEND = (
    (H, "", "H: a layer's output y", "up to the next layer, resampled"),
    (SKIP, "2 4", "skip (multi-scale: “unet”)", "y of the mirrored layer, added"),
    (STATE, "", "memory list: H, C, ...", "to the same layer, own size"),
    (M, "9 4", "zigzag memory M, in cells with one", "up, resampled as H, no skip;"),
    (DIAGONAL, "5 4", "diagonal, in cells that use it", "y of the layer below at t − 1,"),
    (FED, "1 5", "prediction", "is the next frame where"),
)
MORE = {3: "from the top to the next bottom", 4: "resampled, without the skip", 5: "none is given"}


def row(layer: int) -> int:
    """Middle of a layer's box."""
    return 680 - 96 * layer


def half(layer: int) -> float:
    """Half of the width of a layer's box."""
    return WIDTHS[LEVELS[layer]] / 2


def line(path: str, colour: str, dash: str = "", *, head: bool = True) -> str:
    """A path with an arrow head."""
    end = f' marker-end="url(#h{colour[1:]})"' if head else ""
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"{end}/>'


def text(x: float, y: float, words: str, *, size: int = 14, anchor: str = "middle", colour: str = "#222") -> str:
    """Words; y is their baseline."""
    return f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{words}</text>'


def box(x: float, y: float, width: float, words: str, small: str = "", fill: str = "#eef3fb") -> str:
    """A rounded box around its middle, with one or two lines."""
    high = HIGH if small else 28
    frame = f'<rect x="{x - width / 2}" y="{y - high / 2}" width="{width}" height="{high}" rx="6"'
    lines = text(x, y + (-3 if small else 5), words) + (text(x, y + 15, small, size=12, colour="#555") if small else "")
    return f'{frame} fill="{fill}" stroke="#445"/>{lines}'


def column(name: str, x: int, side: int) -> list[str]:
    """One time step; its skips run on one side of it (-1 left, 1 right)."""
    parts = [
        box(x - SIDE, 770, 90, f"frame {name}", fill="#f4f4f4"),
        box(x - SIDE, row(5) - 66, 90, "head 1×1", fill="#f4f4f4"),
    ]
    parts.append(
        line(f"M{x - SIDE} 755V{row(0) + 26}", H) + text(x - SIDE - 8, 748, "embed 1×1", size=12, anchor="end")
    )
    parts.append(line(f"M{x - SIDE} {row(5) - 23}v-26", H) + line(f"M{x - SIDE} {row(5) - 81}v-24", H))
    parts.append(text(x - SIDE, row(5) - 112, f"prediction of {'t' if '1' in name else 't + 1'}"))
    for n in range(6):
        parts.append(box(x, row(n), 2 * half(n), f"layer {n}", SIZES[LEVELS[n]]))
        if n:
            parts.append(line(f"M{x - SIDE} {row(n - 1) - 23}V{row(n) + 26}", H))
            parts.append(line(f"M{x + SIDE} {row(n - 1) - 23}V{row(n) + 26}", M, "9 4"))
            parts.append(text(x, row(n) + 52, WAYS[n], size=11, colour="#555"))
    for low, high in ((0, 5), (1, 4)):
        edge, far, y = x + side * half(low), x + side * (135 if low == 0 else 112), row(high) + 38
        parts.append(
            line(f"M{edge} {row(low) - 12}H{far}V{y}H{x - SIDE + side * 11}", SKIP, "2 4")
            + f'<circle cx="{x - SIDE}" cy="{y}" r="8" fill="white" stroke="{H}" stroke-width="2"/>'
            + text(x - SIDE, y + 5, "+", colour=H)
        )
    return parts


def through_time() -> list[str]:
    """What goes from one time step to the next."""
    a, b = COLUMNS.values()
    top, bottom = row(5) - 42, 720
    parts = [
        line(f"M{a + SIDE} {row(5) - 23}V{top}H{BETWEEN}V{bottom}H{b + SIDE}V{row(0) + 26}", M, "9 4"),
        line(f"M{a + 36} {row(5) - 116}H{BETWEEN + 14}V770H{b - SIDE - 48}", FED, "1 5"),
        line(f"M60 {bottom}H{a + SIDE}V{row(0) + 26}", M, "9 4"),
        line(f"M{b + SIDE} {row(5) - 23}V{top}H{b + 165}", M, "9 4"),
    ]
    for n in range(6):
        parts.append(line(f"M{a + half(n)} {row(n)}H{b - half(n) - 4}", STATE))
        parts.append(line(f"M60 {row(n)}H{a - half(n) - 4}", STATE) + line(f"M{b + half(n)} {row(n)}H{b + 165}", STATE))
        if n:
            start, end = f"M{a + half(n - 1)} {row(n - 1) - 8}", f"{b - half(n) - 4} {row(n) + 13}"
            parts.append(line(f"{start}L{end}", DIAGONAL, "5 4"))
    return parts


def legend(x: int, y: int) -> list[str]:
    """What each line means."""
    parts: list[str] = []
    for n, (colour, dash, name, meaning) in enumerate(LEGEND):
        parts.append(line(f"M{x} {y - 5}h38", colour, dash) + text(x + 50, y, name, anchor="start"))
        parts += [text(x + 50, y + 17, meaning, size=12, anchor="start", colour="#555")]
        parts += [text(x + 50, y + 33, MORE.get(n, ""), size=12, anchor="start", colour="#555")]
        y += 74 if n in MORE else 58
    return parts


def main() -> None:
    """Write the drawing."""
    heads = "".join(
        f'<marker id="h{colour[1:]}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L8 4L0 8z" fill="{colour}"/></marker>'
        for colour in sorted({H, M, STATE, DIAGONAL, FED})
    )
    steps = [part for (name, x), side in zip(COLUMNS.items(), (-1, 1), strict=True) for part in column(name, x, side)]
    content = "\n".join([f"<defs>{heads}</defs>", *through_time(), *steps, *legend(890, 200)])
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="40 70 1140 725" font-family="Helvetica, Arial, sans-serif" '
        'role="img" aria-label="Six layers at three resolutions over two time steps, and what travels between them">\n'
        f'<rect x="40" y="70" width="1140" height="725" fill="white"/>\n{content}\n</svg>\n'
    )
    Path(__file__).with_name("framework.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
