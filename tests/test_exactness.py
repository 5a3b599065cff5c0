"""The table of exactness: what it counts, and that the shipped implementations are exact."""

from __future__ import annotations

import numpy as np
import pytest
from rich.console import Console

from bnbench.exactness import QUANTITIES, Exactness, exactness_table, measure, mismatches
from bnbench.kernels import local_kernel
from bnbench.model import Capabilities, Subject
from bnbench.mutants import forward_of
from bnbench.registry import discover
from bnbench.runner import load


def subject(forward, **capabilities):
    return Subject(name="mine", kernel=local_kernel(forward), capabilities=Capabilities(**capabilities))


@pytest.mark.parametrize("name", ["numpy_staged", "numpy_simplified", "c_fused", "torch_native"])
def test_the_implementation_has_no_mismatching_element(name):
    subjects = load(discover().select([name])).subjects
    if not subjects:
        pytest.skip(f"{name} is not available")
    rows = measure(subjects)

    assert {(row.dtype, row.quantity) for row in rows} == {(d, q) for d in ("float32", "float64") for q in QUANTITIES}
    assert {row.kind for row in rows} == {"plain", "any eps", "large mean"}
    assert [row for row in rows if row.mismatches] == []


def test_only_declared_dtypes_and_dimensions_are_measured():
    narrow = measure([subject(forward_of(), dtypes=("float64",), ranks=(2,))], kinds=("plain",))
    wide = measure([subject(forward_of(), dtypes=("float64",))], kinds=("plain",))

    assert {row.dtype for row in narrow} == {"float64"}
    assert narrow[0].elements < wide[0].elements


def test_norms_without_state_have_no_row_for_it():
    assert {row.quantity for row in measure([subject(forward_of(norm="rms"), norm="rms")])} == {
        "y",
        "dx",
        "dgamma",
        "dbeta",
    }


def test_a_factor_in_place_of_a_division_is_counted_in_ulps():
    forward = forward_of()

    def rounding(*arrays, **options):
        y, running, vjp = forward(*arrays, **options)
        return np.nextafter(y, y.dtype.type(99)), running, vjp

    rows = measure([subject(rounding, dtypes=("float32",))], kinds=("plain",))
    y = next(row for row in rows if row.quantity == "y")

    assert y.mismatches == y.elements
    assert 0 < y.ulps < 1
    assert {row.mismatches for row in rows if row.quantity in {"running_var", "dgamma"}} == {0}


def test_an_element_that_is_nan_is_a_mismatch_and_minus_zero_is_not():
    zeros = np.zeros(3)
    assert mismatches(np.array([np.nan, -0.0, 0.0]), zeros) == 1
    assert mismatches(np.zeros(2), zeros) == 3


def test_the_table_has_a_line_per_implementation_dtype_and_kind():
    def row(quantity, different, ulps):
        return Exactness(
            implementation="mine",
            dtype="float32",
            kind="plain",
            quantity=quantity,
            elements=9,
            mismatches=different,
            ulps=ulps,
        )

    def shown(rows):
        console = Console(width=80)
        with console.capture() as captured:
            console.print(exactness_table(rows))
        return captured.get()

    text = shown([row("y", 0, 0.0), row("dx", 2, 0.519)])
    lines = [" ".join(line.split()) for line in text.splitlines()]

    assert lines[:3] == ["mine", "float32 y dx", "plain 0 of 9 2 of 9 (0.52 ulps)"]
    assert "online" in text
    assert "online" not in shown([row("y", 0, 0.0)])
