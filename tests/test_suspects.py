"""Which line is wrong, on files that are right but for one thing."""

from __future__ import annotations

from pathlib import Path

import pytest

from bnbench.adapters.cs231n import LAYERS
from bnbench.adapters.program import LayerProgram
from bnbench.diagnose.cause import Slip
from bnbench.diagnose.hints import Hints, hint
from bnbench.diagnose.inquiry import inquire
from bnbench.diagnose.suspects import SEARCHES, find_suspect, find_suspects, suspects_of

RIGHT = """import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode, eps = bn_param['mode'], bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    N, D = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(D))
    running_var = bn_param.get('running_var', np.zeros(D))
    cache = None
    if mode == 'train':
        mu = np.mean(x, axis=0)
        xc = x - mu
        var = np.mean(xc ** 2, axis=0)
        std = np.sqrt(var + eps)
        xhat = xc / std
        out = gamma * xhat + beta
        running_mean = momentum * running_mean + (1 - momentum) * mu
        running_var = momentum * running_var + (1 - momentum) * var
        cache = (xc, std, xhat, gamma)
    else:
        xhat = (x - running_mean) / np.sqrt(running_var + eps)
        out = gamma * xhat + beta
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    xc, std, xhat, gamma = cache
    N = dout.shape[0]
    dbeta = np.sum(dout, axis=0)
    dgamma = np.zeros(dout.shape[1])
    for i in range(N):
        dgamma = dgamma + dout[i] * xhat[i]
    dxhat = dout * gamma
    dstd = -np.sum(dxhat * xc, axis=0) / std ** 2
    dvar = 0.5 * dstd / std
    dxc = dxhat / std
    dxc += 2.0 / N * xc * dvar
    dmu = -np.sum(dxc, axis=0)
    dx = dxc + dmu / N
    return dx, dgamma, dbeta
"""

SHARED = """import numpy as np


def mean(a):
    return np.mean(a, axis=0, keepdims=True)


def batchnorm_forward(x, gamma, beta, bn_param):
    mu = mean(x)
    var = mean((x - mu) ** 2)
    xhat = (x - mu) / np.sqrt(var + bn_param.get('eps', 1e-5))
    m = bn_param.get('momentum', 0.9)
    for name, now in (('running_mean', mu), ('running_var', var)):
        bn_param[name] = m * bn_param.get(name, np.zeros(x.shape[1])) + (1 - m) * now[0]
    return gamma * xhat + beta, (xhat, gamma, var + bn_param.get('eps', 1e-5))


def batchnorm_backward(dout, cache):
    xhat, gamma, v = cache
    d = dout * gamma
    return (d - mean(d) - xhat * mean(d * xhat)) / np.sqrt(v), np.sum(dout * xhat, 0), np.sum(dout, 0)
"""


def inquiry_of(text, **options):
    return inquire(LayerProgram(text, "layers.py", LAYERS[0], **options))


def with_slip(before, after, text=RIGHT):
    assert text.count(before) == 1, before
    return text.replace(before, after)


def line_of(text, part):
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def accused(before, after, text=RIGHT, **options):
    """The suspect of a slip, and the line of the slip."""
    wrong = with_slip(before, after, text)
    suspect = find_suspect(inquiry_of(wrong, **options))
    assert suspect is not None
    return suspect, line_of(wrong, after.splitlines()[0])


@pytest.mark.parametrize("text", [RIGHT, SHARED], ids=["loops", "helper"])
@pytest.mark.parametrize("options", [{}, {"defaults": True}], ids=["given", "defaults"])
def test_a_right_file_has_no_suspect(text, options):
    assert find_suspect(inquiry_of(text, **options)) is None


SLIPS = [
    ("np.mean(xc ** 2, axis=0)", "np.mean(xc ** 2)", "var", "reduction"),
    ("np.mean(xc ** 2, axis=0)", "np.mean(xc, axis=0)", "var", "power"),
    ("np.sqrt(var + eps)\n        xhat = xc", "np.sqrt(var) + eps\n        xhat = xc", "sd", "eps"),
    ("xhat = xc / std", "xhat = xc - std", "x_hat", "operation"),
    ("out = gamma * xhat + beta\n        running", "out = gamma * xhat\n        running", "y", "term"),
    ("(1 - momentum) * mu", "momentum * mu", "running_mean", "state"),
    ("dbeta = np.sum(dout, axis=0)", "dbeta = np.mean(dout, axis=0)", "dbeta", "count"),
    ("dgamma = dgamma + dout[i] * xhat[i]", "dgamma = dout[i] * xhat[i]", "dgamma", "reduction"),
    ("for i in range(N):", "for i in range(N - 1):", "dgamma", "reduction"),
    ("dxhat = dout * gamma", "dxhat = dout", "dx_hat", "factor"),
    ("dstd = -np.sum", "dstd = np.sum", "dsd", "sign"),
    ("dvar = 0.5 * dstd / std", "dvar = dstd / std", "dvar", "factor"),
    ("dxc += 2.0 / N", "dxc += 2.0 / (N - 1)", "dsq", "count"),
    ("dxc += 2.0", "dxc = 2.0", "dxc", "term"),
    ("dx = dxc + dmu / N", "dx = dxc", "dx", "term"),
    ("return dx, dgamma, dbeta", "return dx, dbeta, dgamma", "dgamma", "order"),
    ("xc, std, xhat, gamma = cache", "xc, std, gamma, xhat = cache", "cache", "order"),
]


@pytest.mark.parametrize(("before", "after", "quantity", "slip"), SLIPS, ids=[row[1].splitlines()[0] for row in SLIPS])
def test_a_slip_is_found_on_its_line_and_named(before, after, quantity, slip):
    suspect, line = accused(before, after)
    assert (suspect.line, suspect.quantity, suspect.slip) == (line, quantity, slip)


def test_a_slip_of_test_mode_is_found_in_test_mode_only():
    wrong = with_slip("np.sqrt(running_var + eps)", "np.sqrt(running_var)")
    assert find_suspect(inquiry_of(wrong)) is None
    suspect = find_suspect(inquiry_of(wrong, training=False))
    assert (suspect.line, suspect.slip) == (line_of(wrong, "np.sqrt(running_var)"), Slip.EPS)


def test_a_small_change_of_the_line_is_proposed_and_proves_it():
    suspect, _ = accused("dvar = 0.5 * dstd / std", "dvar = dstd / std")
    assert suspect.proof == "edited"
    assert suspect.correction.edit.corrected in ("dvar = 0.5 * dstd / std", "dvar = 0.5 * (dstd / std)")
    assert suspect.elements
    assert all(element.got == pytest.approx(2 * element.right) for element in suspect.elements)


def test_a_value_without_a_small_change_is_proved_by_replay():
    suspect, line = accused("dx = dxc + dmu / N", "dx = np.tanh(dxc) + dmu")
    assert (suspect.line, suspect.proof) == (line, "replayed")


def test_a_helper_that_is_called_for_several_values_is_to_blame_itself():
    suspect, line = accused("np.mean(a, axis=0, keepdims=True)", "np.sum(a, axis=0, keepdims=True)", SHARED)
    assert (suspect.line, suspect.slip, suspect.proof) == (line, Slip.COUNT, "edited")


def test_what_is_wrong_in_the_forward_comes_before_the_gradients_that_follow():
    suspect, line = accused("xc = x - mu", "xc = x * x - mu")
    assert suspect.line == line


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("cache = (xc, std, xhat, gamma)", "cache = (xc, var, xhat, gamma)"),
        ("cache = (xc, std, xhat, gamma)", "cache = (xc, std, xc, gamma)"),
        ("cache = (xc, std, xhat, gamma)", "cache = (xc, np.sqrt(std), xhat, gamma)"),
    ],
)
def test_what_is_packed_wrongly_is_found_where_it_is_packed_or_unpacked(before, after):
    suspect, line = accused(before, after)
    wrong = with_slip(before, after)
    assert suspect.line in (line, line_of(wrong, "= cache"))


def test_an_exception_that_follows_from_an_earlier_line_is_told_with_that_line():
    suspect, line = accused("N, D = x.shape", "D, N = x.shape", defaults=True)
    assert suspect.line == line
    assert suspect.slip is Slip.ORDER
    assert suspect.message.startswith("ValueError")


def test_an_exception_stays_where_it_is_when_its_own_line_can_be_mended():
    suspect, line = accused("dxhat = dout * gamma", "dxhat = dout * gama")
    assert (suspect.line, suspect.slip, suspect.quantity) == (line, Slip.UNDEFINED, "dx_hat")


def test_a_changed_argument_is_told_even_where_every_answer_is_right():
    suspect, line = accused("    return dx, dgamma, dbeta", "    dout *= 2\n    return dx, dgamma, dbeta")
    assert (suspect.line, suspect.slip, suspect.quantity) == (line, Slip.IN_PLACE, "dy")


def test_a_changed_argument_is_told_where_it_makes_answers_wrong():
    wrong = with_slip("    dbeta = np.sum(dout, axis=0)\n", "    dbeta = np.sum(dout, axis=0)\n    dout *= gamma\n")
    wrong = with_slip("dxhat = dout * gamma", "dxhat = dout", wrong)
    suspect = find_suspect(inquiry_of(wrong))
    assert (suspect.line, suspect.slip) == (line_of(wrong, "dout *= gamma"), Slip.IN_PLACE)


def test_nan_is_not_right_and_stops_no_search():
    suspect, line = accused("std = np.sqrt(var + eps)", "std = np.sqrt(var - 9)")
    assert suspect.line == line


def test_wrong_code_that_is_never_used_is_no_suspect():
    unused = with_slip("    dmu = -np", "    dvar2 = dvar / 0.3\n    dmu = -np")
    assert find_suspect(inquiry_of(unused)) is None


def test_two_mistakes_are_told_first_things_first():
    both = with_slip("np.mean(xc ** 2, axis=0)", "np.mean(xc ** 2)")
    both = with_slip("xhat = xc / std", "xhat = xc - std", both)
    suspect = find_suspect(inquiry_of(both))
    assert (suspect.line, suspect.slip) == (line_of(both, "np.mean(xc ** 2)"), Slip.REDUCTION)


PAIRS = [
    # a slip of the running averages or of one gradient, and one of another gradient
    (("(1 - momentum) * var", "(1 - momentum) * std"), ("dvar = 0.5 * dstd / std", "dvar = 0.5 * dstd / std ** 2")),
    (("(1 - momentum) * mu", "momentum * mu"), ("dxc += 2.0 / N", "dxc += 1.0 / N")),
    (("(1 - momentum) * var", "(1 - momentum) * xhat"), ("dmu = -np.sum", "dmu = np.sum")),
    (
        ("momentum * running_mean +", "momentum * running_var +"),
        ("dbeta = np.sum(dout, axis=0)", "dbeta = np.mean(dout, axis=0)"),
    ),
    (("dout[i] * xhat[i]", "dout[i] * xc[i]"), ("dx = dxc + dmu / N", "dx = dxc + dmu")),
    (("dbeta = np.sum(dout, axis=0)", "dbeta = np.sum(dout, axis=1)"), ("dstd = -np.sum", "dstd = np.sum")),
]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0][1]}, {pair[1][1]}")
def test_two_mistakes_that_spoil_different_outputs_are_told_both(pair):
    text = RIGHT
    for before, after in pair:
        text = with_slip(before, after, text)
    found = suspects_of(inquiry_of(text))

    assert {suspect.line for suspect in found} == {line_of(text, after) for _, after in pair}
    assert all(suspect.mends and suspect.partial for suspect in found)
    assert not set(found[0].mends) & set(found[1].mends)
    assert all("something else is wrong too" in hint(suspect, Hints.HOW) for suspect in found)


def test_one_mistake_that_spoils_everything_is_told_once():
    wrong = with_slip("np.mean(xc ** 2, axis=0)", "np.mean(xc ** 2, axis=0) * 1.5")
    [suspect] = suspects_of(inquiry_of(wrong))

    assert (suspect.line, suspect.partial) == (line_of(wrong, "1.5"), False)
    assert set(suspect.mends) == set(inquiry_of(wrong).wrong)


def test_the_same_mistake_in_two_scenarios_is_searched_once():
    wrong = with_slip("dvar = 0.5 * dstd / std", "dvar = dstd / std")
    inquiries = {"train": inquiry_of(wrong), "defaults": inquiry_of(wrong, defaults=True)}
    found = find_suspects(inquiries)
    assert found["train"] is found["defaults"]
    assert not inquiries["defaults"].attempts.outcomes


def test_a_mistake_of_another_scenario_is_searched_for_itself():
    wrong = with_slip("bn_param.get('eps', 1e-5)", "bn_param.get('eps', 1e-8)")
    found = find_suspects({"train": inquiry_of(wrong), "defaults": inquiry_of(wrong, defaults=True)})
    assert found["train"] == ()
    [suspect] = found["defaults"]
    assert (suspect.slip, suspect.line) == (Slip.EPS, line_of(wrong, "1e-8"))


def test_the_same_file_gets_the_same_suspect_every_time():
    wrong = with_slip("dxc += 2.0 / N", "dxc += 2.0 / (N - 1)")
    one, other = find_suspect(inquiry_of(wrong)), find_suspect(inquiry_of(wrong))
    assert (one.line, one.shows, one.proof, one.slip) == (other.line, other.shows, other.proof, other.slip)
    assert one.correction.edit.corrected == other.correction.edit.corrected


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: search.__name__)
def test_every_search_says_what_it_looks_for_and_stands_what_cannot_be_explained(search):
    assert search.__doc__
    wrong = with_slip("dx = dxc + dmu / N", "dx = np.cos(dxc * 7.3) + np.roll(dmu, 1)")
    suspect = search(inquiry_of(wrong))
    assert suspect is None or suspect.line == line_of(wrong, "np.cos")


def test_a_search_ends_where_no_more_attempts_are_allowed():
    inquiry = inquiry_of(with_slip("dx = dxc + dmu / N", "dx = np.cos(dxc * 7.3) + np.roll(dmu, 1)"))
    while inquiry.attempts.edit():
        pass
    while inquiry.attempts.replay():
        pass
    suspect = find_suspect(inquiry)
    assert suspect is None or suspect.proof == "recognized"
    assert not inquiry.attempts.outcomes


def test_the_bank_of_submissions_is_right():
    text = (Path(__file__).parent / "submissions" / "layers.py").read_text()
    assert all(find_suspect(inquire(LayerProgram(text, "layers.py", layer))) is None for layer in LAYERS)
