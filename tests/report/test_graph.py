"""The drawing of a computation graph: what it says, and that nothing in it collides."""

import os
import subprocess
import sys
from itertools import combinations
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import vl_convert
from bnbench.implementations.numpy_staged import GRAPH
from hypothesis import given, settings
from hypothesis import strategies as st

from bnbench.diagnose.cause import Quantity
from bnbench.model import Inputs, Options
from bnbench.reference import normalize
from bnbench.report.graph import Edge, Graph, Node, graph_svg
from bnbench.report.layout import layered
from bnbench.report.staged_graph import BACKWARD, FORWARD, staged_graph

SVG = "{http://www.w3.org/2000/svg}"
COMPUTED = [name for name, step in {**FORWARD, **BACKWARD}.items() if step.arguments]
RIGHT = dict.fromkeys(COMPUTED, 2e-16)

PLAIN = st.just("a")
VERDICTS = st.sampled_from(["right", "wrong", "follows", "unknown"])
HOSTILE = st.text(alphabet=st.characters(), max_size=40)  # also controls, lone surrogates and markup


@st.composite
def graphs(draw, label=PLAIN):
    count = draw(st.integers(0, 14))
    nodes = [
        Node(
            name=f"n{i}",
            label=draw(label),
            line=draw(st.none() | st.integers(1, 9999)),
            verdict=draw(VERDICTS),
            error=draw(st.none() | st.floats()),
            title=draw(label),
        )
        for i in range(count)
    ]
    split = draw(st.integers(0, count))
    names = st.sampled_from([node.name for node in nodes] or ["none"])
    edges = draw(st.lists(st.builds(Edge, names, names), max_size=2 * count)) if count else []
    return Graph(forward=tuple(nodes[:split]), backward=tuple(nodes[split:]), edges=tuple(edges))


def drawn(graph):
    return ET.fromstring(graph_svg(graph))  # noqa: S314 - our own text


def nodes_of(svg):
    return [group for group in svg.iter(f"{SVG}g") if group.get("class", "").startswith("node ")]


def rectangle(group):
    rect = group.find(f"{SVG}rect")
    left, top, width, height = (float(rect.get(key)) for key in ("x", "y", "width", "height"))
    return left, top, left + width, top + height


def apart(a, b):
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def verdicts(errors):
    return {node.name: node.verdict for node in staged_graph(errors).nodes}


@settings(max_examples=60, deadline=None)
@given(graphs(label=HOSTILE))
def test_whatever_names_contain_the_drawing_is_well_formed_and_has_them_all(graph):
    svg = drawn(graph)

    assert svg.tag == f"{SVG}svg"
    assert len(nodes_of(svg)) == len(graph.nodes)
    assert float(svg.get("width")) <= 900


def test_a_name_cannot_add_elements_to_the_drawing():
    hostile = "</title></svg><script>alert(1)</script>&\x00"
    svg = drawn(Graph(forward=(Node(name="a", label=hostile, title=hostile),)))

    assert not list(svg.iter(f"{SVG}script"))
    assert nodes_of(svg)[0].find(f"{SVG}title").text.startswith(r"</title></svg><script>alert(1)</script>&\x00")


@settings(max_examples=80, deadline=None)
@given(graphs())
def test_no_two_boxes_overlap(graph):
    boxes = [rectangle(group) for group in nodes_of(drawn(graph))]

    assert all(apart(a, b) for a, b in combinations(boxes, 2))


@settings(max_examples=80, deadline=None)
@given(graphs())
def test_an_arrow_passes_beside_the_boxes_of_a_layer(graph):
    names = {node.name: 60.0 for node in graph.nodes}
    layout = layered(names, [edge for edge in graph.edges if edge.source != edge.target], height=40)

    for points in layout.lanes.values():
        for x, y in points:
            assert not any(b.left < x < b.right and b.top < y < b.bottom for b in layout.boxes.values())


def test_forward_leads_downwards_and_backward_upwards():
    graph = staged_graph(RIGHT)
    boxes = dict(zip((node.name for node in graph.nodes), map(rectangle, nodes_of(drawn(graph))), strict=True))

    for source, target in graph.edges:
        if source in FORWARD and target in FORWARD:
            assert boxes[source][3] < boxes[target][1]
        elif source in BACKWARD:
            assert boxes[source][1] > boxes[target][3]
        else:
            assert boxes[source][2] < boxes[target][0], "the backward pass stands beside the forward pass"


def test_the_same_graph_gives_the_same_bytes_in_every_process():
    program = (
        "from bnbench.report.graph import graph_svg; from bnbench.report.staged_graph import staged_graph;"
        "print(graph_svg(staged_graph({'dvar': 1.0})), end='')"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            check=True,
            capture_output=True,
            encoding="utf-8",
        ).stdout
        for seed in ("1", "2")
    }

    assert texts == {graph_svg(staged_graph({"dvar": 1.0}))}


def test_a_verdict_is_a_sign_and_a_word_and_its_error_a_number():
    svg = drawn(staged_graph(RIGHT | {"dsd": 0.5, "dvar": 0.5}))
    texts = {node[2][0].text: (node.get("class"), node[3].text) for node in nodes_of(svg)}

    assert texts["dsd"] == ("node wrong", "✗ wrong 5.0e-01")
    assert texts["dvar"] == ("node follows", "↳ follows 5.0e-01")
    assert texts["mu"] == ("node right", "✓ right 2.0e-16")


def test_a_node_says_its_line_and_a_long_label_is_cut_but_for_the_tooltip():
    label = "np.sum(dxhat * xmu, axis=0) * -1"
    node = nodes_of(drawn(Graph(backward=(Node(name="a", label=label, line=21),))))[0]

    assert node[2][0].text == "np.sum(dxhat * xmu, axi…, line 21"
    assert node.find(f"{SVG}title").text.splitlines()[:2] == [label, "line 21"]


def test_a_wide_graph_is_scaled_to_the_page():
    nodes = tuple(Node(name=str(i), label="a quantity of some name") for i in range(12))
    svg = drawn(Graph(forward=nodes))
    _, _, width, height = (float(number) for number in svg.get("viewBox").split())

    assert width > 900
    assert float(svg.get("width")) == 900
    assert float(svg.get("height")) == pytest.approx(height * 900 / width, abs=0.1)


def test_an_edge_is_drawn_once_and_none_to_itself():
    nodes = (Node(name="a", label="a"), Node(name="b", label="b"))
    svg = drawn(Graph(forward=nodes, edges=(Edge("a", "b"), Edge("a", "b"), Edge("b", "b"))))

    assert [group.find(f"{SVG}title").text for group in svg.iter(f"{SVG}g") if "arrow" in group.get("class", "")] == [
        "a → b (unknown)"
    ]


def test_a_graph_with_two_nodes_of_one_name_or_a_loose_edge_is_refused():
    node = Node(name="a", label="a")

    with pytest.raises(ValueError, match="one name"):
        Graph(forward=(node,), backward=(node,))
    with pytest.raises(ValueError, match="no node: b"):
        Graph(forward=(node,), edges=(Edge("a", "b"),))


def test_a_renderer_reads_it():
    light = vl_convert.svg_to_png(graph_svg(staged_graph(RIGHT)))
    red = vl_convert.svg_to_png(graph_svg(staged_graph(RIGHT | {"dvar": 1.0})))

    assert light.startswith(b"\x89PNG")
    assert light != red


def test_the_staged_graph_is_the_one_that_numpy_staged_computes():
    assert {node.name: node.arguments for node in GRAPH} == {
        name: step.arguments for name, step in FORWARD.items() if step.arguments
    }
    assert {*FORWARD, *BACKWARD} <= set(Quantity.__args__)


def test_the_formulas_of_the_staged_graph_compute_batch_norm():
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, 7, 3))
    gamma, beta, zero = rng.normal(size=3), rng.normal(size=3), np.zeros(3)
    values = {"x": x, "gamma": gamma, "beta": beta, "eps": 1e-2, "dy": dy, "M": 7, "sqrt": np.sqrt}
    values |= {"mean": lambda a: a.mean(0), "sum": lambda a: a.sum(0)}
    for name, (arguments, formula) in {**FORWARD, **BACKWARD}.items():
        if arguments:
            known = {key: values[key] for key in (*arguments, "M", "sqrt", "mean", "sum")}
            values[name] = eval(formula, known)  # noqa: S307 - our own table
    inputs = Inputs(x=x, gamma=gamma, beta=beta, running_mean=zero, running_var=zero, options=Options(eps=1e-2))
    truth = normalize(inputs, dy)

    np.testing.assert_allclose(values["y"], truth.y, rtol=0, atol=1e-13)
    for name in ("dx", "dgamma", "dbeta"):
        np.testing.assert_allclose(values[name], getattr(truth.gradients[0], name), rtol=0, atol=1e-13)


@pytest.mark.parametrize("error", [1e-6, 1.0, np.inf, np.nan])
def test_the_first_error_is_wrong_and_the_others_follow(error):
    found = verdicts(RIGHT | dict.fromkeys(("dvar", "dsq", "dxc", "dx"), error))

    assert found["dvar"] == "wrong"
    assert [found[name] for name in ("dsq", "dxc", "dx")] == ["follows"] * 3
    assert found["dmu"] == found["dgamma"] == "right"


def test_an_error_of_the_forward_pass_is_followed_by_the_backward_pass():
    found = verdicts(RIGHT | {"sd": 0.1, "inverse_sd": 0.1, "x_hat": 0.1, "dgamma": 0.1, "dbeta": 0.1})

    assert (found["sd"], found["dgamma"], found["dbeta"]) == ("wrong", "follows", "wrong")


def test_an_error_is_followed_through_what_was_not_compared():
    found = verdicts({"mu": 0.5, "sq": 0.5})

    assert (found["mu"], found["xc"], found["sq"]) == ("wrong", "unknown", "follows")
    assert (found["x"], found["dy"]) == ("right", "right"), "they are given"
