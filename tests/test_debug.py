"""``bnbench debug`` as a student runs it: exit codes, levels, hostile files, and pages that say what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bnbench.adapters.uw.compiler import find_compiler
from bnbench.debugging import diagnose_file
from bnbench.diagnose.hints import Hints
from bnbench.report.diagnosis import show
from bnbench.report.diagnosis_pages import diagnosis_html, diagnosis_json, diagnosis_markdown, diagnosis_schema

ROOT = Path(__file__).resolve().parent.parent
BANK = ROOT / "tests" / "bank"
HALF = BANK / "wrong" / "half_dropped.py"
needs_a_compiler = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")

RIGHT = """
import numpy as np
def layernorm_forward(x, gamma, beta, ln_param):
    eps = ln_param.get('eps', 1e-5)
    m = x.mean(axis=1, keepdims=True)
    s = np.sqrt(x.var(axis=1, keepdims=True) + eps)
    h = (x - m) / s
    return gamma * h + beta, (gamma, h, s)
def layernorm_backward(dout, cache):
    gamma, h, s = cache
    g = dout * gamma
    dx = (g - g.mean(axis=1, keepdims=True) - h * (g * h).mean(axis=1, keepdims=True)) / s
    return dx, (dout * h).sum(axis=0), dout.sum(axis=0)
"""


def debug(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "bnbench", "debug", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1"},
        **options,
    )


def test_a_right_file_exits_0(tmp_path):
    (tmp_path / "layers.py").write_text(RIGHT)
    result = debug(tmp_path / "layers.py")

    assert (result.returncode, result.stderr) == (0, "")
    assert "every function is right (2)" in result.stdout


def test_a_wrong_file_exits_1_with_line_reason_values_and_a_proven_correction():
    result = debug(HALF)

    assert result.returncode == 1
    for said in ("Line 37", "2 dvar", "a factor 1/2 is missing", "d sqrt(v) / dv", "should be", "+ d3 = 0.5 * d4"):
        assert said in result.stdout
    assert "With this change every output is right." in result.stdout
    assert "37 ✗ WRONG" in result.stdout
    assert "38 ↳ follows" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no/such/layers.py",), "no such file; expected a layers.py"),
        ((BANK,), "not a file"),
        ((BANK / "bank.toml",), "ends in neither .py, .ipynb nor .c"),
        ((Path(__file__),), "defines none of batchnorm_forward"),
        ((ROOT / "tests/plugins/raises_on_import.py",), "no such luck"),
        ((HALF, "--hints", "wher"), "did you mean where?"),
        ((HALF, "--layer", "layernrm"), "did you mean layernorm?"),
        ((HALF, "--layer", "layernorm"), "has no layer layernorm"),
        ((HALF, "--hints", "what", "--graph", "why.svg"), "use it with --hints where or how"),
        ((HALF, "--html", "no/such/folder/why.html"), "can't write there"),
        ((BANK / "uw/mean.c",), "no such file"),
    ],
)
def test_bad_input_exits_2_and_says_what_to_do(arguments, message):
    result = debug(*arguments)

    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("layers.ipynb", b"not a notebook", "layers.ipynb"),
        ("layers.py", b"\x00\xff\xfe garbage (((", "layers.py"),
        ("layers.py", b"", "defines none of batchnorm_forward"),
        ("prose.c", b"it is not C", "defines none of mean, variance"),
    ],
)
def test_a_file_that_is_nothing_of_the_kind_exits_2_without_a_traceback(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    result = debug(tmp_path / name)

    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_levels_hold_back_what_they_should():
    none, what, where = (
        debug(HALF, *options).stdout for options in (["--no-hints"], ["--hints", "what"], ["--hints", "where"])
    )

    assert "dx is wrong" in none
    assert "dvar" not in none
    assert "(dvar)" in what
    assert "d3" not in what
    assert "37" not in what
    assert "37 ✗ WRONG" in where
    assert "0.5 * d4" not in where


def test_the_json_holds_back_as_much_as_the_page_does():
    result = debug(HALF, "--hints", "what", "--json")
    read = json.loads(result.stdout)

    assert read["schema"] == "bnbench.diagnosis/1"
    assert [f["quantity"] for layer in read["layers"] for f in layer["findings"]] == ["dvar"]
    assert "d3" not in result.stdout
    assert read["layers"][0]["picture"] is None


def test_quiet_prints_nothing_and_exits_all_the_same():
    result = debug(HALF, "--quiet")

    assert (result.returncode, result.stdout, result.stderr) == (1, "", "")


def test_only_the_layer_that_was_asked_for_is_diagnosed():
    result = debug(BANK / "wrong" / "jacobian_diagonal.py", "--layer", "batchnorm")

    assert result.returncode == 0
    assert "layernorm" not in result.stdout


def test_what_a_file_prints_is_no_part_of_the_answer(tmp_path):
    noisy = RIGHT.replace("    m = x.mean", "    print('x is', x)\n    m = x.mean") + "\nprint('imported')\n"
    (tmp_path / "layers.py").write_text(noisy)
    result = debug(tmp_path / "layers.py", "--json")

    assert result.returncode == 0
    assert json.loads(result.stdout)["right"] is True


@pytest.mark.parametrize("name", ["[red]layers.py", "a\nb\x1b[2J.py", "<b onclick=x>.py", "-layers.py"])
def test_a_hostile_file_name_shows_and_does_nothing(tmp_path, name):
    (tmp_path / name).write_text(RIGHT.replace("/ s\n    return dx", "* s\n    return dx"))
    page = tmp_path / "why.html"
    result = debug("--html", page, "--", name, cwd=tmp_path)

    assert result.returncode == 1, result.stderr
    assert "\x1b" not in result.stdout + page.read_text()
    assert "<b onclick" not in page.read_text()
    assert result.stdout.splitlines()[0].endswith("1 of 2 functions are right")


def test_an_exception_text_that_would_act_is_only_shown(tmp_path):
    (tmp_path / "layers.py").write_text(
        "def batchnorm_forward(x, gamma, beta, bn_param):\n"
        "    excuse = '\\x1b[2J</pre><script>alert(1)</script>' + bn_param['mode']\n"
        "    raise ValueError(excuse)\n"
        "    return x * gamma\n"
    )
    result = debug("layers.py", "--html", "why.html", "--markdown", "why.md", cwd=tmp_path)

    assert result.returncode == 1
    assert "ValueError" in result.stdout
    for text in (result.stdout, (tmp_path / "why.html").read_text(), (tmp_path / "why.md").read_text()):
        assert "\x1b" not in text
    assert "<script>" not in (tmp_path / "why.html").read_text()


def test_a_plugin_is_diagnosed_from_its_answers_alone():
    result = debug(ROOT / "tests/plugins/broken_backward.py")

    assert result.returncode == 1
    assert "dx lacks the term through v" in result.stdout


@needs_a_compiler
def test_a_c_file_is_diagnosed_stage_by_stage():
    result = debug(BANK / "uw" / "delta_variance_half.c")

    assert result.returncode == 1
    assert "wrong  delta_variance" in result.stdout
    assert "right  normalize" in result.stdout
    assert "it must be -0.5" in " ".join(result.stdout.split())


@needs_a_compiler
def test_a_c_file_that_does_not_compile_gets_the_compilers_words():
    result = debug(BANK / "uw" / "not_compiling.c")

    assert result.returncode == 1
    assert "error: expected" in result.stdout
    assert "wrong  " not in result.stdout


@needs_a_compiler
def test_a_right_c_file_exits_0():
    assert debug(BANK / "uw" / "correct_helpers.c", "--quiet").returncode == 0


@pytest.fixture(scope="module")
def half():
    return diagnose_file(HALF)


def test_the_picture_marks_one_variable_and_what_follows_from_it(half):
    picture = half.layers[0].picture
    verdicts = {(node.label, node.line): node.verdict for node in picture.nodes}

    assert [key for key, verdict in verdicts.items() if verdict == "wrong"] == [("d3", 37)]
    assert verdicts["d4", 35] == "right"
    assert verdicts["d", 38] == verdicts["d", 39] == "follows"
    assert ("dgamma", 33) in {key for key, verdict in verdicts.items() if verdict == "right"}
    (wrong,) = (node for node in picture.nodes if node.verdict == "wrong")
    assert wrong.error == pytest.approx(1.0), "twice the right value is off by itself"


def test_an_edge_leads_from_what_a_variable_is_computed_from(half):
    picture = half.layers[0].picture
    names = {node.name: (node.label, node.line) for node in picture.nodes}
    edges = {(names[edge.source], names[edge.target]) for edge in picture.edges}

    assert (("d4", 35), ("d3", 37)) in edges
    assert (("foo4", 30), ("d3", 37)) in edges
    assert (("d4", 35), ("d", 36)) not in edges
    assert {node.label for node in picture.backward} >= {"dout", "d", "d3", "d4", "dgamma", "dbeta"}


def test_what_is_blamed_without_a_name_is_a_node_all_the_same():
    (layer,) = (x for x in diagnose_file(BANK / "wrong/spatial_reshape_without_transpose.py").layers if not x.right)
    (wrong,) = (node for node in layer.picture.nodes if node.verdict == "wrong")

    assert wrong.label == "x.reshape(-1, C)"
    assert {node.verdict for node in layer.picture.nodes if node.label == "out"} == {"follows"}


def test_a_right_run_is_drawn_without_a_mark(tmp_path):
    (tmp_path / "layers.py").write_text(RIGHT)
    (layer,) = diagnose_file(tmp_path / "layers.py").layers

    assert layer.picture.nodes
    assert {node.verdict for node in layer.picture.nodes} == {"right"}


def test_the_graph_option_writes_an_svg_of_the_run(tmp_path):
    result = debug(HALF, "--graph", tmp_path / "why.svg", "--quiet")

    assert result.returncode == 1
    text = "".join(ET.parse(tmp_path / "why.svg").getroot().itertext())  # noqa: S314 - our own
    assert "d3, line 37" in text
    assert "✗ wrong 1.0e+00" in text


def test_the_page_has_the_picture_and_nothing_from_elsewhere(half):
    page = diagnosis_html(show(half, Hints.HOW))

    assert page.count("<svg") == 1
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert "light-dark(" in page
    assert "<svg" not in diagnosis_html(show(half, Hints.WHAT))


def test_the_json_is_what_the_published_schema_says(half):
    jsonschema = pytest.importorskip("jsonschema")
    published = json.loads((ROOT / "docs" / "diagnosis.schema.json").read_text())

    assert published == diagnosis_schema()
    for level in Hints:
        jsonschema.validate(json.loads(diagnosis_json(show(half, level))), published)


def test_the_markdown_has_the_correction_as_a_diff(half):
    text = diagnosis_markdown(show(half, Hints.HOW))

    assert "```diff\n@@ line 37 @@\n- d3 = d4 / foo4\n+ d3 = 0.5 * d4 / foo4\n```" in text
    assert "```diff" not in diagnosis_markdown(show(half, Hints.WHERE))


def test_what_two_layers_share_is_told_once():
    shown = show(diagnose_file(BANK / "wrong" / "eps_missing_in_train.py"), Hints.HOW)
    first, second = shown.layers

    assert first.findings
    assert not second.findings
    assert second.note == "The same as in batchnorm above."


def test_an_argument_that_is_overwritten_is_a_finding_though_every_answer_is_right():
    result = debug(BANK / "wrong" / "overwrites_its_input.py")

    assert result.returncode == 1
    assert "something is to be mended all the same" in " ".join(result.stdout.split())


def test_what_does_not_parse_is_lost_and_what_is_not_there_is_absent(tmp_path):
    (tmp_path / "layers.py").write_text("def batchnorm_forward(x, g\n")
    result = debug(tmp_path / "layers.py")

    assert result.returncode == 1
    assert "absent  batchnorm_backward: not in this file" in result.stdout
    assert "lost  batchnorm_forward, line 1" in result.stdout
    assert "Every line" not in result.stdout  # none was run


def test_statistics_of_the_other_mode_are_shown_beside_those_that_belong_there(tmp_path):
    path = tmp_path / "layers.py"
    path.write_text("""
import numpy as np
def batchnorm_forward(x, gamma, beta, bn_param):
    eps, keep = bn_param.get("eps", 1e-5), bn_param.get("momentum", 0.9)
    mu, var = x.mean(axis=0), x.var(axis=0)
    if bn_param["mode"] == "train":
        bn_param["running_mean"] = keep * bn_param.get("running_mean", 0 * mu) + (1 - keep) * mu
        bn_param["running_var"] = keep * bn_param.get("running_var", 0 * mu) + (1 - keep) * var
    return gamma * (x - mu) / np.sqrt(var + eps) + beta, None
""")
    [layer] = diagnose_file(path).layers
    suspect = layer.suspects[0]

    assert (suspect.line, suspect.quantity, suspect.slip) == (5, "mu", "mode")
    assert all(abs(element.got - element.right) > 0.1 for element in suspect.elements)
    assert suspect.elements
