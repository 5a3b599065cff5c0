"""Other people's functions: what is right passes at every scale, what is wrong is caught, a kink is neither."""

import numpy as np
import pytest

import bnbench
from bnbench.directions import Point, look
from bnbench.model import Status

RNG = np.random.default_rng(7)
X = RNG.standard_normal((5, 4))
GAMMA = RNG.uniform(0.5, 2, 4)
BETA = RNG.standard_normal(4)


def swish(x):
    return x / (1 + np.exp(-x))


def swish_vjp(dy, x):
    p = 1 / (1 + np.exp(-x))
    return dy * (p + x * p * (1 - p))


def batch_norm(x, gamma, beta):
    return gamma * (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5) + beta


def batch_norm_vjp(dy, x, gamma, _):
    sd = np.sqrt(x.var(0) + 1e-5)
    x_hat, g = (x - x.mean(0)) / sd, gamma * dy
    return (g - g.mean(0) - x_hat * (g * x_hat).mean(0)) / sd, (dy * x_hat).sum(0), dy.sum(0)


def relu(x):
    return np.maximum(x, 0)


def relu_vjp(dy, x):
    return dy * (x > 0)


def hidden(x, w, b):
    return relu(x @ w + b)


def hidden_vjp(dy, x, w, b):
    da = dy * (x @ w + b > 0)
    return da @ w.T, x.T @ da, da.sum(0)


def wrong_dx(change):
    """The vjp of batch norm with a changed dx."""

    def vjp(dy, x, gamma, beta):
        dx, *others = batch_norm_vjp(dy, x, gamma, beta)
        return change(dx.copy()), *others

    return vjp


def one_element(dx):
    dx[3, 1] *= 1.001
    return dx


def not_a_number(dx):
    dx[2, 0] = np.nan
    return dx


def status_of(verdict, name):
    return next(argument.status for argument in verdict.arguments if argument.name == name)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("mean", [0.0, 100.0])
@pytest.mark.parametrize("shape", [(5, 4), (33, 17)])
def test_a_right_normalization_passes_at_every_scale(scale, mean, shape):
    x = scale * (np.random.default_rng(1).standard_normal(shape) + mean)
    verdict = bnbench.verify(
        batch_norm, batch_norm_vjp, x, np.full(shape[1], scale), np.zeros(shape[1]), names=["x", "g", "b"]
    )
    assert verdict.passed, verdict


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_kinks_between_the_data_do_not_give_false_alarms(scale, dtype):
    rng = np.random.default_rng(2)
    x, w = (scale * rng.standard_normal((40, 10))).astype(dtype), rng.standard_normal((10, 6)).astype(dtype)
    b = (scale * rng.standard_normal(6)).astype(dtype)
    assert bnbench.verify(hidden, hidden_vjp, x, w, b).passed


@pytest.mark.parametrize("seed", range(20))
def test_no_draw_of_directions_objects_to_what_is_right(seed):
    assert bnbench.verify(swish, swish_vjp, X, seed=seed, elements=0).passed
    assert bnbench.verify(batch_norm, batch_norm_vjp, X, GAMMA, BETA, seed=seed, elements=0).passed


@pytest.mark.parametrize(
    "change",
    [
        lambda dx: dx * 1.0005,
        lambda dx: dx * 0,
        lambda dx: -dx,
        lambda dx: dx[::-1],
        lambda dx: dx.astype(np.float32).astype(np.float64),
        one_element,
        not_a_number,
        lambda dx: dx.T,
        lambda dx: dx.sum(),
        lambda dx: dx.astype(int),
    ],
    ids=["scale", "zero", "sign", "rows", "float32", "element", "nan", "transposed", "sum", "int"],
)
def test_a_wrong_gradient_is_caught(change):
    verdict = bnbench.verify(batch_norm, wrong_dx(change), X, GAMMA, BETA)
    assert [a.status for a in verdict.arguments] == [Status.FAILED, Status.PASSED, Status.PASSED], verdict
    assert verdict.status is Status.FAILED


def test_a_square_gradient_that_is_transposed_is_caught():
    w = np.random.default_rng(3).standard_normal((4, 4))
    verdict = bnbench.verify(lambda x, w: x @ w, lambda dy, x, w: (dy @ w.T, (x.T @ dy).T), X, w)
    assert [a.status for a in verdict.arguments] == [Status.PASSED, Status.FAILED]


def test_the_wrong_element_is_named():
    verdict = bnbench.verify(batch_norm, wrong_dx(one_element), X, GAMMA, BETA)
    assert verdict.arguments[0].index == (3, 1)
    assert verdict.arguments[0].got == pytest.approx(1.001 * verdict.arguments[0].expected, rel=1e-7)


def test_the_wrong_element_of_a_large_array_is_found_by_halving():
    def vjp(dy, x):
        dx = swish_vjp(dy, x)
        dx[71, 5] *= 1.01
        return dx

    (argument,) = bnbench.verify(swish, vjp, np.random.default_rng(4).standard_normal((100, 30))).arguments
    assert argument.status is Status.FAILED
    assert argument.index == (71, 5)


def test_a_silent_float32_is_caught():
    verdict = bnbench.verify(swish, lambda dy, x: swish_vjp(dy, x.astype(np.float32)).astype(np.float64), X)
    assert verdict.status is Status.FAILED


def test_a_gradient_that_ignores_dy_is_caught():
    verdict = bnbench.verify(lambda x: (x**2).sum(), lambda _, x: 2 * x, X)
    assert verdict.status is Status.FAILED


def test_one_element_on_a_kink_leaves_the_others_to_be_judged():
    x = X.copy()
    x[1, 2] = 0.0
    right = bnbench.verify(relu, relu_vjp, x)
    wrong = bnbench.verify(relu, lambda dy, x: relu_vjp(dy, x) * 1.001, x)

    assert right.passed
    assert "not smooth along" in str(right)
    assert right.arguments[0].rough > 0
    assert wrong.status is Status.FAILED


def test_where_every_element_is_on_a_kink_nothing_is_decided():
    for claimed in (0.0, 0.5, 1.0):
        verdict = bnbench.verify(relu, lambda dy, _, claimed=claimed: dy * claimed, np.zeros((3, 4)))
        assert verdict.status is Status.VACUOUS
        assert "undecided" in str(verdict)


def test_far_beyond_a_kink_its_average_slope_is_not_taken_for_the_slope():
    # relu at 1e-12: from a step of 1 it looks like a function of slope 1/2.
    point = Point(
        loss=lambda a: (float(relu(a).sum()), 1.0), gradient=lambda a: np.full(a.shape, 0.5), x=np.full(1, 1e-12),
        dx=np.full(1, 0.5),
    )  # fmt: skip
    assert not any(s.smooth and s.z < 32 for s in look(point, [np.ones(1)]))


def test_a_zero_gradient_is_zero_within_noise():
    verdict = bnbench.verify(
        lambda x, b: batch_norm(x + b, GAMMA, BETA),
        lambda dy, x, b: (batch_norm_vjp(dy, x + b, GAMMA, BETA)[0], batch_norm_vjp(dy, x + b, GAMMA, BETA)[0].sum(0)),
        X,
        np.ones(4),
    )
    assert verdict.passed
    assert "b: 0 within noise" in str(verdict)


def test_nothing_but_zeros_proves_nothing():
    verdict = bnbench.verify(lambda x: x * 0, lambda dy, _: dy * 0, X)
    assert verdict.status is Status.VACUOUS
    assert not verdict.passed


def test_a_forward_that_flickers_proves_nothing():
    rng = np.random.default_rng(0)
    verdict = bnbench.verify(lambda x: x * (rng.random(x.shape) < 0.5), lambda dy, _: dy, X)
    assert verdict.status is not Status.PASSED
    assert "two calls of the forward" in str(verdict)


def test_an_argument_without_a_gradient_is_not_judged():
    verdict = bnbench.verify(batch_norm, lambda *a: (batch_norm_vjp(*a)[0], None, None), X, GAMMA, BETA)
    assert [a.status for a in verdict.arguments] == [Status.PASSED, Status.SKIPPED, Status.SKIPPED]
    assert "gamma: no gradient claimed" in str(verdict)


def test_claiming_no_gradient_at_all_is_not_a_pass():
    assert not bnbench.verify(swish, lambda *_: None, X).passed


def test_functions_that_change_their_arguments_are_reported_and_do_not_change_ours():
    def forward(x):
        y = swish(x)
        x *= 2
        return y

    def backward(dy, x):
        dx = swish_vjp(dy, x)
        dy[:] = 0
        return dx

    before = X.copy()
    verdict = bnbench.verify(forward, backward, X)
    assert verdict.mutated == ("dy", "x")
    assert "changed in place, and should not be: dy, x" in str(verdict)
    assert verdict.passed
    np.testing.assert_array_equal(X, before)


def test_a_well_behaved_function_is_not_said_to_change_anything():
    assert bnbench.verify(swish, swish_vjp, X).mutated == ()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((swish, swish_vjp), ValueError, "no argument"),
        ((swish, swish_vjp, np.arange(3)), TypeError, "x is int64; expected float16, float32 or float64"),
        ((swish, swish_vjp, [1.0, 2.0]), TypeError, "x is a list"),
        ((swish, swish_vjp, np.array([1.0, np.nan])), ValueError, "x is not finite"),
        ((lambda x: np.log(x - 10), swish_vjp, np.full(3, 10.0)), ValueError, "nothing can be measured"),
        ((lambda x: x > 0, swish_vjp, X), TypeError, "returned bool"),
        ((lambda x: (x, x, x), swish_vjp, X), ValueError, "returned 3 values"),
        ((swish, lambda dy, x: (dy, x), X), ValueError, "the backward returned 2 gradients for 1 argument"),
        ((batch_norm, swish_vjp, X, GAMMA, BETA), TypeError, "positional arguments"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_what_can_not_be_verified_is_refused_with_the_reason(arguments, error, words):
    with pytest.raises(error, match=words):
        bnbench.verify(*arguments)


def test_a_gradient_of_another_shape_names_both_shapes():
    verdict = bnbench.verify(swish, lambda dy, x: (dy * x).sum(0), X)
    assert "x: the gradient has shape (4,), the argument (5, 4)" in str(verdict)


def cs231n_forward(x, gamma, beta, bn_param):
    running = bn_param.setdefault("running_mean", np.zeros(x.shape[1]))
    bn_param["running_mean"] = 0.9 * running + 0.1 * x.mean(0)
    assert np.array_equal(bn_param["running_mean"], 0.1 * x.mean(0)), "not a fresh copy"
    return batch_norm(x, gamma, beta), (x, gamma, beta)


def test_a_pair_of_cs231n_is_verified_in_one_line():
    verdict = bnbench.verify_cs231n(cs231n_forward, lambda dout, cache: batch_norm_vjp(dout, *cache))
    assert verdict.passed, verdict
    assert [a.name for a in verdict.arguments] == ["x", "gamma", "beta"]
    assert verdict.name == "cs231n_forward"


def test_a_wrong_pair_of_cs231n_is_caught():
    def backward(dout, cache):
        dx, dgamma, dbeta = batch_norm_vjp(dout, *cache)
        return dx, dgamma / len(dout), dbeta

    verdict = bnbench.verify_cs231n(cs231n_forward, backward)
    assert [a.status for a in verdict.arguments] == [Status.PASSED, Status.FAILED, Status.PASSED]


def test_a_layer_of_cs231n_without_parameters_is_called_without():
    verdict = bnbench.verify_cs231n(
        lambda x, w, b: (hidden(x, w, b), (x, w, b)),
        lambda dout, c: hidden_vjp(dout, *c),
        X,
        np.ones((4, 3)),
        np.ones(3),
    )
    assert verdict.passed, verdict


def test_a_module_of_torch_is_verified_with_its_parameters():
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.BatchNorm1d(6), torch.nn.ReLU())
    verdict = bnbench.verify_torch(module, X)
    assert verdict.passed, verdict
    assert [a.name for a in verdict.arguments] == ["input", "0.weight", "0.bias", "1.weight", "1.bias"]
    assert module[1].num_batches_tracked == 0
    assert module[0].weight.dtype == torch.float32


def test_a_wrong_autograd_function_is_caught():
    torch = pytest.importorskip("torch")

    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, dy):
            return dy * 2 * ctx.saved_tensors[0] ** 2

    assert bnbench.verify_torch(Cube.apply, X).status is Status.FAILED
    assert bnbench.verify_torch(lambda x: x**3, X).passed


def test_a_detached_function_of_torch_is_not_a_pass():
    torch = pytest.importorskip("torch")
    assert not bnbench.verify_torch(lambda x: x.detach() ** 2, torch.from_numpy(X)).passed


def test_html_escapes_every_name():
    def forward(x):
        return swish(x)

    forward.__name__ = "<script>"
    verdict = bnbench.verify(forward, lambda dy, x: swish_vjp(dy, x) * 2, X, names=["<b>x</b>\x1b"])
    page = verdict._repr_html_()
    assert "<script>" not in page
    assert "<b>" not in page
    assert "\x1b" not in page + str(verdict)
    assert "&lt;script&gt; failed" in page


def test_the_same_seed_gives_the_same_verdict():
    one, two = (bnbench.verify(swish, swish_vjp, X, seed=3) for _ in range(2))
    assert one == two
