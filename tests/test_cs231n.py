"""The layers of cs231n behind the boundary: right files pass every check, odd ones are told apart."""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnbench.adapters.cs231n import EmptyBatchError, NoBackwardError
from bnbench.adapters.cs231n_answers import AnswerShapeError, AnswerTypeError
from bnbench.adapters.submission import open_submission
from bnbench.cases import draw, draw_cotangent, grid
from bnbench.checks import ALL_CHECKS
from bnbench.model import Case, Status
from bnbench.reference import normalize
from bnbench.runner import execute, load, plan

RIGHT = Path(__file__).parent / "submissions" / "layers.py"
CASES = {
    "batchnorm": Case(shape=(9, 5)),
    "batchnorm_alt": Case(shape=(9, 5)),
    "layernorm": Case(shape=(7, 9), norm="layer"),
    "spatial_batchnorm": Case(shape=(3, 5, 2, 4)),
    "spatial_groupnorm": Case(shape=(2, 6, 3, 3), norm="group", groups=3),
}
NAMES = [f"layers.{name}" for name in CASES]


def opened(tmp_path, text=None, *edits):
    """A submission with this text, by default the right file with some lines replaced."""
    text = RIGHT.read_text() if text is None else textwrap.dedent(text)
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "layers.py").write_text(text)
    return open_submission(tmp_path / "layers.py")


def findings(submission, cases=None):
    subjects = load(submission.implementations).subjects
    return list(execute(plan(subjects, cases or grid(), ALL_CHECKS), subjects))


def kernel(submission, name="batchnorm"):
    loaded = load(submission.implementations)
    return next(subject.kernel for subject in loaded.subjects if subject.name == f"layers.{name}")


def called(submission, name, *, training=True):
    """The answer to one call of the case of a layer, with one cotangent."""
    case = CASES[name]
    return kernel(submission, name)(draw(replace(case, training=training)), draw_cotangent(case))


def wrong_of(submission, name):
    """The checks of the case of a layer that this layer does not pass."""
    own = [f for f in findings(submission, [CASES[name]]) if f.implementation == f"layers.{name}"]
    assert own
    return {f.check for f in own if f.status in {Status.FAILED, Status.ERRORED}}


PLAIN_GAMMA = (
    ("return gamma * x_hat + beta, (x_hat, sd, gamma, G)",
     "return gamma[:, None, None] * x_hat + beta[:, None, None], (x_hat, sd, gamma[:, None, None], G)"),
    ("axis=(0, 2, 3), keepdims=True)", "axis=(0, 2, 3))"),
)  # fmt: skip
KEPT_AXES = (
    ("np.mean(xc**2, axis=0)", "np.mean(xc**2, axis=0, keepdims=True)"),
    ("mu = x.mean(axis=0)", "mu = x.mean(axis=0, keepdims=True)"),
    ("dgamma = np.sum(dout * x_hat, axis=0)", "dgamma = np.sum(dout * x_hat, axis=0, keepdims=True)"),
)
DICTIONARY = (
    ("cache = (xc, sd, x_hat, gamma)", "cache = bn_param; bn_param.update(xc=xc, sd=sd, x_hat=x_hat, gamma=gamma)"),
    ("xc, sd, x_hat, gamma = cache\n", "xc, sd, x_hat, gamma = map(cache.get, ('xc', 'sd', 'x_hat', 'gamma'))\n"),
    ("    _, sd, x_hat, gamma = cache\n", "    sd, x_hat, gamma = (cache[k] for k in ('sd', 'x_hat', 'gamma'))\n"),
)  # fmt: skip
LOUD = (("    mode = bn_param", "    print(x, gamma)\n    mode = bn_param"),)
OTHER_NAMES = (("def batchnorm_backward(dout, cache):", "def batchnorm_backward(d, c):\n    dout, cache = d, c"),)
IN_PLACE_STATISTICS = (
    ("running_mean = momentum * running_mean", "running_mean *= momentum\n        running_mean = running_mean"),
)


@pytest.mark.parametrize(
    "edits",
    [(), PLAIN_GAMMA, KEPT_AXES, DICTIONARY, LOUD, OTHER_NAMES, IN_PLACE_STATISTICS],
    ids=["plain", "plain_gamma", "kept_axes", "dictionary", "loud", "other_names", "in_place_statistics"],
)
def test_a_right_file_passes_every_check_of_the_default_grid(tmp_path, edits, capsys):
    submission = opened(tmp_path, None, *edits)
    found = findings(submission)

    assert [i.name for i in submission.implementations] == NAMES
    assert [
        f"{f.implementation}/{f.check}/{f.case}: {f.reason}" for f in found if f.status not in {"passed", "skipped"}
    ] == []
    passed = Counter(f.implementation for f in found if f.status is Status.PASSED)
    assert set(passed) == set(NAMES)
    assert min(passed.values()) > 100
    assert capsys.readouterr() == ("", "")


def test_what_is_right_but_odd_is_remarked(tmp_path):
    submission = opened(tmp_path, None, *KEPT_AXES)
    assert submission.remarks.texts == ()
    findings(submission, list(CASES.values()))

    assert "batchnorm_backward: dgamma has shape (1, C), expected (C,); its values are used" in submission.remarks.texts
    assert any(text.startswith('batchnorm_forward: bn_param["running_var"] has') for text in submission.remarks.texts)
    assert not any("dbeta" in text for text in submission.remarks.texts)


def test_the_edition_of_group_norm_is_found_out(tmp_path):
    submission = opened(tmp_path, None, *PLAIN_GAMMA)
    load(submission.implementations)

    assert any("gamma and beta of shape (C,)" in text for text in submission.remarks.texts)
    later = open_submission(RIGHT)
    load(later.implementations)
    assert later.remarks.texts == ()


def test_momentum_weighs_the_old_statistics_in_the_file_and_the_new_here():
    inputs = draw(Case(shape=(9, 5), momentum=0.25))
    got = kernel(open_submission(RIGHT))(inputs)

    np.testing.assert_allclose(got.running_mean, normalize(inputs).running_mean, rtol=1e-12)
    np.testing.assert_allclose(got.running_mean, 0.75 * inputs.running_mean + 0.25 * inputs.x.mean(0), rtol=1e-12)


@pytest.mark.parametrize(
    ("edit", "name", "codes"),
    [
        (("momentum * running_var + (1 - momentum) * var", "var"), "batchnorm", {"BN202"}),
        (("0.5 * dsd / sd", "dsd / sd"), "batchnorm", {"BN301"}),
        (("axis=(0, 2, 3), keepdims=True)", "axis=0)"), "spatial_groupnorm", {"BN101"}),
        (("x.transpose(0, 2, 3, 1).reshape(-1, C)", "x.reshape(-1, C)"), "spatial_batchnorm", {"BN102"}),
    ],
)
def test_a_mistake_is_found_where_it_is(tmp_path, edit, name, codes):
    submission = opened(tmp_path, None, edit)

    assert codes <= wrong_of(submission, name)
    others = {"layernorm"} | ({"batchnorm_alt"} if edit[1] == "dsd / sd" else set())
    assert all(wrong_of(submission, other) == set() for other in others)


def test_test_mode_is_verified_too(tmp_path):
    case = Case(shape=(9, 5), training=False)
    submission = opened(tmp_path, None, ("x - running_mean) /", "x - x.mean(0)) /"))
    failed = {f.check for f in findings(submission, [case]) if f.status is Status.FAILED}

    assert "BN401" in failed


@pytest.mark.parametrize(
    ("edit", "name", "error", "words"),
    [
        (("return gamma * x_hat + beta, cache", "pass"), "batchnorm", AnswerTypeError,
         "batchnorm_forward returned None, expected 2 values, (out, cache)"),
        (("return gamma * x_hat + beta, cache", "return gamma * x_hat + beta"), "batchnorm", AnswerTypeError,
         "batchnorm_forward returned one ndarray, expected 2 values, (out, cache)"),
        (("return dxc + dmu / N, dgamma, dbeta", "return dxc + dmu / N, dgamma"), "batchnorm", AnswerTypeError,
         "batchnorm_backward returned 2 values, expected 3 values, (dx, dgamma, dbeta)"),
        (("return dxc + dmu / N, dgamma, dbeta", "return None, dgamma, dbeta"), "batchnorm", AnswerTypeError,
         "batchnorm_backward: dx is None, expected a NumPy array of shape (9, 5)"),
        (("return dxc + dmu / N, dgamma, dbeta", "return dxc + dmu / N, dgamma.sum(), dbeta"), "batchnorm",
         AnswerShapeError, "batchnorm_backward: dgamma is a single number, expected shape (5,)"),
        (("return dxc + dmu / N, dgamma, dbeta", "return dxc + dmu / N, dgamma[:, None], dbeta"), "batchnorm",
         AnswerShapeError, "batchnorm_backward: dgamma has shape (5, 1), expected (5,)"),
        (("return gamma * x_hat + beta, cache", "return (gamma * x_hat + beta)[None], cache"), "batchnorm",
         AnswerShapeError, "batchnorm_forward: out has shape (1, 9, 5), expected (9, 5)"),
        (("return gamma * x_hat + beta, cache", "return np.ma.array(gamma * x_hat), cache"), "batchnorm",
         AnswerTypeError, "batchnorm_forward: out is a MaskedArray"),
        (('bn_param["running_var"] = running_var', 'del bn_param["running_var"]'), "batchnorm", AnswerTypeError,
         "batchnorm_forward removed running_var from bn_param"),
        (("axis=(0, 2, 3), keepdims=True)", "axis=0)"), "spatial_groupnorm", AnswerShapeError,
         "spatial_groupnorm_backward: dgamma has shape (6, 3, 3), expected (1, 6, 1, 1)"),
    ],
)  # fmt: skip
def test_a_wrong_answer_says_what_came_and_what_was_expected(tmp_path, edit, name, error, words):
    with pytest.raises(error) as caught:
        called(opened(tmp_path, None, edit), name)

    assert str(caught.value).startswith(words)


def test_a_per_channel_answer_is_never_broadcast(tmp_path):
    submission = opened(
        tmp_path, None, ("dgamma = np.sum(dout * x_hat, axis=0)", "dgamma = np.sum(dout * x_hat, keepdims=True)")
    )

    with pytest.raises(AnswerShapeError, match=r"dgamma has shape \(1, 1\), expected \(5,\)"):
        called(submission, "batchnorm")


def test_test_mode_has_no_backward():
    with pytest.raises(NoBackwardError, match="not defined for test mode by the course"):
        called(open_submission(RIGHT), "batchnorm", training=False)


def test_a_batch_without_rows_is_refused():
    inputs = draw(CASES["batchnorm"])

    with pytest.raises(EmptyBatchError):
        kernel(open_submission(RIGHT))(replace(inputs, x=inputs.x[:0]))
