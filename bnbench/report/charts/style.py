"""The one house style of all charts: colours for light and dark, fonts, sizes, symbols.

Colours are the Okabe-Ito set, which colour-blind readers tell apart, a little brighter in the dark; no meaning
has a colour alone. A chart is written in the light ones, so that its specification is plain Vega-Lite:

- :func:`dark` exchanges each for its partner, for a PNG;
- :func:`adaptive` for CSS that follows the page, for a drawing within one;
- an SVG file gets a style sheet that exchanges them where the reader prefers dark (:func:`dark_css`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
VEGA_LITE = "5.21"

PAPER, INK, SOFT, LINE = "#ffffff", "#1b1f24", "#57606c", "#dfe3e8"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#c4609a", "#b8860b", "#3fa7dd", "#6a51a3", "#555555")
SLOWER, EVEN, FASTER = ("#f0a875", "#f8ccad", "#fce8da"), "#f0f2f4", ("#dcebf6", "#aed1ea", "#7bb4dc")
"""Tints from far to near and from near to far: text in :data:`INK` is legible on each, in light and dark."""
WORD = "#f6efd2"
"""Behind a word that stands in place of a number."""
LIMIT = "#93290a"

PARTNERS: Mapping[str, str] = {
    PAPER: "#14171b",
    INK: "#e6e9ed",
    SOFT: "#9aa5b1",
    LINE: "#323942",
    **dict(
        zip(
            SERIES,
            ("#56a8e0", "#f0843c", "#35c79b", "#e596c4", "#e0b03a", "#9ad6f7", "#b3a0e0", "#bbbbbb"),
            strict=True,
        )
    ),
    **dict(zip(SLOWER, ("#7a3f14", "#5b3317", "#3d2a1d"), strict=True)),
    EVEN: "#262b32",
    **dict(zip(FASTER, ("#1d303f", "#1d4763", "#1f6291"), strict=True)),
    WORD: "#3b3413",
    LIMIT: "#ffab85",
}
"""What each light colour is in the dark."""

SHAPES = (
    "M1,0A1,1,0,1,1,-1,0A1,1,0,1,1,1,0Z",
    "M-.9,-.9H.9V.9H-.9Z",
    "M0,-1.1L1.1,.9H-1.1Z",
    "M0,-1.25L1.25,0L0,1.25L-1.25,0Z",
    "M-.4,-1.1H.4V-.4H1.1V.4H.4V1.1H-.4V.4H-1.1V-.4H-.4Z",
    "M0,1.1L1.1,-.9H-1.1Z",
    "M-1.2,-.45H1.2V.45H-1.2Z",
)
"""SVG paths within [-1.25, 1.25]. Their number and that of the colours are coprime: 56 pairs before one repeats."""

DASHES: tuple[tuple[int, ...], ...] = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (12, 3))

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', 'DejaVu Sans', sans-serif"

CONFIG: Mapping[str, Any] = {
    "font": FONT,
    "background": PAPER,
    "padding": 10,
    "view": {"stroke": None},
    "mark": {"aria": False},  # but for those that are told about, see telling()
    "title": {
        "anchor": "start",
        "color": INK,
        "fontSize": 14,
        "fontWeight": 600,
        "subtitleColor": SOFT,
        "subtitleFontSize": 12,
        "subtitlePadding": 5,
        "offset": 14,
    },
    "axis": {
        "labelColor": SOFT,
        "titleColor": SOFT,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "grid": True,
        "gridColor": LINE,
        "domain": False,
        "ticks": False,
        "labelPadding": 6,
        "titlePadding": 8,
        "labelLimit": 190,
    },
    "header": {
        "labelColor": INK,
        "labelFontSize": 12,
        "labelFontWeight": 600,
        "labelPadding": 6,
        "titleColor": SOFT,
        "labelLimit": 400,
    },
    "legend": {
        "orient": "top",
        "title": None,
        "labelColor": INK,
        "labelFontSize": 11.5,
        "labelLimit": 220,
        "symbolSize": 70,
        "symbolStrokeWidth": 0,
        "columnPadding": 16,
        "rowPadding": 4,
        "padding": 0,
        "offset": 10,
        "titleColor": SOFT,
    },
    "concat": {"spacing": 22},
    "facet": {"spacing": {"column": 38, "row": 22}},
    "point": {"filled": True, "size": 48, "opacity": 0.95},
    "line": {"strokeWidth": 1.6},
    "rule": {"color": INK},
    "text": {"color": INK, "fontSize": 11},
}
"""Vega-Lite's ``config``, the same of every chart."""


def channels(names: list[str], *, field: str = "implementation") -> dict[str, Any]:
    """Colour and shape by implementation, with one legend for both."""
    count = range(len(names))
    pairs = {"color": [SERIES[i % len(SERIES)] for i in count], "shape": [SHAPES[i % len(SHAPES)] for i in count]}
    return {
        channel: {
            "field": field,
            "type": "nominal",
            "scale": {"domain": names, "range": values},
            "legend": {"columns": min(6, len(names))},
        }
        for channel, values in pairs.items()
    }


def telling(*fields: str) -> dict[str, Any]:
    """Encodings of a mark that a reader can ask about: rows of a tooltip, and all in one in the field ``about``.

    The mark itself has to say ``"aria": True``.
    """
    return {
        "tooltip": [{"field": field, "type": "nominal"} for field in fields],
        "description": {"field": "about", "type": "nominal"},
    }


def css_colour(light: str) -> str:
    """CSS that follows the ``color-scheme`` of the page."""
    return f"light-dark({light}, {PARTNERS[light]})"


def dark(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The specification in the colours of the dark."""
    return _recoloured(spec, PARTNERS.__getitem__)


def adaptive(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The specification in CSS colours that follow the ``color-scheme`` of the page around it."""
    return _recoloured(spec, css_colour)


def _recoloured(spec: Mapping[str, Any], colour: Callable[[str], str]) -> dict[str, Any]:
    def exchange(value: Any) -> Any:
        if isinstance(value, Mapping):
            # Data hold names of others, one of which may read like a colour.
            return {key: each if key in {"values", "domain"} else exchange(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [exchange(each) for each in value]
        return colour(value) if isinstance(value, str) and value in PARTNERS else value

    return dict(exchange(spec))


def dark_css() -> str:
    """Rules that exchange the colours of an SVG's attributes where the reader prefers dark."""
    rules = (
        f'[{attribute}="{light}"]{{{attribute}:{partner}}}'
        for light, partner in PARTNERS.items()
        for attribute in ("fill", "stroke")
    )
    return f"@media (prefers-color-scheme:dark){{{''.join(rules)}}}"


def adaptive_svg(svg: str) -> str:
    """The SVG with colours that follow the page that it stands in."""
    return re.sub(
        r'\b(fill|stroke)="(#[0-9a-f]{6})"',
        lambda found: f'{found[1]}="{css_colour(found[2])}"' if found[2] in PARTNERS else found[0],
        svg,
    )
