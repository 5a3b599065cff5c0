"""The quantities of the staged implementation, each compared with the definition."""

from __future__ import annotations

from importlib import import_module

from bnbench.diagnose.cause import QUANTITIES
from bnbench.model import Environment, Report
from bnbench.report import render_html
from bnbench.report.staged_graph import staged_graph
from bnbench.staged import staged_errors

MODULE = import_module("bnbench.implementations.numpy_staged")


def test_every_quantity_is_right_to_a_few_roundings():
    errors = staged_errors()

    assert set(errors) == set(QUANTITIES) - {"running_mean", "running_var", "cache"}
    assert all(error <= 1e-13 for error in errors.values())


def test_a_wrong_derivative_of_one_node_is_marked_where_it_first_shows():
    def square(xc):
        return xc * xc, lambda dsq: (xc * dsq,)  # the 2 is forgotten

    graph = tuple(node._replace(operation=square) if node.name == "sq" else node for node in MODULE.GRAPH)
    verdicts = {node.name: node.verdict for node in staged_graph(staged_errors(graph)).nodes}

    assert [name for name, verdict in verdicts.items() if verdict == "wrong"] == ["dxc"]
    assert {name for name, verdict in verdicts.items() if verdict == "follows"} == {"dx"}
    assert verdicts["dsq"] == verdicts["dvar"] == verdicts["y"] == "right"


def test_the_page_shows_the_graph_only_where_it_was_measured():
    environment = Environment(
        created="", bnbench="", python="", platform="", cpu="", cores=1, threads=1, allocator="", versions={}
    )

    assert 'id="staged"' in render_html(Report(environment=environment, staged_errors=staged_errors()))
    assert 'id="staged"' not in render_html(Report(environment=environment))
