"""A layer behind a worker is the kernel that it would be here, whatever crosses together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnbench.adapters.cs231n import LAYERS, implementations
from bnbench.adapters.cs231n_answers import AnswerTypeError, Remarks
from bnbench.adapters.sandboxed import SandboxedFile
from bnbench.adapters.sandboxed_kernel import FRAME, SandboxedKernel
from bnbench.cases import draw, draw_cotangent, parse_case
from bnbench.grading.assignment import read_assignment, shipped_text
from bnbench.grading.grader import grade_one
from bnbench.grading.model import Outcome
from bnbench.kernels import BatchKernel, local_kernel, outputs_at
from bnbench.sandbox.host import Sandbox
from bnbench.sandbox.limits import Limits
from bnbench.sandbox.worker import Status, SubmissionError

RIGHT = (Path(__file__).parent / "submissions" / "layers.py").read_text()
CASES = {
    "batchnorm": "float64/9x5/train/mean=1.5",
    "batchnorm_alt": "float32/8x7/train",
    "layernorm": "float64/7x9/layer",
    "spatial_batchnorm": "float64/3x5x2x4/train",
    "spatial_groupnorm": "float64/2x6x3x4/group3",
}


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


def opened(sandbox, text, name="batchnorm"):
    """The file and one of its layers."""
    layer = next(layer for layer in LAYERS if layer.name == name)
    file = SandboxedFile(sandbox, text, "layers.py", Limits(wall=20))
    file.begin()
    return file, SandboxedKernel(file, layer, Remarks(), has_backward=True)


def here(name):
    namespace: dict = {}
    exec(RIGHT, namespace)  # noqa: S102 - the repository's own layers
    made = implementations(namespace, "layers", Remarks())
    return local_kernel(next(i for i in made if i.name == f"layers.{name}").load())


def points(case, count):
    """Different inputs, every other one with a cotangent."""
    for seed in range(count):
        at = replace(case, seed=seed)
        yield draw(at), (draw_cotangent(at),) * (seed % 2)


def bits(outputs):
    arrays = [outputs.y, outputs.running_mean, outputs.running_var]
    arrays += [a for g in outputs.gradients for a in (g.dx, g.dgamma, g.dbeta)]
    return [(a.dtype.str, a.shape, a.tobytes()) for a in arrays]


@pytest.mark.parametrize("name", CASES)
def test_a_batch_gives_what_the_same_functions_give_here_bit_for_bit(sandbox, name):
    case = parse_case(CASES[name])
    file, kernel = opened(sandbox, RIGHT, name)
    with file:
        got = list(outputs_at(kernel, points(case, 12)))
        alone = kernel(draw(case), draw_cotangent(case), beside=draw(replace(case, seed=5)))

    expected = [here(name)(inputs, *dys) for inputs, dys in points(case, 12)]
    assert isinstance(kernel, BatchKernel)
    assert [bits(outputs) for outputs in got] == [bits(outputs) for outputs in expected]
    assert bits(alone) == bits(here(name)(draw(case), draw_cotangent(case), beside=draw(replace(case, seed=5))))
    assert not any(outputs.mutated for outputs in got)


def test_more_points_than_one_frame_holds_come_in_their_order(sandbox):
    case = parse_case("float64/100x50/train")
    count = 3 * FRAME // (8 * 100 * 50) // 2
    file, kernel = opened(sandbox, RIGHT)
    with file:
        got = [outputs.y.tobytes() for outputs in outputs_at(kernel, points(case, count))]

    assert got == [here("batchnorm")(inputs).y.tobytes() for inputs, _ in points(case, count)]
    assert len(set(got)) == count


ALIAS = """
import numpy as np
def batchnorm_forward(x, gamma, beta, bn_param):
    bn_param["running_mean"], bn_param["running_var"] = x.mean(0), x.var(0)
    return x * gamma + beta, x
def batchnorm_backward(dout, x):
    {statement}
    return dout * 1.0, x.sum(0), dout.sum(0)
"""


def test_a_grade_tells_that_the_backward_overwrote_x():
    text = RIGHT + "\n\nforward, backward = batchnorm_forward, batchnorm_backward\n"
    text += "def batchnorm_forward(x, *rest):\n    out, cache = forward(x, *rest)\n    return out, (x, cache)\n"
    text += "def batchnorm_backward(dout, cache):\n    cache[0][:] = 0\n    return backward(dout, cache[1])\n"
    assignment = read_assignment(shipped_text("cs231n-batchnorm"))
    grade = grade_one(text.encode(), "layers.py", assignment, epoch="2026", secret=b"secret")
    results = {result.number: result for result in grade.results}

    assert results["2.1"].outcome is Outcome.PASSED, "its gradients are right"
    assert results["4.1"].outcome is Outcome.FAILED
    assert "x changed in place" in results["4.1"].what


@pytest.mark.parametrize(
    ("statement", "mutated"),
    [
        ("x -= x.mean(0)", ("x",)),
        ("x = x - x.mean(0)", ()),
        ("dout *= 2.0", ("dy",)),
        ("dout *= x; x += 1", ("dy", "x")),
    ],
)
def test_what_a_backward_writes_into_the_array_that_its_forward_was_given_is_noticed(sandbox, statement, mutated):
    case = parse_case("float64/9x5/train")
    file, kernel = opened(sandbox, ALIAS.format(statement=statement))
    with file:
        one = kernel(draw(case), draw_cotangent(case))
        batch = list(kernel.batch([(draw(case), ()), (draw(case), (draw_cotangent(case),))]))

    assert one.mutated == batch[1].mutated == mutated
    assert not batch[0].mutated, "that point had arrays of its own"


def test_a_forward_that_answers_none_is_refused_before_its_backward_is_blamed(sandbox):
    case = parse_case("float64/9x5/train")
    text = (
        "def batchnorm_forward(x, gamma, beta, bn_param):\n    pass\ndef batchnorm_backward(dout, cache):\n    pass\n"
    )
    file, kernel = opened(sandbox, text)
    with file, pytest.raises(AnswerTypeError, match="batchnorm_forward"):
        list(kernel.batch([(draw(case), (draw_cotangent(case),))] * 3))

    assert "batchnorm_forward" in kernel.refused
    assert file.trouble is None


RAISES = """
_right, _calls = batchnorm_forward, 0
def batchnorm_forward(x, gamma, beta, bn_param):
    global _calls
    _calls += 1
    if _calls == {when}:
        raise KeyError("now")
    return _right(x, gamma, beta, bn_param)
"""


@pytest.mark.parametrize("when", [1, 4, 6])
def test_a_batch_with_an_exception_fails_even_if_it_is_not_raised_again(sandbox, when):
    case = parse_case("float64/9x5/train")
    file, kernel = opened(sandbox, RIGHT + RAISES.format(when=when))
    with file, pytest.raises(SubmissionError) as caught:
        list(outputs_at(kernel, points(case, 6)))

    assert caught.value.status is Status.ERROR
    assert "now" in caught.value.detail
    assert file.trouble is not None


def test_a_refusal_in_a_batch_is_a_value_error_here_too(sandbox):
    case = parse_case("float64/9x5/train")
    text = "def batchnorm_forward(x, gamma, beta, bn_param):\n    raise ValueError('too few rows')\n"
    file, kernel = opened(sandbox, text)
    with file, pytest.raises(ValueError, match="too few rows"):
        list(outputs_at(kernel, points(case, 3)))


def test_the_cache_of_one_point_never_reaches_the_backward_of_another(sandbox):
    case = parse_case("float64/9x5/train")
    inputs = draw(case)
    others = [replace(inputs, x=inputs.x * scale) for scale in (1.0, 2.0, 3.0)]
    file, kernel = opened(sandbox, ALIAS.format(statement="pass"))
    with file:
        found = list(kernel.batch([(each, (draw_cotangent(case),)) for each in others]))

    for each, outputs in zip(others, found, strict=True):
        assert np.array_equal(outputs.gradients[0].dgamma, each.x.sum(0))
