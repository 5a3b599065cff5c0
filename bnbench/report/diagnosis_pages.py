"""A diagnosis as Markdown, as one HTML page and as strict JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bnbench.report.codec import plain
from bnbench.report.diagnosis import TONES, ShownDiagnosis, ShownFinding, ShownLayer, ShownLine
from bnbench.report.graph import SIGNS, graph_svg
from bnbench.report.markdown import code, console, fenced, prose
from bnbench.report.page import environment


def diagnosis_json(shown: ShownDiagnosis) -> str:
    """The record as JSON: fields in declared order, ASCII, no NaN or Infinity tokens, one trailing newline."""
    return json.dumps(plain(shown), indent=1, allow_nan=False) + "\n"


def diagnosis_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of what :func:`diagnosis_json` writes."""
    from bnbench.report.codec import schema_of

    return schema_of(ShownDiagnosis, "bnbench.diagnosis/1")


def diagnosis_markdown(shown: ShownDiagnosis) -> str:
    """The whole diagnosis as one GitHub Markdown document."""
    parts = [f"# {prose(shown.headline)}"]
    parts += ["\n".join(f"- {prose(remark)}" for remark in shown.remarks)] if shown.remarks else []
    for layer in shown.layers:
        parts += _layer(layer)
    return "\n\n".join(parts) + "\n"


def _layer(layer: ShownLayer) -> Iterator[str]:
    yield f"## {prose(layer.name)}"
    yield "\n".join(
        f"- **{prose(f.state)}** {code(f.name)}{'' if f.line is None else f', line {f.line}'}: {prose(f.sentence)}"
        for f in layer.functions
    )
    if layer.note:
        yield prose(layer.note)
    for finding in layer.findings:
        yield from _finding(finding)
    if layer.lines:
        yield "### Every line that computes something, in train mode"
        yield fenced("\n".join(map(_line, layer.lines)), "text")


def spoken(text: str) -> list[tuple[bool, str]]:
    """A sentence in pieces, each with whether it is code: what stands between backquotes that pair up."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        return [(False, text)]
    return [(bool(place % 2), piece) for place, piece in enumerate(pieces) if piece]


def _spoken(text: str) -> str:
    return "".join(code(piece) if is_code else prose(piece) for is_code, piece in spoken(text))


def _line(line: ShownLine) -> str:
    sign = SIGNS[line.verdict] if line.verdict else " "
    note = f"# {line.words}" if line.words else ""
    return f"{line.number:>4} {sign} {line.text.rstrip().expandtabs(4):<56}  {note}".rstrip()


def _finding(finding: ShownFinding) -> Iterator[str]:
    if not finding.sentence:
        yield _spoken(finding.hint)
    else:
        line = "No line" if finding.line is None else f"Line {finding.line}"
        yield f"### {line}: {code(finding.source)}"
        yield _spoken(finding.sentence)
    if finding.values:
        yield "\n".join(f"- {code(v.place or 'value')} is {v.got}, should be {v.right}" for v in finding.values)
    if finding.formula and finding.sentence:
        yield f"{code(finding.formula)}: {prose(finding.why)}"
    if finding.change:
        yield fenced(f"@@ line {finding.change.line} @@\n- {finding.change.before}\n+ {finding.change.after}", "diff")
    if finding.proof:
        yield prose(finding.proof)
    if finding.explain:
        yield console(finding.explain)


def diagnosis_html(shown: ShownDiagnosis) -> str:
    """One page that needs nothing else, runs nothing, and follows the reader's scheme, light or dark."""
    from markupsafe import Markup

    pictures = {
        layer.name: Markup(graph_svg(layer.picture))  # noqa: S704 - escaped by its own template
        for layer in shown.layers
        if layer.picture is not None and layer.picture.nodes and layer.lines
    }
    page = environment()
    page.filters["spoken"] = spoken
    return page.get_template("diagnosis.html.j2").render(shown=shown, pictures=pictures, tones=TONES, signs=SIGNS)
