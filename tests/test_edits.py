"""Edits: small changes of the source, made and taken back, that leave the length of every loop alone."""

from __future__ import annotations

import ast

import pytest

from bnbench.diagnose.cause import Slip
from bnbench.diagnose.edits import copies, edits, reorderings, scope, twice


def function_of(*lines, parameters="x, y, N, D, eps"):
    body = "\n".join(f"    {line}" for line in lines)
    return ast.parse(f"def f({parameters}):\n{body}\n").body[0]


def proposals(line, **options):
    """What each corrected statement is the cheapest edit for."""
    found = sorted(edits(function_of(line), **options), key=lambda edit: -edit.cost)
    return {edit.corrected: edit.slip for edit in found}


PROPOSED = [
    ("v = np.sqrt(y) + eps", "v = np.sqrt(y + eps)", Slip.EPS),
    ("v = np.sqrt(y)", "v = np.sqrt(y + eps)", Slip.TERM),
    ("v = x - y", "v = x / y", Slip.OPERATION),
    ("v = x - y", "v = x + y", Slip.SIGN),
    ("v = y - x", "v = x - y", Slip.SIGN),
    ("v = x * y", "v = x", Slip.FACTOR),
    ("v = x * 2.0", "v = x * 0.5", Slip.FACTOR),
    ("v = x / N", "v = x / D", Slip.OPERAND),
    ("v = x.shape[1]", "v = x.shape[0]", Slip.COUNT),
    ("v = x ** -1", "v = x ** (-1.5)", Slip.POWER),
    ("v = np.mean(x, axis=0)", "v = np.sum(x, axis=0)", Slip.COUNT),
    ("v = np.mean(x, axis=0)", "v = np.mean(x, axis=1)", Slip.REDUCTION),
    ("v = x.mean(axis=0)", "v = x.mean(axis=0, keepdims=True)", Slip.REDUCTION),
    ("v = np.sum(x)", "v = np.sum(x, axis=0)", Slip.REDUCTION),
    ("v = x * y", "v = np.sum(x * y, axis=0)", Slip.REDUCTION),
    ("v = np.var(x, axis=0, ddof=1)", "v = np.var(x, axis=0)", Slip.COUNT),
    ("v = np.dot(x, y)", "v = np.dot(y, x)", Slip.LAYOUT),
    ("v = x", "v = x.T", Slip.LAYOUT),
    ("v = x.T", "v = x", Slip.LAYOUT),
    ("v += x", "v -= x", Slip.SIGN),
    ("x = y", "x = x + y", Slip.TERM),
    ("for i in range(1, N - 1): x[i] = y[i]", "for i in range(N):", Slip.REDUCTION),
]


@pytest.mark.parametrize(("line", "corrected", "slip"), PROPOSED, ids=[f"{row[0]} -> {row[1]}" for row in PROPOSED])
def test_the_catalogue_proposes(line, corrected, slip):
    assert proposals(line).get(corrected) is slip


def test_in_a_loop_an_overwritten_sum_is_a_reduction():
    found = {edit.corrected: edit.slip for edit in edits(function_of("for i in range(N):", "    v = x[i]"))}
    assert found["v = v + x[i]"] is Slip.REDUCTION


def test_an_edit_is_taken_back_even_after_an_exception():
    function = function_of("v = x - y", "return v * 2, N")
    before = ast.dump(function, include_attributes=True)
    for edit in [*edits(function), *reorderings(function, lines=(2, 3)), *copies(function, lines=(2, 3))]:
        with edit.applied():
            compile(ast.Module([function], []), "edited", "exec")
            assert ast.dump(function, include_attributes=True) != before
        with pytest.raises(ZeroDivisionError), edit.applied():
            1 / 0  # noqa: B018
        assert ast.dump(function, include_attributes=True) == before


def test_every_edit_changes_the_source_and_says_so():
    function = function_of("v = np.sqrt(x - y) / N", "return v * 2, N")
    whole = ast.unparse(function)
    for edit in edits(function):
        with edit.applied():
            assert ast.unparse(function) != whole
        assert (edit.before, edit.original) != (edit.after, edit.corrected)
        assert edit.original in whole


def test_only_statements_that_start_on_the_given_lines_are_edited():
    function = function_of("v = x - y", "w = v * 2", "return w")
    assert {edit.line for edit in edits(function, lines=[3])} == {3}


def test_only_variables_that_are_given_are_put_in():
    function = function_of("v = x - y", "return v", parameters="x, y, mode")
    put_in = "\n".join(edit.corrected for edit in edits(function, variables={"x", "y", "v"}))
    assert "y - x" in put_in
    assert "mode" not in put_in


def test_what_decides_how_long_a_while_loop_runs_is_left_alone():
    function = function_of("i = 0", "k = 1", "v = 0", "while i < N:", "    v = v + x[i]", "    i = i + k", "return v")
    assert {edit.original for edit in edits(function)} == {"v = 0", "v = v + x[i]", "return v"}


def test_a_shape_is_not_multiplied():
    function = function_of("v = np.empty(x.shape)", "w = np.zeros(s)", parameters="x, s, N")
    found = {edit.corrected for edit in edits(function, variables={"x", "N"})}
    assert not any("x.shape *" in corrected or "s *" in corrected for corrected in found), found


def test_reorderings_exchange_what_is_packed_unpacked_and_returned():
    function = function_of("a, b = x", "c = (a, b)", "return a, c")
    found = {edit.corrected for edit in reorderings(function, lines=(2, 3, 4))}
    assert found == {"b, a = x", "c = (b, a)", "return (c, a)"}


def test_copies_are_made_of_what_gets_another_name():
    function = function_of("a = x", "return a + y, (x, N)")
    found = {edit.corrected for edit in copies(function, lines=(2, 3))}
    assert found == {"a = x.copy()", "return (a + y, (x.copy(), N))", "return (a + y, (x, N.copy()))"}


def test_a_count_is_forgotten_in_two_places_of_one_statement():
    function = function_of("v = x - np.sum(x, axis=0) - y * np.sum(x * y, axis=0)")
    found = {edit.corrected for edit in twice(edits(function))}
    assert "v = x - np.mean(x, axis=0) - y * np.mean(x * y, axis=0)" in found
    assert "v = x - np.sum(x, axis=0) / N - y * np.sum(x * y, axis=0) / N" in found


def test_the_scope_is_what_a_function_binds():
    function = function_of("v = x", "for i in range(N): w, z = v, i", parameters="x, /, N, *, eps")
    assert scope(function) == ("x", "N", "eps", "v", "i", "w", "z")
