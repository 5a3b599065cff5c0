"""Alike is what differs in comments, layout and the choice of names alone."""

from __future__ import annotations

import json

import pytest

from bnbench.grading.tokens import token_hash

PYTHON = b'''
import numpy as np

def batchnorm_forward(x, gamma, beta, bn_param):
    """Normalize."""
    mu = x.mean(axis=0)  # the mean
    var = ((x - mu) ** 2).mean(axis=0)
    return gamma * (x - mu) / np.sqrt(var + 1e-5) + beta, None
'''
RENAMED = b"""
import numpy as np
# my very own work
def batchnorm_forward(inp, gamma, beta, bn_param):
    m = inp.mean( axis = 0 )
    v = (
        (inp - m)**2
    ).mean(axis=0)
    return gamma*(inp - m)/np.sqrt(v + 1e-5) + beta, None
"""
C = b"matrix variance(matrix x, matrix m) { int i; for (i = 0; i < x.rows; ++i) { v[i] += x[i]; } return v; }"


def test_comments_layout_docstrings_and_names_make_no_difference():
    assert token_hash(PYTHON, "layers.py") == token_hash(RENAMED, "layers.py") != ""


@pytest.mark.parametrize(
    ("old", "new"), [(b"1e-5", b"1e-3"), (b".mean(", b".sum("), (b"- mu", b"+ mu"), (b"sqrt(var", b"sqrt(mu")]
)
def test_what_computes_otherwise_is_another(old, new):
    assert token_hash(PYTHON.replace(old, new), "layers.py") != token_hash(PYTHON, "layers.py")


def test_c_is_read_as_c():
    renamed = C.replace(b"v", b"w").replace(b"{", b"{ /* here */\n")

    assert token_hash(C, "batchnorm_layer.c") == token_hash(renamed.replace(b"wariance", b"variance"), "b.c") != ""


def test_a_notebook_is_its_code():
    def notebook(source, count):
        cells = [{"cell_type": "code", "source": source.decode(), "execution_count": count}]
        return json.dumps({"cells": cells}).encode()

    assert token_hash(notebook(PYTHON, 1), "a.ipynb") == token_hash(notebook(RENAMED, 7), "b.ipynb") != ""


@pytest.mark.parametrize("data", [b"", b"x = 1\n", b"# nothing\n" * 99])
def test_files_of_hardly_anything_are_alike_with_nobody(data):
    assert token_hash(data, "layers.py") == ""


@pytest.mark.parametrize("data", [bytes(range(256)) * 40, b"def f(:\n" * 50, b"{" * 300])
def test_nonsense_has_tokens_too(data):
    assert token_hash(data, "layers.py") == token_hash(data, "layers.py")
    assert token_hash(data, "n.ipynb") == ""
