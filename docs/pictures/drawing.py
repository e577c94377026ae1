"""From screens to SVG: a terminal window, still or moving, without scripts, fonts or anything else from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from screens import Frame, Run, Screen

CHARACTER, LINE, FONT = 8.4, 19.0, 14
MARGIN, BAR = 16.0, 34.0
MONOSPACE = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"
BACKGROUND, EDGE, TITLE, BUTTON = "#1b2028", "#59636e", "#9aa5b1", "#4b5561"
COLOURS = {
    "default": "#dbe2ea",
    "black": "#59636e",
    "red": "#ff8080",
    "green": "#7ee2a0",
    "brown": "#f2cc60",
    "blue": "#7cb7ff",
    "magenta": "#e58cff",
    "cyan": "#6fdbe8",
    "white": "#dbe2ea",
    "brightblack": "#9aa5b1",
}
LINES = {"─": (0.0, 1.0, 1.2), "━": (0.0, 1.0, 3.0), "╸": (0.0, 0.5, 3.0), "╺": (0.5, 1.0, 3.0)}
"""Characters drawn as lines, so that they meet in every font: from, to (shares of a character), thickness."""


def still(screen: Screen, columns: int, title: str) -> str:
    """Return one screen as an SVG; `columns` is the terminal's width, `title` stands in the window's bar."""
    height = _height(len(screen))
    rows = "".join(_run(run, y) for y, row in enumerate(screen) for run in row)
    return _window(columns, height, _title(title, columns) + rows, "")


def moving(frames: Sequence[Frame], seconds: Sequence[float], columns: int, title: str) -> str:
    """Return screens that follow each other for ever, moved by CSS alone.

    A row that stays is written once, shown from its first frame to its last. Where motion is not wanted or CSS not
    known, the last screen stands still.

    Args:
        frames: the screens, in order.
        seconds: how long each is shown.
        columns: the terminal's width.
        title: stands in the window's bar, with the seconds the recording took until then.
    """
    whole, ends = sum(seconds), [sum(seconds[: i + 1]) for i in range(len(seconds))]
    spans: dict[tuple[int, int], list[str]] = {}
    for first, last, text in _lasting(frames, title, columns):
        spans.setdefault((first, last), []).append(text)
    styles: list[str] = []
    groups: list[str] = []
    for number, ((first, last), drawn) in enumerate(sorted(spans.items())):
        always, final = (first, last) == (0, len(frames) - 1), last == len(frames) - 1
        begin, end = 100 * (ends[first] - seconds[first]) / whole, 100 * ends[last] / whole
        if not always:
            styles.append(f"@keyframes k{number}{{{_visible(begin, end)}}}#g{number}{{animation-name:k{number}}}")
        attributes = "" if always else f' id="g{number}" class="m"' + ("" if final else ' visibility="hidden"')
        groups.append(f"<g{attributes}>{''.join(drawn)}</g>")
    motion = f".m{{animation:{whole:g}s step-end infinite}}" + "".join(styles)
    height = _height(max(len(frame.screen) for frame in frames))
    return _window(columns, height, "".join(groups), f"@media (prefers-reduced-motion:no-preference){{{motion}}}")


def _visible(begin: float, end: float) -> str:
    """Keyframes of something visible from `begin` to `end`, percent of the whole."""
    stops = {0.0: "hidden", begin: "visible"} | ({end: "hidden"} if end < 99.999 else {})
    return "".join(f"{at:.3f}%{{visibility:{what}}}" for at, what in stops.items())


def _lasting(frames: Sequence[Frame], title: str, columns: int) -> list[tuple[int, int, str]]:
    """What is drawn, each with the first and the last frame it stands in."""
    begun: dict[str, int] = {}
    found: list[tuple[int, int, str]] = []
    for i, frame in enumerate(frames):
        rows = ("".join(_run(run, y) for run in row) for y, row in enumerate(frame.screen) if row)
        drawn = {_title(f"{title}, after {frame.second:.0f} s", columns), *rows}
        found += [(first, i - 1, text) for text, first in begun.items() if text not in drawn]
        begun = {text: begun.get(text, i) for text in sorted(drawn)}
    return found + [(first, len(frames) - 1, text) for text, first in begun.items()]


def _run(run: Run, y: int) -> str:
    """Draw one run; the given width keeps columns straight whatever font the viewer has."""
    colour = COLOURS.get(run.colour, f"#{run.colour}" if len(run.colour) == 6 else COLOURS["default"])
    if set(run.text) <= LINES.keys():
        return _line(run, y, colour)
    x, base = MARGIN + run.column * CHARACTER, BAR + MARGIN / 2 + y * LINE + 14
    weight = ' class="b"' if run.bold else ""
    fill = "" if colour == COLOURS["default"] else f' fill="{colour}"'
    width = f' textLength="{len(run.text) * CHARACTER:.1f}"'
    return f'<text x="{x:.1f}" y="{base:.1f}"{width}{fill}{weight}>{escape(run.text, quote=False)}</text>'


def _line(run: Run, y: int, colour: str) -> str:
    """Draw a run of horizontal box characters as one line."""
    first, last = LINES[run.text[0]], LINES[run.text[-1]]
    begin = MARGIN + (run.column + first[0]) * CHARACTER
    end = MARGIN + (run.column + len(run.text) - 1 + last[1]) * CHARACTER
    middle = BAR + MARGIN / 2 + y * LINE + LINE / 2
    return f'<path d="M{begin:.1f} {middle:.1f}H{end:.1f}" stroke="{colour}" stroke-width="{first[2]:g}"/>'


def _height(rows: int) -> float:
    return BAR + rows * LINE + 1.5 * MARGIN


def _title(title: str, columns: int) -> str:
    middle = MARGIN + columns * CHARACTER / 2
    return f'<text x="{middle:.1f}" y="22" text-anchor="middle" fill="{TITLE}">{escape(title, quote=False)}</text>'


def _window(columns: int, height: float, content: str, style: str) -> str:
    width = 2 * MARGIN + columns * CHARACTER
    buttons = "".join(f'<circle cx="{x}" cy="17" r="5" fill="{BUTTON}"/>' for x in (20, 38, 56))
    css = f"text{{font:{FONT}px {MONOSPACE};white-space:pre}}.b{{font-weight:700}}{style}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" fill="{COLOURS["default"]}"><style>{css}</style>'
        f'<rect x=".5" y=".5" width="{width - 1:.0f}" height="{height - 1:.0f}" rx="8" fill="{BACKGROUND}" '
        f'stroke="{EDGE}"/>{buttons}{content}</svg>\n'
    )
