"""A student's file from disk to verdicts: the odd ones of real life."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bnbench.adapters.submission import open_submission
from bnbench.checks import ALL_CHECKS
from bnbench.model import Case, Status
from bnbench.registry import discover
from bnbench.runner import execute, load, plan

RIGHT = (Path(__file__).parent / "submissions" / "layers.py").read_text()
CASE = Case(shape=(9, 5))

PYTHON_2 = RIGHT.replace("    N = dout.shape[0]\n", '    N = dout.shape[0]\n    print "N is", N\n')
CONFLICT = RIGHT + "\n\n<<<<<<< HEAD\ndef conv(x):\n    return 1\n=======\ndef conv(x):\n    return 2\n>>>>>>> mine\n"
BROKEN_CONV = "def conv_forward_naive(x, w):\n    out = np.zeros((1, 2)\n    return out\n\n\n" + RIGHT
GONE = (
    "from builtins import range\nfrom past.builtins import xrange\nimport matplotlib.pyplt as plt\n"
    "from cs231n.fast_layers import *\nfrom .im2col import im2col\nfrom numpy.testing.gone import nothing\n"
    "plt.rcParams = 3\n" + RIGHT.replace("D = x.shape[1]", "D = np.int(np.product(x.shape[1:]))")
)
PRINTS = "print('x' * 10**6)\n" + RIGHT
EXITS = RIGHT + "\nraise SystemExit(0)\n"
TABS = RIGHT.replace("    dx_hat = dout * gamma\n", "\tdx_hat = dout * gamma\n")


def opened(tmp_path, text, name="layers.py"):
    (tmp_path / name).write_text(text)
    return open_submission(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (PYTHON_2, "line 35: print statement of Python 2, read as a call"),
        (CONFLICT, "line 103: merge conflict in lines 103 to 109"),
        (BROKEN_CONV, "line 2: does not parse: '(' was never closed"),
        (GONE, "line 2: past.builtins.xrange can't be imported here; only a call of it would fail"),
        (GONE, "line 17: np.product was removed from NumPy, read as np.prod"),
        (EXITS, "line 102: SystemExit: 0"),
        (TABS, "line 37: tabs and spaces mixed in the indentation, a tab read as 4 columns"),
        (PRINTS, ""),
    ],
    ids=["python_2", "conflict", "broken_conv", "gone", "numpy", "exits", "tabs", "prints"],
)
def test_an_odd_file_keeps_its_points(tmp_path, capsys, text, words):
    submission = opened(tmp_path, text)
    subjects = load(submission.implementations).subjects
    findings = list(execute(plan(subjects, [CASE], ALL_CHECKS), subjects))

    assert not words or words in submission.words
    assert {f.implementation for f in findings if f.status is Status.PASSED} >= {
        "layers.batchnorm",
        "layers.batchnorm_alt",
    }
    assert {f.status for f in findings} == {Status.PASSED, Status.SKIPPED}
    assert capsys.readouterr() == ("", "")


def test_a_notebook_is_opened_like_a_file(tmp_path):
    cells = [{"cell_type": "code", "source": "%load_ext x\n1 / 0"}, {"cell_type": "code", "source": RIGHT}]
    submission = opened(tmp_path, json.dumps({"cells": cells}), "hw.ipynb")

    assert [i.name for i in submission.implementations][:2] == ["hw.batchnorm", "hw.batchnorm_alt"]
    assert "cell 1, line 2: ZeroDivisionError: division by zero" in submission.words


UNFINISHED = """\
import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    out = gamma * (x - x.mean(0)) / np.sqrt(x.var(0) + bn_param.get("eps", 1e-5)) + beta
    return out, None


def batchnorm_backward(dout, cache):
    dx, dgamma, dbeta = None, None, None
    return dx, dgamma, dbeta


def batchnorm_backward_alt(dout, cache):
    pass


def layernorm_forward(x, gamma, beta, ln_param):
    raise NotImplementedError


def layernorm_backward(dout, cache):
    return dout, None, None


def spatial_batchnorm_forward(x, gamma, beta, bn_param):
    return (x
"""


def test_each_function_has_its_own_state(tmp_path):
    submission = opened(tmp_path, UNFINISHED)
    loaded = load(submission.implementations)
    findings = {f.check: f for f in execute(plan(loaded.subjects, [CASE], ALL_CHECKS), loaded.subjects)}

    assert [i.name for i in submission.implementations] == ["layers.batchnorm", "layers.spatial_batchnorm"]
    assert {
        "batchnorm_backward (line 9) is not implemented yet",
        "batchnorm_backward_alt (line 14) is not implemented yet",
        "layernorm_forward (line 18) is not implemented yet",
        "layernorm_backward has no layernorm_forward, and can't be tested without",
    } <= set(submission.words)
    assert "batchnorm_backward is not implemented yet" in findings["BN101"].reason
    (broken,) = loaded.broken
    assert broken.source == "layers.spatial_batchnorm"
    assert "spatial_batchnorm_forward was lost: line 27: does not parse" in broken.error


def test_the_plugin_option_takes_a_file_of_cs231n(tmp_path):
    (tmp_path / "layers.py").write_text(PYTHON_2)
    registry = discover([tmp_path / "layers.py"])

    assert registry.broken == ()
    assert registry.from_paths[0] == "layers.batchnorm"
    assert len(registry.from_paths) == 5


def test_a_starter_as_a_plugin_is_refused_in_words(tmp_path):
    (tmp_path / "layers.py").write_text("def batchnorm_forward(x, gamma, beta, bn_param):\n    pass\n")
    (broken,) = discover([tmp_path / "layers.py"]).broken

    assert broken.error == "batchnorm_forward (line 1) is not implemented yet"


def test_a_plugin_that_declares_an_implementation_stays_one(tmp_path):
    (tmp_path / "mine.py").write_text("def batchnorm_forward(): pass\nimplementation = 3\n")
    (broken,) = discover([tmp_path / "mine.py"]).broken

    assert broken.error.startswith("expected an attribute implementation")
