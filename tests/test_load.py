"""Running a module statement by statement: what raises costs itself alone."""

from __future__ import annotations

import ast
import sys
import textwrap
import traceback

import pytest

from bnbench.sandbox.child.load import OUTPUT_LIMIT, MissingImportError, load


def run(text, **options):
    return load(textwrap.dedent(text), "layers.py", **options)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise type('Odd', (BaseException,), {'__str__': lambda self: 1 / 0})", "Odd: (its message can't be read)"),
        ("return 3", "SyntaxError: 'return' outside function (layers.py, line 2)"),
        ("value = undefined + 1", "NameError: name 'undefined' is not defined"),
        ("raise ValueError('x' * 10000)", "ValueError: " + "x" * 488),
    ],
)
def test_a_statement_that_raises_costs_itself(statement, words):
    loaded = run(f"before = 1\n{statement}\nafter = 2\n")

    assert (loaded.namespace["before"], loaded.namespace["after"]) == (1, 2)
    assert [(problem.line, problem.text) for problem in loaded.problems] == [(2, words)]


def test_what_a_statement_would_have_defined_is_named():
    loaded = run("""\
        import gone

        @gone.jit
        def f(x):
            return x

        a, b = 1 / 0, 2
        """)

    assert [problem.lost for problem in loaded.problems] == [("f",), ("a", "b")]


def test_an_import_that_is_gone_is_missed_only_when_it_is_called():
    loaded = run("""\
        import os.path, gone.deep as g
        import gone.other
        from .layers import *
        from gone.im2col import col2im, im2col as unfold
        from math import sqrt, no_such_name

        style = gone.other.rcParams

        def f(x):
            return sqrt(x)

        def h(x):
            return unfold(x)
        """)

    assert loaded.problems == ()
    assert [(item.line, item.name) for item in loaded.missing] == [
        (1, "gone.deep"),
        (2, "gone.other"),
        (3, ".layers.*"),
        (4, "gone.im2col.col2im"),
        (4, "gone.im2col.im2col"),
        (5, "math.no_such_name"),
    ]
    assert loaded.namespace["f"](4) == 2
    with pytest.raises(MissingImportError, match=r"gone\.im2col\.im2col is called, but its import in line 4"):
        loaded.namespace["h"](4)
    assert "gone" not in sys.modules


def test_the_main_block_is_not_taken():
    loaded = run('ran = False\nif __name__ == "__main__":\n    ran = True\n')

    assert loaded.namespace["ran"] is False


def test_what_is_printed_is_kept_up_to_a_limit(capsys):
    loaded = run("import sys\nprint('hello')\nsys.stderr.write('x' * 10**6)\n")

    assert loaded.output.startswith("hello\nxxx")
    assert len(loaded.output) < OUTPUT_LIMIT + 20
    assert capsys.readouterr() == ("", "")


def test_tracebacks_show_the_lines_of_the_text():
    loaded = run("def f(x):\n    return x / 0  # here\n")

    with pytest.raises(ZeroDivisionError) as caught:
        loaded.namespace["f"](1)
    assert "return x / 0  # here" in "".join(traceback.format_exception(caught.value))


def test_a_transform_rewrites_the_tree():
    class Doubled(ast.NodeTransformer):
        def visit_Constant(self, node):
            return ast.Constant(node.value * 2)

    assert run("a = 21\n", transform=Doubled().visit).namespace["a"] == 42


def test_future_statements_hold_for_the_whole_file():
    loaded = run("from __future__ import annotations\ndef f(x: undefined): return x\n")

    assert loaded.problems == ()
    assert loaded.namespace["f"](3) == 3


def test_a_text_that_does_not_parse_is_one_problem():
    loaded = run("a = 1\nb = (\n")

    assert "a" not in loaded.namespace
    assert [problem.line for problem in loaded.problems] == [2]
    assert loaded.problems[0].text.startswith("SyntaxError: '(' was never closed")
