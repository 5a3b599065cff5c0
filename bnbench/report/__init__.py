"""A report in words: every format is a pure function of the record :class:`bnbench.model.Report`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bnbench.model import Report
from bnbench.report.codec import ReportFormatError, dump_json, json_schema, parse_json
from bnbench.report.frames import findings_csv, findings_frame, timings_csv, timings_frame
from bnbench.report.html import render_html
from bnbench.report.markdown import render_markdown
from bnbench.report.staged_graph import staged_svg
from bnbench.report.terminal import summary

FILES: Mapping[str, Callable[[Report], str]] = {
    "results.json": dump_json,
    "findings.csv": findings_csv,
    "timings.csv": timings_csv,
    "report.md": render_markdown,
    "index.html": render_html,
    "staged_graph.svg": staged_svg,
}
"""The files of a report folder, each with what writes its text (UTF-8, line feeds)."""

__all__ = [
    "FILES",
    "ReportFormatError",
    "dump_json",
    "findings_csv",
    "findings_frame",
    "json_schema",
    "parse_json",
    "render_html",
    "render_markdown",
    "summary",
    "timings_csv",
    "timings_frame",
]
