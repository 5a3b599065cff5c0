"""Whole networks: the published figures come out, what is wrong inside is named, what is right is not blamed."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnbench.model import Capabilities, Implementation, Status
from bnbench.mutants import ALL_MUTANTS, forward_of
from bnbench.networks import Shape, check_network, network_table, notebook_draws, softmax_loss
from bnbench.registry import Registry, discover

REGISTRY = discover().implementations
STAGED = REGISTRY["numpy_staged"]
MUTANTS = {mutant.name: mutant for mutant in ALL_MUTANTS}
FITTING = [i for i in discover().select(()) if i.capabilities.norm != "instance"]


def recipe(norm):
    return Implementation(
        name=f"recipe_{norm}", load=lambda: forward_of(norm=norm), capabilities=Capabilities(norm=norm)
    )


@pytest.fixture(scope="module")
def published():
    return check_network(STAGED)


def test_the_initial_losses_are_the_published_ones(published):
    assert f"{published.loss:.2f}" == "2.26"
    assert f"{check_network(STAGED, reg=3.14).loss:.2f}" == "7.00"


@pytest.mark.parametrize(
    ("name", "figure", "factor"),
    [
        ("W1", 1.10e-4, 1.1),
        ("W2", 2.85e-6, 1.5),
        ("W3", 4.05e-10, 1.5),
        ("b3", 1.0e-10, 3),
        ("gamma1", 7.0e-9, 1.2),
        ("beta1", 7.3e-9, 1.2),
    ],
)
def test_the_relative_errors_are_of_the_published_size(published, name, figure, factor):
    (found,) = (row for row in published.parameters if row.verdict.name == name)
    assert found.published == figure
    assert figure / factor <= found.relative <= figure * factor


@pytest.mark.parametrize("name", ["b1", "b2"])
def test_a_bias_before_a_normalization_has_a_gradient_of_zero_within_noise(published, name):
    (found,) = (row for row in published.parameters if row.verdict.name == name)
    assert found.verdict.status is Status.PASSED
    assert found.verdict.notes[0].startswith("0 within noise")


@pytest.mark.parametrize("implementation", FITTING, ids=lambda implementation: implementation.name)
def test_every_shipped_implementation_passes_inside_a_network(implementation):
    if Registry.missing(implementation):
        pytest.skip(Registry.missing(implementation))
    check = check_network(implementation, reg=3.14)
    assert check.passed, network_table(check)


@pytest.mark.parametrize("norm", ["batch", "layer", "group", "rms"])
@pytest.mark.parametrize("rows", [2, 5])
def test_the_correct_recipe_of_every_norm_passes(norm, rows):
    check = check_network(recipe(norm), shape=Shape(rows=rows), seed=4)
    assert check.passed, network_table(check)


@pytest.mark.parametrize(
    ("name", "blame"),
    [
        ("dx_without_the_mean_path", "dx of normalization 2"),
        ("dx_without_the_variance_path", "dx of normalization 2"),
        ("dx_is_zero", "dx of normalization 2"),
        ("dgamma_is_a_mean", "dgamma of normalization 2"),
        ("dbeta_is_a_mean", "dbeta of normalization 2"),
    ],
)
def test_a_wrong_gradient_inside_is_caught_and_named(name, blame):
    check = check_network(MUTANTS[name].implementation())
    assert check.status is Status.FAILED
    assert check.blame == blame
    assert blame in network_table(check)


def test_a_right_implementation_is_not_blamed(published):
    assert published.blame == ""
    assert "first wrong" not in network_table(published)


def test_only_the_published_network_is_compared_with_what_was_published():
    check = check_network(STAGED, shape=Shape(rows=3))
    assert check.published_loss is None
    assert {row.published for row in check.parameters} == {None}


def test_an_implementation_that_can_not_be_inside_is_refused():
    with pytest.raises(ValueError, match="does not normalize"):
        check_network(replace(STAGED, capabilities=Capabilities(dtypes=("float32",))))
    with pytest.raises(ValueError, match="do not fall into 7 groups"):
        check_network(recipe("group"), groups=7)


def test_the_draws_are_the_notebooks():
    x, labels, parameters = notebook_draws(Shape(), 0.0)
    np.testing.assert_allclose(x[0, :3], [0.41794341, 1.39710028, -1.78590431], rtol=1e-7)
    assert len(labels) == 2
    assert list(parameters) == ["W1", "b1", "gamma1", "beta1", "W2", "b2", "gamma2", "beta2", "W3", "b3"]
    assert parameters["W2"].shape == (20, 30)


def test_the_softmax_loss_of_equal_scores_is_the_logarithm_of_their_number():
    loss, gradient = softmax_loss(np.full((2, 4), 1e6), (1, 3))
    assert loss == pytest.approx(np.log(4))
    np.testing.assert_allclose(gradient, np.array([[1, -3, 1, 1], [1, 1, 1, -3]]) / 8)


def test_the_table_shows_published_and_measured_side_by_side(published):
    lines = network_table(published).splitlines()
    assert lines[0] == "✓ numpy_staged passed"
    assert lines[1] == "15-20-30-10, N = 2, reg = 0: initial loss 2.2612 (published 2.26)"
    assert lines[3].split()[1:3] == ["W1", "1.10e-04"]


def test_the_page_shows_what_is_printed(published):
    page = (Path(__file__).resolve().parent.parent / "docs/networks.md").read_text()
    (shown, *_) = re.findall(r"^```text\n(.+?)^```", page, re.DOTALL | re.MULTILINE)

    def masked(text):
        # The digits of what is rounding noise vary with the machine, and so does their band.
        return re.sub(r"[\d.]+(e[-+]\d+)?|\([a-z ]+\)", "#", text).split()

    assert masked(shown) == masked(network_table(published))
