"""``bnbench debug FILE``: what is wrong with a student's file, on which line, and why."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bnbench.cli_options import Json
from bnbench.console import discover, one_of, refuse, say, show, status, write_file

if TYPE_CHECKING:
    from bnbench.diagnose.hints import Hints
    from bnbench.report.diagnosis import ShownDiagnosis

LAYER_FILES = "a layers.py or a notebook of cs231n, a batchnorm_layer.c, or a plugin of bnbench"
FileToDebug = Annotated[Path, typer.Argument(metavar="FILE", help=f"{LAYER_FILES[0].upper()}{LAYER_FILES[1:]}.")]
Level = Annotated[
    str,
    typer.Option(
        "--hints",
        metavar="what|where|how",
        help="How much to tell: the quantity and the mistake, the line too, the correction too.",
    ),
]


def debug(
    file: FileToDebug,
    hints: Level = "how",
    layer: Annotated[str | None, typer.Option(metavar="NAME", help="Only this layer, such as layernorm.")] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Also write a page, with the run as a graph.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="OUT", help="Also write it as Markdown.")] = None,
    graph: Annotated[Path | None, typer.Option(metavar="OUT", help="Also draw the run of one layer, as SVG.")] = None,
    *,
    no_hints: Annotated[bool, typer.Option("--no-hints", help="Tell only which functions are right.")] = False,
    json: Json = False,
) -> None:
    """Say what is wrong with a layer, on which line, and why, with a correction where one was proven.

    FILE runs in this process, with your rights: debug your own.

    Example: bnbench debug layers.py

    Example: bnbench debug layers.py --layer layernorm --hints where --html why.html --graph why.svg

    Example: bnbench debug batchnorm_layer.c
    """
    from bnbench.diagnose.hints import Hints
    from bnbench.report.diagnosis_pages import diagnosis_html, diagnosis_json, diagnosis_markdown

    levels = {str(level): level for level in (Hints.WHAT, Hints.WHERE, Hints.HOW)}
    level = Hints.NONE if no_hints else one_of(levels, hints, "level of hints")
    if graph is not None and level not in (Hints.WHERE, Hints.HOW):
        refuse("--graph shows which line is wrong; use it with --hints where or how")
    _check(file)
    shown = _show(file, level, layer)
    if graph is not None:
        _write(graph, _drawing(shown))
    if html is not None:
        _write(html, diagnosis_html(shown))
    if markdown is not None:
        _write(markdown, diagnosis_markdown(shown))
    if json:
        typer.echo(diagnosis_json(shown), nl=False)
    else:
        from bnbench.report.diagnosis_terminal import diagnosis_summary

        show(diagnosis_summary(shown))
    raise typer.Exit(0 if shown.right else 1)


def _check(file: Path) -> None:
    if not file.exists():
        refuse(f"{_name(file)}: no such file; expected {LAYER_FILES}")
    if not file.is_file():
        refuse(f"{_name(file)}: not a file; expected {LAYER_FILES}")
    if file.suffix not in (".py", ".ipynb", ".c"):
        refuse(f"{_name(file)}: the name ends in neither .py, .ipynb nor .c; expected {LAYER_FILES}")


def _show(file: Path, level: Hints, layer: str | None) -> ShownDiagnosis:
    with status("read the file") as tell:
        try:
            if file.suffix == ".c":
                if layer is not None:
                    refuse("--layer chooses among the layers of a Python file; a C file has one")
                return _show_c(file, level, tell)
            return _show_python(file, level, layer, tell)
        except OSError as error:
            refuse(f"{_name(file)}: can't be read ({error.strerror or error})")


def _show_python(file: Path, level: Hints, layer: str | None, tell: Callable[[str], None]) -> ShownDiagnosis:
    from bnbench.adapters.cs231n import LAYERS
    from bnbench.debugging import NothingToDiagnoseError, diagnose_file
    from bnbench.report.diagnosis import show

    only = () if layer is None else (one_of({known.name: known for known in LAYERS}, layer, "layer").name,)
    try:
        diagnosis = diagnose_file(file, only=only, progress=tell)
    except NothingToDiagnoseError as error:
        if layer is not None:
            refuse(f"{_name(file)} has no layer {layer}; leave --layer out to see those that it has")
        return _show_plugin(file, level, str(error))
    except ValueError as error:
        refuse(f"{_name(file)}: {_text(error)}; expected {LAYER_FILES}")
    return show(diagnosis, level)


def _show_plugin(file: Path, level: Hints, reason: str) -> ShownDiagnosis:
    """Of a plugin only the answers are known: it declares one function, whatever it is made of."""
    from bnbench.diagnose.explanation import explain_causes
    from bnbench.kernels import local_kernel
    from bnbench.report.diagnosis_uw import show_causes

    registry = discover([file]) if file.suffix == ".py" else None
    if registry is None or not registry.from_paths:
        broken = registry.broken[-1].error if registry and registry.broken else ""
        why = f" ({broken})" if broken and "declares neither" not in broken else ""
        refuse(f"{_text(reason)}{_text(why)}; expected {LAYER_FILES}")
    found = []
    for name in registry.from_paths:
        implementation = registry.implementations[name]
        if missing := registry.missing(implementation):
            refuse(missing)
        found.append((name, explain_causes(local_kernel(implementation.load()), implementation.capabilities)))
    return show_causes(file.name, found, level)


def _show_c(file: Path, level: Hints, tell: Callable[[str], None]) -> ShownDiagnosis:
    from bnbench.adapters.uw.compiler import compile_uw, find_compiler
    from bnbench.adapters.uw.diagnosis import diagnose_compiled, find_memory_errors
    from bnbench.diagnose.uw_stages import ARGUMENTS
    from bnbench.report.diagnosis_uw import Memory, show_stages, show_uncompiled

    compiler = find_compiler()
    if compiler is None:
        refuse("no C compiler was found; install cc, gcc or clang, or name one in the environment's CC")
    source = file.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        tell("compile")
        compiled = compile_uw(source, Path(folder), compiler=compiler)
        if not set(compiled.functions) & {*ARGUMENTS, "forward_batchnorm_layer", "batch_normalize_forward"}:
            refuse(f"{_name(file)} defines none of {', '.join(ARGUMENTS)}; expected {LAYER_FILES}")
        if compiled.status in ("timeout", "unsupported"):
            refuse(f"{_name(file)}: {compiled.message}")
        if compiled.status == "compile_error":
            return show_uncompiled(file.name, compiled.message, level)
        tell("run every function")
        stages = diagnose_compiled(compiled)
        remarks: tuple[str, ...] = ()
        memory: tuple[Memory, ...] = ()
        tell("look for memory errors")
        try:
            sanitized = compile_uw(source, Path(folder), compiler=compiler, sanitize=True)
            if sanitized.status == "compiled":
                memory = tuple(Memory(f.kind, f.line, f.function) for f in find_memory_errors(sanitized))
        except RuntimeError as error:
            remarks = (f"memory errors were not looked for: {error}",)
    return show_stages(file.name, stages, level, memory=memory, remarks=remarks)


def _drawing(shown: ShownDiagnosis) -> str:
    """The first layer that is not right, or the first."""
    from bnbench.report.graph import graph_svg

    drawn = [layer for layer in shown.layers if layer.picture is not None and layer.picture.nodes]
    if not drawn:
        refuse("nothing to draw: --graph needs a layer in Python whose forward runs")
    wrong = [layer for layer in drawn if any(function.state != "right" for function in layer.functions)]
    picture = (wrong or drawn)[0].picture
    return graph_svg(picture) if picture is not None else ""


def _write(file: Path, text: str) -> None:
    write_file(file, text)
    say(f"Written: {_name(file)}")


def _name(file: Path) -> str:
    return _text(str(file))


def _text(said: object) -> str:
    """What may come from a file, so that it shows and does nothing."""
    from bnbench.report.words import visible

    return visible(str(said))
