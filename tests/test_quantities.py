"""The canonical quantities against torch's autograd, the reference and their own definitions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bnbench.blocks import to_blocks
from bnbench.diagnose.factors import factors
from bnbench.diagnose.probe_cases import probe_cases
from bnbench.diagnose.quantities import canonical
from bnbench.model import Inputs, Options
from bnbench.reference import normalize

EVERY = [
    (norm, rank)
    for norm in ("batch", "layer", "group", "instance", "rms")
    for rank in (2, 3, 4, 5)
    if (norm, rank) != ("instance", 2)
]
BATCH_ONLY = [("batch", rank) for rank in (2, 3, 4, 5)]


def autograd(inputs, dy):
    """Every node of the graph, in blocks, as torch computes it, with its gradient; eval where options say so."""
    torch = pytest.importorskip("torch")
    options = inputs.options

    def in_blocks(a):
        return torch.tensor(np.ascontiguousarray(to_blocks(np.asarray(a), options.norm, options.groups)))

    def spread(a):
        return np.broadcast_to(a.reshape(1, -1, *(1,) * (inputs.x.ndim - 2)), inputs.x.shape)

    nodes = {"x": in_blocks(inputs.x), "gamma": in_blocks(spread(inputs.gamma)), "beta": in_blocks(spread(inputs.beta))}
    for leaf in nodes.values():
        leaf.requires_grad_()

    def kept(name, value):
        if value.requires_grad:
            value.retain_grad()
        nodes[name] = value
        return value

    given = options.norm == "batch" and not options.training
    if options.norm == "rms":
        centred = nodes["x"]
    else:
        given_mean = torch.tensor(inputs.running_mean).reshape(-1, 1)
        mu = kept("mu", given_mean if given else nodes["x"].mean(1, keepdim=True))
        centred = kept("xc", nodes["x"] - mu)
    if given:
        var = kept("var", torch.tensor(inputs.running_var).reshape(-1, 1))
    else:
        var = kept("var", kept("sq", centred * centred).mean(1, keepdim=True))
    sd = kept("sd", torch.sqrt(var + options.eps))
    x_hat = kept("x_hat", centred * kept("inverse_sd", 1 / sd))
    y = kept("y", kept("scaled", x_hat * nodes["gamma"]) + nodes["beta"])
    y.backward(in_blocks(dy))
    values = {name: node.detach().numpy() for name, node in nodes.items()}
    gradients = {f"d{name}": node.grad.numpy() for name, node in nodes.items() if node.grad is not None}
    return values, gradients


@pytest.mark.parametrize(("norm", "rank"), EVERY)
@pytest.mark.parametrize("training", [True, False])
def test_every_node_and_its_gradient_are_those_of_autograd(norm, rank, training):
    for inputs, dy in probe_cases(norm, rank=rank, training=training):
        values, gradients = autograd(inputs, dy)
        quantities = canonical(inputs, dy)
        compared = 0
        for name, right in (values | gradients).items():
            if name in ("dgamma", "dbeta"):  # of one element of gamma here, summed over the channel there
                continue
            if name not in quantities:
                assert (name, norm, training) == ("dinverse_sd", "batch", False)
                continue
            got = quantities.in_blocks(name)
            assert np.abs(got - right).max() <= 1e-12 * max(1, np.abs(right).max()), name
            compared += 1
        assert compared >= 11


@pytest.mark.parametrize(("norm", "rank"), EVERY)
@pytest.mark.parametrize("training", [True, False])
def test_outputs_are_those_of_the_reference(norm, rank, training):
    for inputs, dy in probe_cases(norm, rank=rank, training=training):
        quantities, right = canonical(inputs, dy), normalize(inputs, dy)
        np.testing.assert_allclose(quantities["y"].values, right.y, rtol=0, atol=1e-12)
        for name, gradient in right.gradients[0]._asdict().items():
            np.testing.assert_allclose(quantities[name].values, gradient, rtol=0, atol=1e-11)
        if norm == "batch":
            after = " (after)" if training else ""
            for name in ("running_mean", "running_var"):
                np.testing.assert_allclose(quantities[name + after].values, getattr(right, name), rtol=1e-12)


@pytest.mark.parametrize(("norm", "rank"), EVERY)
def test_parts_add_up_to_their_quantity(norm, rank):
    for case in probe_cases(norm, rank=rank):
        q = {known.name: known.wide for known in canonical(*case)}
        if norm == "rms":
            np.testing.assert_allclose(q["dx (through x_hat)"] + q["dx (through sq)"], q["dx"], atol=1e-12)
            continue
        np.testing.assert_allclose(q["dxc (through x_hat)"] + q["dxc (through sq)"], q["dxc"], atol=1e-12)
        np.testing.assert_allclose(q["dmu (through xc)"] + q["dmu (through var)"], q["dmu"], atol=1e-12)
        np.testing.assert_allclose(q["dx (through xc)"] + q["dx (through mu)"], q["dx"], atol=1e-12)
        np.testing.assert_allclose(q["dx"] - q["dxc (through sq)"], q["dx (without sq)"], atol=1e-12)


@pytest.mark.parametrize(("norm", "rank"), EVERY)
def test_a_sum_is_the_sum_of_its_terms(norm, rank):
    for inputs, dy in probe_cases(norm, rank=rank):
        sums = [known for known in canonical(inputs, dy) if known.terms is not None]
        assert len(sums) >= 5
        for known in sums:
            axes = "batch" if known.extent == "channel" else norm
            total = to_blocks(known.terms, axes, inputs.options.groups).sum(1)
            np.testing.assert_allclose(total, known.values.ravel(), rtol=1e-12, atol=1e-12, err_msg=known.name)


@pytest.mark.parametrize(("norm", "rank"), EVERY)
def test_units_are_those_of_x_in_other_metres(norm, rank):
    """In a unit ten times smaller, x is ten times the number, and what has unit k is 10^k times its own."""
    for inputs, dy in probe_cases(norm, rank=rank):
        small = replace(
            inputs,
            x=10 * inputs.x,
            running_mean=10 * inputs.running_mean,
            running_var=100 * inputs.running_var,
            options=replace(inputs.options, eps=100 * inputs.options.eps),
        )
        before, after = canonical(inputs, dy), canonical(small, dy)
        for known in before:
            scale = np.abs(known.values).max()
            difference = np.abs(after[known.name].values / 10.0**known.unit - known.values).max()
            assert difference <= 1e-9 * max(scale, 1e-3), known.name


@pytest.mark.parametrize(("norm", "rank"), EVERY)
def test_natural_values_broadcast_to_those_at_every_element(norm, rank):
    for inputs, dy in probe_cases(norm, rank=rank):
        blocks = {"layer": 1, "rms": 1, "batch": 1}.get(norm, 2)
        for known in canonical(inputs, dy):
            wide = np.broadcast_to(known.wide, inputs.x.shape)
            shapes = {"element": inputs.x.shape, "channel": inputs.x.shape[1:2], "number": ()}
            if known.extent == "block":
                assert known.values.ndim == blocks
                np.testing.assert_array_equal(to_blocks(wide, norm, inputs.options.groups)[:, 0], known.values.ravel())
            else:
                assert known.values.shape == shapes[known.extent], known.name
            assert np.isfinite(known.values).all()


@pytest.mark.parametrize(("norm", "rank"), EVERY)
def test_probe_cases_tell_every_named_factor_from_every_other(norm, rank):
    """But for those that are equal on every shape, as H W = M / N is: a third shape tells."""
    shape = (7, 12, 3, 9, 5) if rank == 5 else (7, 12, 5, 9)[:rank]
    groups = {"group": 4, "instance": 12}.get(norm, 1)
    options = Options(norm=norm, groups=groups, eps=0.41, momentum=0.37)
    ones = np.ones(12)
    x = np.random.default_rng(1).standard_normal(shape)
    third = Inputs(x=x, gamma=ones, beta=ones, running_mean=ones, running_var=ones, options=options)
    cases = [*probe_cases(norm, rank=rank), (third, x)]
    first, second, other = ({f.name: f.value for f in factors(canonical(*case))} for case in cases)
    seen: dict[tuple[float, float], str] = {}
    for name in first:
        values = (float(f"{first[name]:.9g}"), float(f"{second[name]:.9g}"))
        same = seen.setdefault(values, name)
        assert other[same] == pytest.approx(other[name], rel=1e-9), (same, name)
    assert len(seen) > 100


@pytest.mark.parametrize("rank", [2, 3, 4, 5])
def test_probe_cases_make_eps_matter_and_are_generic(rank):
    for inputs, dy in probe_cases(rank=rank):
        quantities = canonical(inputs, dy)
        var, eps = quantities["var"].values, inputs.options.eps
        assert var.min() < eps < var.max()
        assert inputs.gamma.min() < 0 < inputs.gamma.max()
        assert np.abs(quantities["mu"].values).max() < 10 * quantities["sd"].values.max()
        numbers = np.concatenate([known.values.ravel() for known in quantities if known.role == "node"])
        assert np.abs(numbers).min() > 1e-9


def test_what_has_no_statistics_is_refused():
    (inputs, dy), _ = probe_cases()
    with pytest.raises(ValueError, match="dy has shape"):
        canonical(inputs, dy[1:])
    with pytest.raises(ValueError, match="empty"):
        canonical(replace(inputs, x=inputs.x[:0]), dy[:0])
    with pytest.raises(ValueError, match="instance"):
        probe_cases("instance", rank=2)
