"""Handed-in files as text: what is repaired, what is lost, and that line numbers stay."""

from __future__ import annotations

import ast
import json
import random
import textwrap

import pytest

from bnbench.adapters.source import read_source


def read(text, name="layers.py"):
    source = read_source(textwrap.dedent(text).encode(), name)
    ast.parse(source.text)
    return source


def said(source):
    return [source.words(item) for item in (*source.repairs, *source.problems)]


def names(source):
    return [function.name for function in source.functions]


BROKEN = """\
    import numpy as np

    def before(x):
        return x

    {}

    def after(x):
        return x
    """


@pytest.mark.parametrize(
    ("lines", "lost"),
    [
        ("def conv(x):\n        y = (x +\n        for i in range(3):\n            y += 1\n        return y", ("conv",)),
        ("def conv(x):\n        return x +", ("conv",)),
        ("def conv(x)\n        return x", ("conv",)),
        ("def conv(x):\n        a = 1\n          b = 2\n        return a", ("conv",)),
        ('def conv(x):\n        """No end\n        return x', ("conv",)),
        ("class Layer:\n        def f(self:\n            pass", ("Layer", "f")),
        ("weights = [1, 2", ()),
    ],
)
def test_a_broken_statement_costs_itself_alone(lines, lost):
    text = BROKEN.format(lines)
    source = read(text)

    assert {"before", "after"} <= set(names(source))
    assert "conv" not in names(source)
    assert {name for problem in source.problems for name in problem.lost} <= set(lost)
    assert source.problems[0].text.startswith("does not parse: ")
    assert 6 <= source.problems[0].line <= 11
    assert source.text.count("\n") == text.count("\n")
    after = next(function for function in source.functions if function.name == "after")
    assert source.text.split("\n")[after.line - 1] == "def after(x):"
    assert text.split("\n")[after.line - 1].strip() == "def after(x):"


def test_an_indented_definition_is_named_among_what_is_lost():
    source = read("import numpy as np\n  def conv(x):\n      return x\ndef after(x):\n    return x\n")

    assert names(source) == ["after"]
    assert [problem.lost for problem in source.problems] == [("conv",)]


def test_a_file_that_parses_is_left_as_it_is():
    text = "import numpy as np\n\ndef f(x):\n\treturn np.mean(x)  # xrange, np.float\n"

    source = read(text)

    assert source.text == text
    assert said(source) == []
    assert (source.functions[0].line, source.functions[0].end_line) == (3, 4)


def test_python_2_is_read_as_python_3_line_by_line():
    source = read("""\
        def f(x):
            print "mean", x.mean()
            try:
                if x.ndim <> 2:
                    raise ValueError, "rank"
            except ValueError, e:
                print `e`
            for i in xrange(3):
                print i,
            return x
        """)

    assert source.problems == ()
    assert said(source) == [
        "line 2: print statement of Python 2, read as a call",
        "line 4: '<>' of Python 2, read as '!='",
        "line 5: 'raise E, message' of Python 2, read as 'raise E(message)'",
        "line 6: 'except E, e' of Python 2, read as 'except E as e'",
        "line 7: backticks of Python 2, read as repr()",
        "line 7: print statement of Python 2, read as a call",
        "line 8: xrange of Python 2, read as range",
        "line 9: print statement of Python 2, read as a call",
    ]
    assert source.text.split("\n")[1] == '    print("mean", x.mean())'


def test_python_2_beside_a_broken_function_is_repaired_still():
    source = read("def f(x):\n    print x\n    return x\n\ndef g(x):\n    return (x\n")

    assert names(source) == ["f"]
    assert said(source)[0] == "line 2: print statement of Python 2, read as a call"
    assert source.problems[0].lost == ("g",)


def test_python_2_with_the_function_print_is_read_as_well():
    source = read("def f(x):\n    try:\n        return x\n    except ValueError, e:\n        print('a', end='')\n")

    assert said(source) == ["line 4: 'except E, e' of Python 2, read as 'except E as e'"]


@pytest.mark.parametrize(
    ("columns", "text"),
    [(8, "def f(x):\n        if x:\n\t    y = 1\n\treturn x\n"), (4, "def f(x):\n    y = 1\n\treturn x\n")],
)
def test_mixed_tabs_are_read_as_the_columns_that_fit(columns, text):
    source = read(text)

    assert names(source) == ["f"]
    assert f"a tab read as {columns} columns" in said(source)[0]
    assert "\t" not in source.text


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xef\xbb\xbfx = 1\n", ["layers.py: begins with a byte order mark, left out"]),
        (b"# Universit\xe9\nx = 1\n", ["layers.py: not encoded as UTF-8, read as Latin-1"]),
        (b"x = 1\r\ny = 2\r\n", ["layers.py: line ends of another system (CR), read as line ends"]),
        (b"x = 1\ry = 2\r", ["layers.py: line ends of another system (CR), read as line ends"]),
        ("x = 1\n".encode("utf-16"), ["layers.py: encoded as UTF-16, read as such"]),
        (b"x = 1\0\n", ["layers.py: holds NUL characters, read as spaces"]),
    ],
)
def test_other_encodings_are_read(data, words):
    source = read_source(data, "layers.py")

    assert "x = 1" in source.text
    assert said(source) == words
    ast.parse(source.text)


def test_names_that_numpy_removed_are_rewritten_where_they_are_numpys():
    source = read("""\
        import numpy as N
        a, b = N.float(1), N.product([2]) + N.product([3])
        c = other.float(1)
        é = (N.bool, N.NINF)
        """)

    lines = source.text.split("\n")
    assert lines[1] == "a, b = float(1), N.prod([2]) + N.prod([3])"
    assert lines[2] == "c = other.float(1)"
    assert lines[3] == "é = (bool, (-N.inf))"
    assert "line 2: N.float was removed from NumPy, read as float" in said(source)


CONFLICT = """\
def a(x):
    return x
<<<<<<< HEAD
def b(x):
    return 1
=======
def b(x):
    return 2
>>>>>>> other
def c(x):
    y = 1
<<<<<<< HEAD
    y = 2
=======
    y = 3
>>>>>>> other
    return y
def d(x):
    return x
<<<<<<< HEAD
=======
>>>>>>> other
"""


def test_a_merge_conflict_costs_the_functions_that_it_touches():
    source = read(CONFLICT)

    assert names(source) == ["a", "d"]
    assert [problem.lost for problem in source.problems] == [("b",), ("c",)]
    assert said(source) == [
        "line 20: merge-conflict marker between statements, left out",
        "line 3: merge conflict in lines 3 to 9",
        "line 12: merge conflict in lines 12 to 16",
    ]


def test_a_line_under_a_heading_is_no_conflict():
    text = '"""\nTitle\n=======\n"""\n'

    assert read(text).text == text


def test_a_notebook_is_its_code_cells_and_lines_are_told_by_cell():
    cells = [
        {"cell_type": "code", "source": ["%matplotlib inline\n", "import numpy as np\n", "!ls\n"]},
        {"cell_type": "markdown", "source": "text"},
        {"cell_type": "code", "source": "%%bash\necho 'not python"},
        {"cell_type": "code", "source": "def f(x):\n    print x\n    return x"},
    ]
    source = read_source(json.dumps({"cells": cells, "nbformat": 4}).encode(), "hw.ipynb")

    assert names(source) == ["f"]
    assert source.place(source.functions[0].line) == "cell 3, line 1"
    assert said(source) == [
        "cell 1, line 1: command of the notebook, left out: %matplotlib inline",
        "cell 1, line 3: command of the notebook, left out: !ls",
        "cell 2, line 1: command of the notebook, left out: %%bash",
        "cell 3, line 2: print statement of Python 2, read as a call",
    ]
    ast.parse(source.text)


@pytest.mark.parametrize("data", [b"not json", b"[]", b'{"cells": [{}]}', b'{"cells": 3}'])
def test_what_is_no_notebook_is_refused(data):
    with pytest.raises(ValueError, match="not a notebook"):
        read_source(data, "hw.ipynb")


def test_whatever_the_bytes_something_is_read():
    rng = random.Random(0)  # noqa: S311 - no secret
    alphabet = [
        b"def f(x):\n",
        b"    return x\n",
        b"(",
        b"'''",
        b"<<<<<<< A\n",
        b">>>>>>> B\n",
        b"\t",
        b" ",
        b"\xff",
        b"\\\n",
    ]
    for _ in range(200):
        data = b"".join(rng.choices(alphabet, k=12))
        source = read_source(data, "layers.py")
        ast.parse(source.text)
        assert source.text.count("\n") == data.count(b"\n")


STARTER = """\
def batchnorm_forward(x, gamma, beta, bn_param):
    \"\"\"Forward pass.\"\"\"
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    N, D = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    out, cache = None, None
    if mode == 'train':
        # your code here
        pass
    elif mode == 'test':
        pass
    else:
        raise ValueError('Invalid mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    return out, cache
"""


@pytest.mark.parametrize(
    ("text", "unimplemented"),
    [
        (STARTER, True),
        ("def f(x):\n    pass\n", True),
        ("def f(x):\n    ...\n", True),
        ("def f(x):\n    raise NotImplementedError('f' % ())\n", True),
        ("def f(x):\n    dx, dgamma = None, None\n    return dx, dgamma\n", True),
        ("def f(x):\n    out = None\n    return out\n", True),
        ("def f(x):\n    return x\n", False),
        ("def f(x):\n    out = None\n    ouput = x + 1\n    return out\n", False),
        ("def f(x):\n    out = None\n    out = g(x)\n    return out\n", False),
        ("def f(x):\n    return undefined\n", False),
        (STARTER.replace("        pass\n    elif", "        out = x - x.mean(0)\n    elif"), False),
    ],
)
def test_a_starter_is_recognized(text, unimplemented):
    assert [function.unimplemented for function in read(text).functions] == [unimplemented]
