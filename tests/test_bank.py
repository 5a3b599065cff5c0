"""The bank of student files: each wrong one is wrong where its entry says, and right once its lines are repaired."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import get_args
from unittest.mock import patch

import numpy as np
import pytest

from bnbench.diagnose.cause import Quantity, Slip
from bnbench.model import Inputs, Options
from bnbench.reference import normalize

BANK = Path(__file__).parent / "bank"
MANIFEST = tomllib.loads((BANK / "bank.toml").read_text())
WRONG = {entry["file"]: entry for entry in MANIFEST["wrong"]}
UNFINISHED = [entry["file"] for entry in MANIFEST["unfinished"]]
CORRECT = sorted(path.relative_to(BANK).as_posix() for path in (BANK / "correct").glob("*.py"))

LIMIT = 1e-12
"""Largest error of a right answer, relative to the largest expected value: some thousand float64 roundings."""
FLAT, IMAGES = ((5, 3), (4, 6)), ((2, 6, 3, 5), (3, 4, 5, 2))
LAYERS = (("", "batch", FLAT), ("", "layer", FLAT), ("spatial_", "batch", IMAGES), ("spatial_", "group", IMAGES))
PLOTTING = {"matplotlib": SimpleNamespace(pyplot=None, cm=None), "matplotlib.pyplot": SimpleNamespace()}


def load(source):
    functions = {}
    with patch.dict(sys.modules, PLOTTING):
        exec(compile(source, "layers.py", "exec"), functions)  # noqa: S102
    return functions


def repaired(entry):
    lines = (BANK / entry["file"]).read_text().splitlines()
    for number, line in entry["fix"].items():
        lines[int(number) - 1] = line
    return "\n".join(lines) + "\n"


def draw(norm, shape, *, training, defaults):
    """Data of scale 0.1 with eps = 1e-2 given, or of scale 1.5 with a bn_param that holds nothing but the mode."""
    rng = np.random.default_rng(shape[0])
    channels, scale = shape[1], 1.5 if defaults else 0.1
    gamma, beta, running_mean, running_var = rng.uniform(0.5, 2.0, (4, channels))
    fresh = defaults and training
    options = Options(
        training=training,
        norm=norm,
        groups=2 if norm == "group" else 1,
        eps=1e-5 if defaults else 1e-2,
        momentum=0.1 if defaults else 0.3,
    )
    return Inputs(
        x=2 * scale + scale * rng.standard_normal(shape),
        gamma=gamma,
        beta=beta,
        running_mean=np.zeros(channels) if fresh else scale * running_mean,
        running_var=np.zeros(channels) if fresh else scale**2 * running_var,
        options=options,
    ), rng.standard_normal(shape)


def differs(got, expected):
    got = np.asarray(got)
    if got.dtype == object or got.shape != expected.shape:
        return True
    return not np.max(np.abs(got - expected)) <= LIMIT * max(1.0, np.max(np.abs(expected)))


def call(function, *arguments):
    """What a function answers, a tuple of nothing if it raises; and the faults seen from outside."""
    before = [a.copy() if isinstance(a, np.ndarray) else None for a in arguments]
    try:
        with np.errstate(all="ignore"):
            answer = function(*arguments)
    except Exception as error:  # noqa: BLE001  anything may come out of a student's file
        return (), {type(error).__name__}
    changed = any(b is not None and not np.array_equal(a, b) for a, b in zip(arguments, before, strict=True))
    return answer if isinstance(answer, tuple) else (), {"argument changed"} if changed else set()


def layer_faults(functions, prefix, norm, shape, *, training, defaults):
    """The faults of one layer on one draw, as (function, what is wrong)."""
    inputs, dy = draw(norm, shape, training=training, defaults=defaults)
    expected = normalize(inputs, dy)
    options = inputs.options
    wide = (1, -1, 1, 1) if norm == "group" else (-1,)  # the shape of gamma and beta in the course

    def forward():
        param = {} if defaults else {"eps": options.eps, "momentum": 1 - options.momentum}
        if norm == "batch":
            param["mode"] = "train" if training else "test"
            if not (defaults and training):
                param |= {"running_mean": inputs.running_mean.copy(), "running_var": inputs.running_var.copy()}
        arguments = [inputs.x.copy(), inputs.gamma.reshape(wide).copy(), inputs.beta.reshape(wide).copy()]
        arguments += [options.groups] if norm == "group" else []
        answer, seen = call(functions[name], *arguments, param)
        return answer, param, seen

    name = f"{prefix}{norm}norm_forward"
    answer, param, seen = forward()
    faults = {(name, what) for what in seen}
    compared = [(name, "y", answer[0] if answer else None, expected.y)]
    if norm == "batch":
        compared.append((name, "running_mean", param.get("running_mean"), expected.running_mean))
        compared.append((name, "running_var", param.get("running_var"), expected.running_var))
    for backward in (f"{prefix}{norm}norm_backward", f"{prefix}{norm}norm_backward_alt"):
        answer = forward()[0]  # a cache of its own, which the other may have changed
        if backward in functions and training and len(answer) == 2:
            gradients, seen = call(functions[backward], dy.copy(), answer[1])
            faults |= {(backward, what) for what in seen}
            right = expected.gradients[0]
            pairs = zip(gradients if len(gradients) == 3 else (None,) * 3, right, right._fields, strict=True)
            compared += [(backward, q, g, e if q == "dx" else e.reshape(wide)) for g, e, q in pairs]
    return faults | {(function, quantity) for function, quantity, got, e in compared if differs(got, e)}


def faults(source):
    """All that is wrong with a file, on two shapes of each layer and two settings, in both modes."""
    functions = load(source)
    return {
        fault
        for prefix, norm, shapes in LAYERS
        if f"{prefix}{norm}norm_forward" in functions
        for shape in shapes
        for defaults in (False, True)
        for training in ((True, False) if norm == "batch" else (True,))
        for fault in layer_faults(functions, prefix, norm, shape, training=training, defaults=defaults)
    }


def layer_of(function):
    return function.partition("norm_")[0]


@pytest.mark.parametrize("file", WRONG)
def test_a_wrong_file_is_wrong_in_the_function_of_its_entry_and_in_no_earlier_one(file):
    function = WRONG[file]["function"]
    wrong = {where for where, _ in faults((BANK / file).read_text())}
    assert function in wrong
    assert {layer_of(where) for where in wrong} == {layer_of(function)}
    if function.endswith("_alt"):
        assert wrong == {function}
    elif function.endswith("_backward"):
        assert not any(where.endswith("_forward") for where in wrong)


@pytest.mark.parametrize("file", WRONG)
def test_the_fix_of_a_wrong_file_makes_it_right(file):
    assert faults(repaired(WRONG[file])) == set()


@pytest.mark.parametrize("file", WRONG)
def test_an_entry_speaks_the_vocabulary_of_causes_and_points_at_lines_with_code(file):
    entry = WRONG[file]
    source = (BANK / file).read_text()
    assert entry["slip"]
    assert set(entry["slip"]) <= set(Slip)
    assert entry["quantity"]
    assert set(entry["quantity"]) <= set(get_args(Quantity))
    statements = {n.lineno for n in ast.walk(ast.parse(source)) if isinstance(n, ast.stmt)}
    assert entry["lines"]
    assert set(entry["lines"]) <= statements
    assert set(entry["lines"]) & {int(number) for number in entry["fix"]}
    assert entry["note"].endswith(".")


@pytest.mark.parametrize("file", CORRECT)
def test_a_correct_file_is_right_in_everything(file):
    assert faults((BANK / file).read_text()) == set()


def test_the_manifest_lists_every_file_and_the_bank_has_every_slip():
    assert sorted(WRONG) == sorted(f"wrong/{path.name}" for path in (BANK / "wrong").glob("*.py"))
    assert len(WRONG) == len(MANIFEST["wrong"]) >= 34
    assert {slip for entry in WRONG.values() for slip in entry["slip"]} == set(Slip)
    assert len(CORRECT) >= 12


def test_each_stage_of_the_unfinished_file_repairs_what_the_stage_before_is_charged_with():
    stages = [(BANK / file).read_text() for file in UNFINISHED]
    train = [
        {
            what
            for function, what in layer_faults(load(source), "", "batch", (5, 3), training=True, defaults=False)
            if function == "batchnorm_forward"
        }
        for source in stages
    ]
    assert train == [{"NameError", "y", "running_mean", "running_var"}, {"y", "running_var"}, {"y"}, set()]
    for before, after, entry in zip(stages, stages[1:], MANIFEST["unfinished"], strict=False):
        pairs = zip(before.splitlines(), after.splitlines(), strict=True)
        assert set(entry["lines"]) <= {n for n, (old, new) in enumerate(pairs, 1) if old != new}


@pytest.mark.parametrize("file", UNFINISHED)
def test_test_mode_and_backward_of_the_unfinished_file_answer_none(file):
    functions = load((BANK / file).read_text())
    x = np.ones((3, 2))
    assert functions["batchnorm_forward"](x, x[0], x[0], {"mode": "test"}) == (None, None)
    assert functions["batchnorm_backward"](x, ()) == (None, None, None)
