"""Charts as SVG files, which need nothing to be looked at but a browser."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

_COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#b83280", "#718096", "#d69e2e", "#319795")
_STYLE = (
    "<style>text{font:13px sans-serif;fill:#222}.title{font-weight:bold}.note{fill:#666}"
    "@media(prefers-color-scheme:dark){svg{background:#fff}}</style>"
)


def bars(title: str, unit: str, values: Mapping[str, float]) -> str:
    """A horizontal bar for each name."""
    width, label, top, step = 720, 190, 48, 26
    most = max(values.values(), default=0.0) or 1.0
    scale = (width - label - 90) / most
    body = []
    for row, (name, value) in enumerate(values.items()):
        y = top + row * step
        colour = _COLOURS[0] if name.startswith("selchat") else _COLOURS[5]
        size = f'width="{max(value * scale, 1):.1f}" height="18"'
        body += [
            _text(label - 8, y + 14, name, "end"),
            f'<rect x="{label}" y="{y}" {size} fill="{colour}"/>',
            _text(label + value * scale + 6, y + 14, _short(value)),
        ]
    return _svg(width, top + len(values) * step + 10, title, unit, body)


def curves(
    title: str, unit: str, below: str, lines: Mapping[str, Sequence[tuple[float, float]]]
) -> str:
    """Values over a scale that grows by factors; both scales are logarithmic, and 0 is a step
    below the smallest.
    """
    width, height, left, top, right, bottom = 720, 400, 64, 56, 170, 48
    points = [point for line in lines.values() for point in line]
    xs, ys = [x for x, _ in points] or [1.0], [y for _, y in points] or [1.0]
    none = min((x for x in xs if x), default=1.0) / 10  # where 0 is drawn
    x0, x1 = math.log10(min(xs) or none), math.log10(max(xs) or none)
    y0, y1 = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
    y1 = max(y1, y0 + 1)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x or none) - x0) / ((x1 - x0) or 1.0)
        up = (math.log10(y) - y0) / (y1 - y0)
        return left + across * (width - left - right), height - bottom - up * (
            height - top - bottom
        )

    body = []
    for power in range(y0, y1 + 1):
        _, y = place(min(xs), 10.0**power)
        body += [
            f'<line x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>',
            _text(left - 8, y + 4, _short(10.0**power), "end"),
        ]
    for x in sorted(set(xs)):
        body.append(_text(place(x, 10.0**y0)[0], height - bottom + 18, _short(x), "middle"))
    for (name, line), colour in zip(lines.items(), _COLOURS, strict=False):
        if not line:
            continue
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        x, y = place(*line[-1])
        body.append(f'<g fill="{colour}">{_text(x + 8, y + 4, name)}</g>')
    body.append(_text((left + width - right) / 2, height - 8, below, "middle"))
    return _svg(width, height, title, unit, body)


def _svg(width: int, height: int, title: str, unit: str, body: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}">'
    )
    said = [
        f'<text class="title" x="12" y="20">{escape(title)}</text>',
        f'<text class="note" x="12" y="37">{escape(unit)}</text>',
    ]
    return "\n".join([head, _STYLE, *said, *body, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
