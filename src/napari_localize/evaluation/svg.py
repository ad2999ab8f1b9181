"""Small plots as SVG: plain attributes only, so that a page and a window draw them alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 340, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 34, 40
_FONT = 'font-family="sans-serif" font-size="11"'
_IN_A_ROW, _MOST_NAMES = 3, 6


@dataclass(frozen=True)
class Line:
    """A line of a plot; points that are NaN are left out."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    color: str
    dashed: bool = False


@dataclass(frozen=True)
class Axis:
    """What an axis shows, from where to where."""

    title: str
    low: float = 0.0
    high: float = 1.0

    def part(self, value: float) -> float:
        """Return where on the axis a value lies, 0 to 1."""
        return (value - self.low) / ((self.high - self.low) or 1.0)


def line_plot(
    lines: Sequence[Line],
    x: Axis,
    y: Axis,
    *,
    marks: Sequence[tuple[float, str]] = (),
    ink: str = "currentColor",
    dots: bool = False,
) -> str:
    """Return lines on axes.

    Parameters
    ----------
    lines : sequence of Line
    x, y : Axis
    marks : sequence of (float, str)
        Places on the x axis with a vertical line and a word.
    ink : str
        Colour of axes and texts.
    dots : bool
        Whether each point has a dot.
    """
    drawn = []
    for line in lines:
        points = [
            (_across(x.part(a)), _down(y.part(b)))
            for a, b in zip(line.x, line.y, strict=True)
            if math.isfinite(a) and math.isfinite(b)
        ]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        dash = ' stroke-dasharray="5 3"' if line.dashed else ""
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{line.color}" stroke-width="1.8"{dash}/>')
        if dots:
            drawn += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.6" fill="{line.color}"/>' for a, b in points]
    for at, (place, word) in enumerate(marks):
        across = _across(x.part(place))
        end = "end" if x.part(place) > 0.6 else "start"
        drawn.append(
            f'<line x1="{across:.1f}" y1="{_TOP}" x2="{across:.1f}" y2="{HEIGHT - _BOTTOM}" stroke="{ink}" '
            'stroke-width="1" stroke-dasharray="2 2"/>'
            + _text(across + (4 if end == "start" else -4), HEIGHT - _BOTTOM - 6 - 13 * at, word, ink, end)
        )
    names = [(line.name, line.color) for line in lines[:_MOST_NAMES]] if len(lines) > 1 else []
    return _figure([*_axes(x, y, ink), *drawn, *_legend(names, len(lines), ink)], ink)


def scatter_plot(
    points: Sequence[tuple[float, float]], x: Axis, y: Axis, *, color: str, ink: str = "currentColor"
) -> str:
    """Return dots, and the line on which both numbers are equal."""
    low, high = max(x.low, y.low), min(x.high, y.high)
    ends = [(_across(x.part(end)), _down(y.part(end))) for end in (low, high)]
    drawn = [
        f'<line x1="{ends[0][0]:.1f}" y1="{ends[0][1]:.1f}" x2="{ends[1][0]:.1f}" y2="{ends[1][1]:.1f}" '
        f'stroke="{ink}" stroke-width="1" stroke-dasharray="2 2"/>'
    ]
    drawn += [
        f'<circle cx="{_across(x.part(a)):.1f}" cy="{_down(y.part(b)):.1f}" r="3" fill="{color}" fill-opacity="0.6"/>'
        for a, b in points
    ]
    return _figure([*_axes(x, y, ink), *drawn], ink)


def upper(values: Sequence[float]) -> float:
    """Return a round number that no value is above.

    >>> upper([3, 87]), upper([]), upper([120])
    (100.0, 1.0, 150.0)
    """
    most = max(values, default=0.0)
    if most <= 1:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(most))
    return next(unit * step for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if unit * step >= most)


def _axes(x: Axis, y: Axis, ink: str) -> list[str]:
    left, right, top, bottom = _LEFT, WIDTH - _RIGHT, _TOP, HEIGHT - _BOTTOM
    parts = []
    for tick in range(6):
        across, down = _across(tick / 5), _down(tick / 5)
        parts.append(
            f'<line x1="{left}" y1="{down:.1f}" x2="{right}" y2="{down:.1f}" stroke="{ink}" stroke-opacity="0.15"/>'
            f'<line x1="{across:.1f}" y1="{top}" x2="{across:.1f}" y2="{bottom}" stroke="{ink}" stroke-opacity="0.15"/>'
        )
        parts.append(_text(across, bottom + 15, _number(x.low + tick / 5 * (x.high - x.low)), ink, "middle"))
        parts.append(_text(left - 6, down + 4, _number(y.low + tick / 5 * (y.high - y.low)), ink, "end"))
    parts.append(
        f'<polyline points="{left},{top} {left},{bottom} {right},{bottom}" fill="none" stroke="{ink}" stroke-width="1"/>'
    )
    parts.append(_text((left + right) / 2, HEIGHT - 6, x.title, ink, "middle"))
    middle = (top + bottom) / 2
    parts.append(f'<g transform="translate(12 {middle:.1f}) rotate(-90)">{_text(0, 0, y.title, ink, "middle")}</g>')
    return parts


def _legend(names: Sequence[tuple[str, str]], lines: int, ink: str) -> list[str]:
    """Return the names of the lines in two rows above the plot."""
    parts = []
    width = (WIDTH - _LEFT - _RIGHT) / _IN_A_ROW
    for at, (name, color) in enumerate(names):
        across, down = _LEFT + width * (at % _IN_A_ROW), 12 + 14 * (at // _IN_A_ROW)
        more = f" + {lines - len(names)}" if at == len(names) - 1 and lines > len(names) else ""
        most = 13 - len(more)
        shown = name if len(name) <= most else name[: most - 1] + "…"
        parts.append(
            f'<line x1="{across:.1f}" y1="{down - 4}" x2="{across + 12:.1f}" y2="{down - 4}" stroke="{color}" '
            f'stroke-width="2.5"/>{_text(across + 16, down, shown + more, ink, "start")}'
        )
    return parts


def _figure(parts: Sequence[str], ink: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'color="{ink}">{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, text: str, ink: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {_FONT} fill="{ink}" text-anchor="{anchor}">{escape(text)}</text>'


def _number(value: float) -> str:
    return f"{value:.3g}"


def _across(part: float) -> float:
    return _LEFT + part * (WIDTH - _LEFT - _RIGHT)


def _down(part: float) -> float:
    return HEIGHT - _BOTTOM - part * (HEIGHT - _TOP - _BOTTOM)
