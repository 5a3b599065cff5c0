"""Every quantity is recognized in every layout and with every slip, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from bnbench.diagnose.cause import Slip
from bnbench.diagnose.probe_cases import probe_cases
from bnbench.diagnose.quantities import canonical
from bnbench.diagnose.recognize import recognize

EVERY = [
    (norm, rank)
    for norm in ("batch", "layer", "group", "instance", "rms")
    for rank in (2, 3, 4)
    if (norm, rank) != ("instance", 2)
]

RUNS = {}


def runs(norm="batch", rank=2, *, training=True):
    key = norm, rank, training
    if key not in RUNS:
        RUNS[key] = [canonical(*case) for case in probe_cases(norm, rank=rank, training=training)]
    return RUNS[key]


class Values:
    """The right values of one run, ``v["x_hat"]``, and its options."""

    def __init__(self, quantities):
        self.quantities, self.options = quantities, quantities.inputs.options
        self.rows = len(quantities.inputs.x)

    def __getitem__(self, name):
        return self.quantities[name].values


def seen(function, norm="batch", rank=2, *, near=False, training=True):
    quantities = runs(norm, rank, training=training)
    return recognize([function(Values(q)) for q in quantities], quantities, near_misses=near)


def shown(name, *args, **options):
    return seen(lambda v: v[name], *args, **options)


def words(function, *args, **options):
    return [recognition.words() for recognition in seen(function, *args, **options)]


def equal(one, other, quantities):
    """Whether two quantities are the same numbers in every run, whatever shape they have."""
    if not any(q[one].values.any() or q[other].values.any() for q in quantities):
        return True
    return all(
        q[one].values.size == q[other].values.size
        and np.allclose(np.sort(q[one].values, None), np.sort(q[other].values, None), rtol=1e-9, atol=1e-14)
        for q in quantities
    )


@pytest.mark.parametrize(("norm", "rank"), EVERY)
@pytest.mark.parametrize("training", [True, False])
def test_every_quantity_is_recognized_as_itself_or_its_equals(norm, rank, training):
    quantities = runs(norm, rank, training=training)
    for known in quantities[0]:
        found = [r for r in shown(known.name, norm, rank, training=training) if r.layout in ("", "broadcast")]
        names = [r.quantity for r in found]
        assert known.name in names
        assert all(equal(name, known.name, quantities) for name in names), (known.name, names)


EQUALS = {
    "dscaled": "dy",
    "gamma dy": "dx_hat",
    "dx (through xc)": "dxc",
    "dmu (through xc)": "dmu",
    "mean(xc)": "dmu (through var)",
    "sum(dy)": "dbeta",
    "sum(dy x_hat)": "dgamma",
    "sum(dxc)": "sum(dx_hat) inverse_sd",
    "dx_hat inverse_sd": "dxc (through x_hat)",
    "gamma dy inverse_sd": "dxc (through x_hat)",
    "x_hat sum(dx_hat x_hat)": "xc sum(dx_hat xc) inverse_sd^2",
    "x_hat mean(dx_hat x_hat)": "xc mean(dx_hat xc) inverse_sd^2",
    "(dx_hat - mean(dx_hat) - x_hat mean(dx_hat x_hat)) inverse_sd": "dx",
}
"""The true equalities among the quantities of a batch norm in train mode, besides N = M for rows of one number."""


def test_equal_quantities_are_the_listed_ones():
    quantities = runs("batch", 4)
    classes = {}
    for known in quantities[0]:
        if known.extent == "number":
            continue
        names = frozenset(r.quantity for r in shown(known.name, "batch", 4) if r.layout == "" and r.quantity != "0")
        if len(names) > 1:
            classes[names] = None
    listed = {}
    for one, other in EQUALS.items():
        listed.setdefault(other, {other}).add(one)
    assert set(classes) == {frozenset(names) for names in listed.values()}


@pytest.mark.parametrize(("norm", "rank"), EVERY)
@pytest.mark.parametrize(
    ("layout", "change"),
    [
        ("transposed", lambda a: a.T),
        ("transposed", lambda a: np.moveaxis(a, 1, -1)),
        ("row by row", lambda a: a[1]),
        ("channel by channel", lambda a: a[:, 2]),
        ("element by element", lambda a: a[(1,) * a.ndim]),
        ("filled in part", lambda a: np.where(np.arange(len(a)).reshape(-1, *(1,) * (a.ndim - 1)) < 2, a, 0)),
        ("filled in part", lambda a: np.where(np.arange(len(a)).reshape(-1, *(1,) * (a.ndim - 1)) > 0, a, np.nan)),
    ],
)
@pytest.mark.parametrize("name", ["x", "x_hat", "dy", "dx_hat", "dx", "y"])
def test_layouts_of_what_has_a_value_for_each_element(norm, rank, layout, change, name):
    if (rank == 2 and change(np.ones((2, 3))).shape == (2, 3)) and layout == "transposed":
        return  # channels are last already
    found = seen(lambda v: change(v[name]), norm, rank)
    mine = [r for r in found if r.quantity == name]
    assert [r.exact for r in mine] == [True], [r.words() for r in found]
    if not (norm == "group" and layout == "channel by channel"):
        assert mine[0].layout == layout
    assert found[0].quantity in (name, "dy", "dx_hat", "dxc")


@pytest.mark.parametrize("norm", ["batch", "layer", "group", "instance"])
def test_spatial_layouts_are_recognized(norm):
    def flat(v):
        a = v["x_hat"]
        return a.transpose(0, 2, 3, 1).reshape(-1, a.shape[1])

    assert words(flat, norm, 4)[0] == "x_hat (transposed)"
    assert words(lambda v: v["x_hat"].reshape(*v["x_hat"].shape[:2], -1), norm, 4)[0] == "x_hat (reshaped)"
    assert words(lambda v: v["x_hat"].ravel(), norm, 4)[0] == "x_hat (reshaped)"
    assert words(lambda v: flat(v).T, norm, 4)[0] == "x_hat (transposed)"
    assert words(lambda v: v["x_hat"][1, :, 0, 1], norm, 4)[0].startswith("x_hat, by row")


def test_the_layouts_of_group_norm_are_recognized():
    def groups(v):
        n, c, h, w = v["x"].shape
        return v["x"].reshape(n, v.options.groups, c // v.options.groups, h, w)

    def blocks(v):
        return groups(v).reshape(v.rows * v.options.groups, -1)

    assert words(groups, "group", 4)[0] == "x (reshaped)"
    assert words(blocks, "group", 4)[0] == "x (reshaped)"
    assert words(lambda v: blocks(v).T, "group", 4)[0] == "x (transposed)"
    assert words(lambda v: blocks(v).mean(1), "group", 4)[0].startswith("mu")
    assert words(lambda v: groups(v).mean((2, 3, 4), keepdims=True), "group", 4)[0] == "mu"
    assert words(lambda v: np.repeat(v["mu"], v["x"].shape[1] // v.options.groups, axis=1), "group", 4)[0] == "mu"
    assert words(lambda v: groups(v)[:, 1], "group", 4)[0] == "x, group by group"


@pytest.mark.parametrize("name", ["mu", "var", "sd", "inverse_sd", "gamma", "dgamma", "dbeta", "dvar", "dmu"])
@pytest.mark.parametrize(
    "change",
    [
        lambda a, _: a[np.newaxis],
        lambda a, _: a[:, np.newaxis],
        lambda a, rows: np.tile(a, (rows, 1)),
        lambda a, rows: np.tile(a, (rows, 1)).T,
        lambda a, rows: a[:, np.newaxis] * np.ones((1, rows)),
        lambda a, rows: np.broadcast_to(a, (rows, len(a))),
        lambda a, _: a[2],
        lambda a, _: float(a[1]),
        lambda a, _: np.where(np.arange(len(a)) < 3, a, 0),
    ],
)
def test_layouts_of_what_has_a_value_for_each_channel(name, change):
    found = seen(lambda v: change(v[name], v.rows))
    assert found[0].exact
    assert found[0].quantity == name


@pytest.mark.parametrize(("name", "terms"), [("dbeta", "dy"), ("dgamma", "dy x_hat"), ("dinverse_sd", "dx_hat xc")])
def test_unfinished_sums_are_recognized(name, terms):
    assert words(lambda v: v[terms][:3].sum(0))[0] == f"{name}, summed in part"

    def underway(v):
        total = v[terms][:3].sum(0)
        total[1] += v[terms][3, 1]  # one column is a row ahead, as in a loop over scalars
        return total

    assert words(underway)[0] == f"{name}, summed in part"
    assert words(lambda v: v[terms][:3, 1].sum())[0] == f"{name}, summed in part"


def test_a_sum_that_is_finished_in_one_run_only_is_unfinished():
    quantities = runs()
    values = [quantities[0]["dy"].values[:5].sum(0), quantities[1]["dy"].values[:5].sum(0)]
    assert values[1].tolist() == pytest.approx(quantities[1]["dbeta"].values.tolist())
    assert recognize(values, quantities)[0].words() == "dbeta, summed in part"


def test_mixing_channels_is_another_order():
    found = seen(lambda v: v["x"].reshape(-1, v["x"].shape[1]), rank=4)
    assert found[0].words() == "x, in another order"
    assert found[0].slip is Slip.LAYOUT
    assert not found[0].exact
    rolled = seen(lambda v: np.roll(v["gamma"], 1))
    assert rolled[0].words() == "gamma, in another order"


NEAR = [
    ("3 x sd", Slip.FACTOR, lambda v: 3 * v["sd"] * np.ones((1, 1))),
    ("4 x dvar", Slip.FACTOR, lambda v: 4 * v["dvar"]),
    ("-dx", Slip.SIGN, lambda v: -v["dx"]),
    ("N x dxc", Slip.COUNT, lambda v: v.rows * v["dxc"]),
    ("1/(N-1) x dgamma", Slip.COUNT, lambda v: v["dgamma"] / (v.rows - 1)),
    ("N/(N-1) x dvar", Slip.COUNT, lambda v: v["dvar"] * v.rows / (v.rows - 1)),
    ("1/C x dbeta", Slip.COUNT, lambda v: v["dbeta"] / v["x"].shape[1]),
    ("1/(N C) x dx_hat", Slip.COUNT, lambda v: v["dx_hat"] / v["x"].size),
    ("2 x x_hat (transposed)", Slip.FACTOR, lambda v: 2 * v["x_hat"].T),
    ("-x_hat, row by row", Slip.SIGN, lambda v: -v["x_hat"][1]),
    ("-x_hat, element by element", Slip.SIGN, lambda v: -v["x_hat"][2, 3]),
    ("dxc times gamma", Slip.FACTOR, lambda v: v["dxc"] * v["gamma"]),
    ("dinverse_sd divided by var", Slip.FACTOR, lambda v: v["dinverse_sd"] / v["var"]),
    ("sd without eps", Slip.EPS, lambda v: np.sqrt(v["var"])),
    ("sd with eps outside the root", Slip.EPS, lambda v: np.sqrt(v["var"]) + v.options.eps),
    ("x_hat with eps outside the root", Slip.EPS, lambda v: v["xc"] / (np.sqrt(v["var"]) + v.options.eps)),
    ("x_hat without eps, row by row", Slip.EPS, lambda v: (v["xc"] / np.sqrt(v["var"]))[1]),
    ("inverse_sd with eps = 1e-05", Slip.EPS, lambda v: 1 / np.sqrt(v["var"] + 1e-5)),
    ("x_hat with eps = 1e-10", Slip.EPS, lambda v: v["xc"] / np.sqrt(v["var"] + 1e-10)),
    ("sd with max(var, eps)", Slip.EPS, lambda v: np.sqrt(np.maximum(v["var"], v.options.eps))),
    ("dvar without eps", Slip.EPS, lambda v: -0.5 * v["dinverse_sd"] * v["var"] ** -1.5),
    (
        "sd with divisor M-1",
        Slip.COUNT,
        lambda v: np.sqrt(v["x"].var(0, ddof=1) + v.options.eps),
    ),
    (
        "var, mean over everything instead of mean over the rows",
        Slip.REDUCTION,
        lambda v: v["sq"].mean(),
    ),
    (
        "var, statistics over everything instead of over the rows",
        Slip.REDUCTION,
        lambda v: v["x"].var(),
    ),
    (
        "dgamma, sum over the columns instead of sum over the rows",
        Slip.REDUCTION,
        lambda v: (v["dy"] * v["x_hat"]).sum(1),
    ),
    ("mu, max instead of mean", Slip.REDUCTION, lambda v: v["x"].max(0)),
    ("dgamma with x in place of x_hat", Slip.OPERAND, lambda v: (v["dy"] * v["x"]).sum(0)),
    (
        "x_hat, statistics over the columns instead of over the rows",
        Slip.REDUCTION,
        lambda v: (v["x"] - v["x"].mean(1, keepdims=True)) / np.sqrt(v["x"].var(1, keepdims=True) + v.options.eps),
    ),
    ("var to the power 2", Slip.POWER, lambda v: v["var"] ** 2),
    ("sd to the power 3", Slip.POWER, lambda v: v["sd"] ** 3),
    ("xc - sd", Slip.TERM, lambda v: v["xc"] - v["sd"]),
    ("xc - sd, row by row", Slip.TERM, lambda v: (v["xc"] - v["sd"])[2]),
    ("xc - sd, element by element", Slip.TERM, lambda v: (v["xc"] - v["sd"])[2, 1]),
    ("y with 1/gamma x scaled", Slip.FACTOR, lambda v: v["x_hat"] + v["beta"]),
    (
        "dx with N/(N-1) x dxc (through sq)",
        Slip.COUNT,
        lambda v: v["dx (without sq)"] + v["dxc (through sq)"] * v.rows / (v.rows - 1),
    ),
    ("dx with -1 x dx (through mu)", Slip.SIGN, lambda v: v["dxc"] - v["dx (through mu)"]),
    (
        "dx with 1/gamma x dx (through mu)",
        Slip.FACTOR,
        lambda v: v["dxc"] + v["dx (through mu)"] / v["gamma"],
    ),
    (
        "running_mean (after): average with the weights swapped",
        Slip.STATE,
        lambda v: (1 - v.options.momentum) * v["mu"] + v.options.momentum * v["running_mean (before)"],
    ),
    (
        "running_var (after): average of sd",
        Slip.STATE,
        lambda v: v.options.momentum * v["sd"] + (1 - v.options.momentum) * v["running_var (before)"],
    ),
]


@pytest.mark.parametrize(("expected", "slip", "function"), NEAR, ids=[row[0] for row in NEAR])
def test_a_near_miss_is_named(expected, slip, function):
    assert seen(function) == () or seen(function)[0].words() == expected
    first = seen(function, near=True)[0]
    assert (first.words(), first.slip) == (expected, slip)


def test_the_wrong_mode_is_exact_and_says_so():
    assert words(lambda v: (v["x"] - v["x"].mean(0)) / np.sqrt(v["x"].var(0) + v.options.eps), training=False) == [
        "x_hat of the batch"
    ]
    running = lambda v: (v["x"] - v["running_mean (before)"]) / np.sqrt(v["running_var (before)"] + v.options.eps)  # noqa: E731
    assert words(running) == ["x_hat of the running averages"]


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_a_count_is_not_mistaken_for_another_on_images(norm):
    def wrong(count):
        return words(lambda v: v["dvar"] * count(v["x"].shape), norm, 4, near=True)[0]

    assert wrong(lambda s: 1 / s[0]) == "1/N x dvar"
    assert wrong(lambda s: s[2] * s[3]) == "H W x dvar"
    assert wrong(lambda s: s[1] / s[0]) == "C/N x dvar"
    assert wrong(lambda s: 1 / (s[0] * s[1])) == "1/(N C) x dvar"


def test_numbers_are_recognized_integers_too():
    assert words(lambda v: v["x"].shape[1]) == ["C"]
    assert words(lambda v: v.options.eps) == ["eps"]
    assert words(lambda v: 1 - v.options.momentum) == ["1-momentum"]
    assert words(lambda v: np.ones_like(v["x"])) == ["1"]
    assert words(lambda _: 0.0)[0] == "0"
    assert words(lambda v: v["xc"].mean(0))[0] == "dmu (through var)"
    assert seen(lambda _: 0.137) == ()


@pytest.mark.parametrize("near", [False, True])
@pytest.mark.parametrize(
    "junk",
    [
        lambda v: np.full_like(v["x"], np.nan),
        lambda v: np.full_like(v["x"], np.inf),
        lambda v: np.where(v["x"] > 0, np.inf, v["x"]),
        lambda v: np.where(v["x"] > 0, np.nan, np.inf),
        lambda _: np.zeros((0, 3)),
        lambda v: np.arange(v["x"].shape[1]),
        lambda v: np.ones(v["x"].shape, int),
        lambda v: np.ones(v["x"].shape, bool),
        lambda _: np.array(["a", "b"]),
        lambda _: None,
        lambda _: [[1.0], [2.0, 3.0]],
        lambda v: 1j * v["x"],
        lambda _: {"a": 1},
        lambda v: v["x"].astype(object),
    ],
)
def test_what_is_no_array_of_finite_numbers_is_not_recognized(junk, near):
    with np.errstate(all="raise"):
        assert seen(junk, near=near) == ()


@pytest.mark.parametrize(("norm", "rank"), [("batch", 2), ("layer", 2), ("group", 4), ("batch", 4)])
def test_random_arrays_match_nothing(norm, rank):
    rng = np.random.default_rng(5)
    sizes = ("element", "channel", "row", "scalar")
    for kind in sizes * 5:

        def draw(v, kind=kind):
            shape = v["x"].shape
            size = {"element": shape, "channel": shape[1:2], "row": shape[1:], "scalar": ()}[kind]
            return rng.standard_normal(size)

        assert seen(draw, norm, rank, near=True) == ()


def test_a_label_must_hold_in_every_run():
    quantities = runs()
    one, other = (q["x_hat"].values for q in quantities)
    assert recognize([one, 2 * other], quantities, near_misses=True) == ()
    assert recognize([one, quantities[1]["xc"].values], quantities, near_misses=True) == ()
    with pytest.raises(ValueError, match="two runs or more"):
        recognize([one], quantities[:1])


def test_an_error_of_rounding_size_is_none_and_a_larger_one_is():
    rng = np.random.default_rng(2)
    for size, right in ((1e-14, True), (1e-9, False)):

        def noisy(v, size=size):
            a = v["dx"]
            return a + size * np.abs(a).max() * rng.standard_normal(a.shape)

        assert bool(seen(noisy)) is right
