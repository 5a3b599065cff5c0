"""``bnbench vcurve``: the error of a numeric derivative over its step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bnbench import completion
from bnbench.cli_options import Json, Plugins
from bnbench.console import discover, emit, one_of, prepare, refuse, say, show, write_file

if TYPE_CHECKING:
    from bnbench.report.charts import Chart

CASE = "dtype/shape/mode, such as float64/9x5/train"


def vcurve(
    name: Annotated[
        str,
        typer.Argument(metavar="[NAME]", help="The implementation.", autocompletion=completion.implementations),
    ] = "numpy_staged",
    plugin: Plugins = None,
    case: Annotated[
        str | None,
        typer.Option("--case", metavar="ID", help=f"{CASE}; the first of its norm.", autocompletion=completion.cases),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="A chart: .svg, .png, .html or .json.")
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Show the error of a central difference of dx at every step: round-off, truncation, and what BN301 makes of it.

    A .json is the chart as Vega-Lite, a .html answers the pointer. Exit code 1 when z is beyond the limit.

    Example: bnbench vcurve c_fused --case float32/64x128/train --output vcurve.svg
    """
    from bnbench.cases import CaseError, case_id, grid, parse_case
    from bnbench.report.charts.vcurve import vcurve_chart, vcurve_table
    from bnbench.runner import load
    from bnbench.tolerances import NOISE
    from bnbench.vcurve import v_curve

    draw = _drawing(output)
    implementation = one_of(discover(plugin).implementations, name, "implementation")
    loaded = load([implementation])
    if not loaded.subjects:
        (info,) = loaded.infos
        refuse(f"{name}: {info.reason}")
    norm, dtypes = implementation.capabilities.norm, implementation.capabilities.dtypes
    fitting = [known for known in grid() if known.norm == norm and known.dtype in dtypes]
    try:
        # In float64 both arms of the V are long.
        chosen = parse_case(case) if case else min(fitting, key=lambda known: known.dtype != "float64")
    except CaseError as error:
        refuse(str(error))
    if chosen.norm != norm:
        refuse(f"{name} is {norm} norm, and the case {chosen.norm} norm")
    if output is not None:
        prepare(output.parent)
    try:
        curve = v_curve(loaded.subjects[0], chosen)
    except Exception as error:  # noqa: BLE001 - whatever the implementation raises is its own affair
        refuse(f"{name} on {case_id(chosen)}: {type(error).__name__}: {error}")
    if json:
        emit("bnbench.vcurve/1", curve)
    else:
        show(vcurve_table(curve))
    if output is not None:
        write_file(output, draw(vcurve_chart(curve)))
        say(f"Chart: {output}")
    raise typer.Exit(0 if curve.z <= NOISE.limit else 1)


def _drawing(output: Path | None) -> Callable[[Chart], str | bytes]:
    """What writes a file of this ending; another is refused before anything is measured."""
    from bnbench.report.charts.chart import png, titled_svg, vega_lite_json
    from bnbench.report.charts.page import chart_html

    known: dict[str, Callable[[Chart], str | bytes]] = {
        ".svg": titled_svg,
        ".png": png,
        ".html": chart_html,
        ".json": vega_lite_json,
    }
    ending = ".svg" if output is None else output.suffix.lower()
    if ending not in known:
        refuse(f"{output}: a chart is one of {', '.join(known)}")
    return known[ending]
