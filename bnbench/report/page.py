"""What every page of bnbench shares: how its template is read, and that text which acts is shown instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bnbench.report.words import visible

if TYPE_CHECKING:
    from jinja2 import Environment


def environment(*packages: str) -> Environment:
    """The templates of ``packages``, each a package with a folder ``templates``, and of bnbench.report.

    A page extends ``base.html.j2`` of bnbench.report, which holds the one style sheet. Whatever is printed
    is escaped, controls and bidirectional marks are shown as escapes (:func:`bnbench.report.words.visible`),
    and a name that a template does not know is an error.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in (*packages, "bnbench.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_show,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _show(value: Any) -> Any:
    from markupsafe import Markup

    return visible(value, keep="\n\t") if isinstance(value, str) and not isinstance(value, Markup) else value
