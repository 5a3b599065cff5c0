"""A chart is one Vega-Lite specification; SVG, PNG, JSON and an interactive page are drawn from it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from xml.sax.saxutils import escape

from bnbench.report.charts import style
from bnbench.report.words import visible


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """What it shows, what is found in it, and how it is drawn.

    ``spec`` is Vega-Lite in the light colours of :mod:`bnbench.report.charts.style`, without title and config.
    """

    name: str
    """Of its file, without the ending: lower-case letters and underscores."""
    title: str
    finding: str
    """What the chart says, in a sentence: the text for who can't see it."""
    spec: Mapping[str, Any]

    @property
    def svg(self) -> str:
        """For a page: without title, background or fixed colours, which the page has. Marks tell what they are."""
        svg = _drawn(self).replace(f'fill="{style.PAPER}"', 'fill="none"', 1)
        return _labelled(self, style.adaptive_svg(svg))

    @property
    def svg_file(self) -> str:
        """For a file beside a text that has the title: light, and dark where the reader prefers it."""
        return _file(self, _drawn(self))


def titled_svg(chart: Chart) -> str:
    """For a file that stands alone."""
    return _file(chart, _svg(json.dumps(vega_lite(chart))))


def _drawn(chart: Chart) -> str:
    return _svg(json.dumps(vega_lite(chart, titled=False)))


def _file(chart: Chart, svg: str) -> str:
    css = f"svg{{font-family:{style.FONT}}}{style.dark_css()}"
    silent = re.sub(r' (role|aria-[a-z]+)="[^"]*"', "", svg)
    return _labelled(chart, re.sub(r"(<svg [^>]*>)", rf"\g<1><style>{css}</style>", silent, count=1)) + "\n"


def vega_lite(chart: Chart, *, titled: bool = True) -> dict[str, Any]:
    """The whole specification, as Vega-Lite's own tools read it."""
    title = {"title": {"text": visible(chart.title), "subtitle": _wrapped(visible(chart.finding))}} if titled else {}
    return {
        "$schema": style.SCHEMA,
        "description": visible(chart.finding),
        **title,
        **chart.spec,
        "config": style.CONFIG,
    }


def vega_lite_json(chart: Chart) -> str:
    """The specification as JSON, ASCII, with one trailing newline."""
    return json.dumps(vega_lite(chart), indent=1, allow_nan=False) + "\n"


def png(chart: Chart, *, dark: bool = False, scale: float = 2.0) -> bytes:
    """The chart as PNG, ``scale`` pixels to a pixel of the SVG."""
    from vl_convert import vegalite_to_png

    spec = vega_lite(chart)
    drawn: bytes = vegalite_to_png(style.dark(spec) if dark else spec, vl_version=style.VEGA_LITE, scale=scale)
    return drawn


@lru_cache(maxsize=64)
def _svg(spec: str) -> str:
    """Drawn once for the page and the file of a report: of all that a report takes, this takes the longest."""
    from vl_convert import vegalite_to_svg

    svg = str(vegalite_to_svg(spec, vl_version=style.VEGA_LITE))
    return re.sub(r' font-family="[^"]*"', "", svg)


def _labelled(chart: Chart, svg: str) -> str:
    """With the finding as its accessible name."""
    label = escape(visible(chart.finding), {'"': "&quot;"})
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def _wrapped(text: str, width: int = 96) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width)
