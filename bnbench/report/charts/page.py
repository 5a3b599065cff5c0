"""One chart as an interactive page that needs nothing else: it opens from a file, offline."""

from __future__ import annotations

import json

from bnbench.report.charts import style
from bnbench.report.charts.chart import Chart, vega_lite
from bnbench.report.page import environment


def chart_html(chart: Chart) -> str:
    """The drawing, which a script of Vega's replaces by one that answers the pointer and can be saved.

    The script is in the page, 0.9 MB; it interprets what it draws, so that the page forbids evaluation.
    """
    from markupsafe import Markup
    from vl_convert import javascript_bundle

    spec = style.adaptive({**vega_lite(chart, titled=False), "background": None})
    # A name may hold what ends a script.
    data = json.dumps(spec).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    bundle = javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=style.VEGA_LITE)
    return (
        environment()
        .get_template("chart.html.j2")
        .render(
            chart=chart,
            svg=Markup(chart.svg),  # noqa: S704 - escaped by what draws it
            data=Markup(data),  # noqa: S704 - has no character that HTML reads
            bundle=Markup(bundle.replace("</script", "<\\/script")),  # noqa: S704 - Vega's own
        )
    )
