"""The staged graph of batch normalization (docs/staged_graph.md), each quantity judged by its error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bnbench.model import Report
from bnbench.report.graph import Edge, Graph, Node, Verdict, graph_svg
from bnbench.tolerances import BANDS

COMFORTABLE = BANDS[0][0]
"""The relative error up to which a quantity counts as right: the best of the courses' bands."""


class Step(NamedTuple):
    """What a quantity is made of, and how; nothing, where it is given."""

    arguments: tuple[str, ...] = ()
    formula: str = "given"


FORWARD: Mapping[str, Step] = {
    "x": Step(),
    "gamma": Step(),
    "beta": Step(),
    "eps": Step(),
    "mu": Step(("x",), "mean(x)"),
    "xc": Step(("x", "mu"), "x - mu"),
    "sq": Step(("xc",), "xc * xc"),
    "var": Step(("sq",), "mean(sq)"),
    "sd": Step(("var", "eps"), "sqrt(var + eps)"),
    "inverse_sd": Step(("sd",), "1 / sd"),
    "x_hat": Step(("xc", "inverse_sd"), "xc * inverse_sd"),
    "scaled": Step(("x_hat", "gamma"), "x_hat * gamma"),
    "y": Step(("scaled", "beta"), "scaled + beta"),
}
BACKWARD: Mapping[str, Step] = {
    "dy": Step(),
    "dbeta": Step(("dy",), "sum(dy)"),
    "dscaled": Step(("dy",), "dy"),
    "dgamma": Step(("dscaled", "x_hat"), "sum(dscaled * x_hat)"),
    "dx_hat": Step(("dscaled", "gamma"), "dscaled * gamma"),
    "dinverse_sd": Step(("dx_hat", "xc"), "sum(dx_hat * xc)"),
    "dsd": Step(("dinverse_sd", "inverse_sd"), "-(inverse_sd**2) * dinverse_sd"),
    "dvar": Step(("dsd", "sd"), "dsd / (2 * sd)"),
    "dsq": Step(("dvar",), "dvar / M"),
    "dxc": Step(("dx_hat", "inverse_sd", "xc", "dsq"), "dx_hat * inverse_sd + 2 * xc * dsq"),
    "dmu": Step(("dxc",), "-sum(dxc)"),
    "dx": Step(("dxc", "dmu"), "dxc + dmu / M"),
}
"""Sums are over the M elements that share a channel."""


def staged_graph(errors: Mapping[str, float]) -> Graph:
    """Judge the nine nodes and their gradients by relative errors, under the names of :data:`Quantity`.

    An error beyond 1e-7, or that is not a number, is wrong; it follows where something that the quantity is
    computed from is wrong already. What ``errors`` leaves out is unknown, but for the inputs, which are given.
    Names that the graph does not have (running_mean, cache) are left out.
    """
    steps = {**FORWARD, **BACKWARD}  # in this order every argument comes before its use
    verdicts: dict[str, Verdict] = {}
    reached: set[str] = set()  # by an error, also through quantities that were not compared
    for name, (arguments, _) in steps.items():
        inherits = not reached.isdisjoint(arguments)
        if name not in errors:
            verdicts[name] = "unknown" if arguments else "right"
        elif errors[name] <= COMFORTABLE:
            verdicts[name] = "right"
        else:
            verdicts[name] = "follows" if inherits else "wrong"
        if verdicts[name] in {"wrong", "follows"} or (verdicts[name] == "unknown" and inherits):
            reached.add(name)

    def nodes(names: Mapping[str, Step]) -> tuple[Node, ...]:
        return tuple(
            Node(name=name, label=name, verdict=verdicts[name], error=errors.get(name), title=f"{name} = {formula}")
            for name, (_, formula) in names.items()
        )

    edges = tuple(Edge(argument, name) for name, (arguments, _) in steps.items() for argument in arguments)
    return Graph(forward=nodes(FORWARD), backward=nodes(BACKWARD), edges=edges)


def staged_svg(report: Report) -> str:
    """The staged graph of a report as an SVG document; every quantity is unknown where nothing was compared."""
    return graph_svg(staged_graph(report.staged_errors)) + "\n"
