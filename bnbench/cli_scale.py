"""``bnbench scale``: what verifying costs as the data grows."""

from __future__ import annotations

import typer

from bnbench.cli_batch_norms import batch_norms
from bnbench.cli_options import Json, Names, Plugins, Quick, Table
from bnbench.console import discover, emit, prepare, progress, refuse, say, show, write_file


def scale(
    names: Names = None, plugin: Plugins = None, *, quick: Quick = False, output: Table = None, json: Json = False
) -> None:
    """Measure what verifying costs, up to millions of elements, and a full dx beside the textbook loop.

    numpy_simplified and c_fused if no name is given; some minutes, or seconds with --quick.

    Example: bnbench scale --quick
    """
    from rich.markdown import Markdown

    from bnbench import scale as costs
    from bnbench.policy import environment, settle_process
    from bnbench.report.scale import scale_markdown

    registry = discover(plugin)
    asked = batch_norms(registry, names, costs.NAMES)
    if output is not None:
        prepare(output)
    allocator = settle_process()
    with progress() as shown:
        try:
            found = costs.measure_scale(
                environment(allocator),
                names=[each.name for each in asked],
                plugins=plugin or (),
                shapes=costs.QUICK_SHAPES if quick else costs.SHAPES,
                dx_shapes=costs.QUICK_DX_SHAPES if quick else costs.DX_SHAPES,
                progress=lambda done, total, doing: shown("measure", done, total, doing),
            )
        except RuntimeError as error:
            refuse(str(error))
    page = scale_markdown(found)
    if json:
        emit("bnbench.scale/1", found)
    elif output is None:
        show(Markdown(page))
    if output is not None:
        write_file(output / "scale.md", page)
        say(f"Page: {output / 'scale.md'}")
    raise typer.Exit(0)
