"""torch_native and torch_composed: the numbers, and the border between NumPy's arrays and torch's."""

import subprocess
import sys

import numpy as np
import pytest

from bnbench.cases import case_id, draw, draw_cotangent, grid
from bnbench.kernels import local_kernel, same_bits
from bnbench.model import Case
from bnbench.reference import normalize
from bnbench.registry import discover

torch = pytest.importorskip("torch")

REGISTRY = discover().implementations
NAMES = ("torch_native", "torch_composed")
ARGUMENTS = {"training": True, "eps": 1e-5, "momentum": 0.1}


def arrays_of(inputs):
    return inputs.x, inputs.gamma, inputs.beta, inputs.running_mean, inputs.running_var


def rounding_errors(got, expected):
    """max |got - expected| in units in the last place of the largest expected value."""
    return np.abs(got - expected).max() / (np.abs(expected).max() * np.finfo(got.dtype).eps)


@pytest.fixture(params=NAMES)
def forward(request):
    return REGISTRY[request.param].load()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "case", [case for case in grid() if case.norm == "batch" and case.dtype != "float16"], ids=case_id
)
def test_agrees_with_the_reference_to_a_few_roundings(name, case):
    inputs, dy = draw(case), draw_cotangent(case)
    got = local_kernel(REGISTRY[name].load())(inputs, dy, dy)
    expected = normalize(inputs, dy, running_var_ddof=REGISTRY[name].capabilities.running_var_ddof)

    assert got.mutated == ()
    arrays = (got.y, got.running_mean, got.running_var, *got.gradients[0])
    for a, b in zip(
        arrays, (expected.y, expected.running_mean, expected.running_var, *expected.gradients[0]), strict=True
    ):
        assert a.dtype == case.dtype
        assert a.shape == b.shape
        assert rounding_errors(a, b) <= 32  # mean 12, sd 5: torch adds up float32 in float32
    for first, second in zip(*got.gradients, strict=True):
        assert same_bits(first, second)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(
    "view",
    [lambda a: a[::-1], lambda a: a[..., ::-1], np.asfortranarray, lambda a: np.repeat(a, 2, 0)[::2]],
    ids=["reversed", "reversed last", "Fortran", "every second"],
)
def test_strided_arrays_give_the_same_numbers(forward, training, view):
    case = Case(shape=(5, 4, 3), training=training)
    inputs, dy = draw(case), draw_cotangent(case)
    options = ARGUMENTS | {"training": training}
    strided = [view(a) for a in arrays_of(inputs)]
    results = []
    for given, cotangent in ((strided, view(dy)), ([np.ascontiguousarray(a) for a in strided], view(dy).copy())):
        y, kept, vjp = forward(*given, **options)
        results.append((y, *kept, *vjp(cotangent)))
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_read_only_arrays_are_taken_without_a_warning(forward):
    # pytest turns warnings into errors, and torch warns of read-only memory.
    case = Case(shape=(5, 4, 3))
    inputs, dy = draw(case), draw_cotangent(case)
    expected = forward(*arrays_of(inputs), **ARGUMENTS)
    for a in (*arrays_of(inputs), dy):
        a.flags.writeable = False
    y, kept, vjp = forward(*arrays_of(inputs), **ARGUMENTS)
    for a, b in zip((y, *kept, *vjp(dy)), (expected[0], *expected[1], *expected[2](dy)), strict=True):
        assert same_bits(a, b)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_no_result_shares_memory_with_an_argument(forward, training):
    # One row of eval: nothing is summed for dbeta, so that dy itself could be handed on.
    inputs = draw(Case(shape=(1, 4, 2) if training else (1, 4)))
    dy = np.ones_like(inputs.x)
    y, kept, vjp = forward(*arrays_of(inputs), **(ARGUMENTS | {"training": training}))
    for result in (y, *kept, *vjp(dy)):
        for argument in (*arrays_of(inputs), dy):
            assert not np.shares_memory(result, argument)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_works_where_gradients_are_switched_off(forward, context):
    # A torch.autograd.Function runs its forward like this.
    case = Case(shape=(5, 4))
    inputs, dy = draw(case), draw_cotangent(case)
    expected = forward(*arrays_of(inputs), **ARGUMENTS)[2](dy)
    with context():
        gradients = forward(*arrays_of(inputs), **ARGUMENTS)[2](dy)
    for a, b in zip(gradients, expected, strict=True):
        assert same_bits(a, b)


def test_changing_gamma_and_y_after_forward_does_not_change_the_gradients(forward):
    case = Case(shape=(7, 3, 2))
    inputs, dy = draw(case), draw_cotangent(case)
    y, _, vjp = forward(*arrays_of(inputs), **ARGUMENTS)
    before = vjp(dy)
    for a in (y, inputs.gamma, inputs.beta, inputs.running_mean, inputs.running_var):
        np.add(a, 1, out=a)
    for a, b in zip(before, vjp(dy), strict=True):
        assert same_bits(a, b)


def test_the_variance_that_is_kept_is_divided_by_one_less(forward):
    x = np.array([[1.0], [3.0], [8.0]])
    one, zero = np.ones(1), np.zeros(1)
    _, (mean, var), _ = forward(x, one, zero, zero, zero, training=True, eps=1e-5, momentum=1.0)
    assert mean[0] == 4
    assert var[0] == pytest.approx(13, rel=1e-15)  # (9 + 1 + 16) / 2


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1, 1)])
def test_training_with_one_value_per_channel_is_refused(forward, shape):
    c = np.ones(3)
    with pytest.raises(ValueError, match=r"more than (1|one) value per channel"):
        forward(np.ones(shape), c, c, c, c, **ARGUMENTS)
    y, _, _ = forward(np.ones(shape), c, c, c, c, training=False, eps=1e-5, momentum=0.1)
    assert y.tolist() == np.ones(shape).tolist()


def test_an_empty_batch_leaves_the_running_statistics_alone(forward):
    c = np.full(3, 0.5)
    y, (mean, var), vjp = forward(np.empty((0, 3, 2)), c, c, c, c, **ARGUMENTS)
    dx, dgamma, dbeta = vjp(y)
    assert dx.shape == (0, 3, 2)
    assert same_bits(mean, c)
    assert same_bits(var, c)
    assert not dgamma.any()
    assert not dbeta.any()


def test_wrong_arguments_are_refused(forward):
    c = np.ones(2)
    with pytest.raises(ValueError, match=r"gamma has shape \(3,\), expected \(2,\)"):
        forward(np.ones((4, 2)), np.ones(3), c, c, c, **ARGUMENTS)
    with pytest.raises(TypeError, match="x is an array of int"):
        forward(np.ones((4, 2), int), c, c, c, c, **ARGUMENTS)


def test_torch_is_imported_by_load_alone_and_its_threads_are_left_alone():
    code = f"""
import sys
from bnbench.registry import discover
found = discover().implementations
assert "torch" not in sys.modules, "imported by discovery"
for name in {NAMES}:
    found[name].load()
import torch
torch.set_num_threads(3)
for name in {NAMES}:
    found[name].load()
assert torch.get_num_threads() == 3
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
