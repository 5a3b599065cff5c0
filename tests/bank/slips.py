# ruff: noqa: C901, PLR0912, T201 - a catalogue, and a command
"""Right files made wrong by one slip each: material for measuring a diagnosis beyond the files of the bank.

    python tests/bank/slips.py [--each 4] [--seed 0] [--show wrong]

Every slip is one that a student makes: a term dropped, an axis or a count mistaken, a stale variable, an operand
transposed. The catalogue is written from the course's exercises, not from the corrections that the diagnosis tries.
"""

from __future__ import annotations

import argparse
import ast
import copy
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Literal

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import score  # noqa: E402
import test_bank  # noqa: E402

REDUCTIONS = ("sum", "mean", "var", "std")
SIMPLE = (ast.Assign, ast.AugAssign, ast.Return)


@dataclass(frozen=True, kw_only=True)
class Slip:
    """A file with one slip."""

    file: str
    source: str
    kind: str
    line: int
    was: str
    """The statement, before."""
    now: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the diagnosis said of it."""

    slip: Slip
    answer: Literal["right", "flow", "wrong", "undecided", "crashed"]
    """``flow``: a line that uses what the wrong one binds, or binds what it uses."""
    says: str
    proof: str
    seconds: float


def right_sources() -> Iterator[tuple[str, str]]:
    """Correct files, and wrong ones repaired; laid out as ``ast.unparse`` does, one statement a line."""
    for path in score.correct_files():
        yield path.name, ast.unparse(ast.parse(path.read_text()))
    for entry in score.wrong_files():
        yield Path(entry["file"]).name, ast.unparse(ast.parse(test_bank.repaired(entry)))


def every_slip(file: str, source: str) -> Iterator[Slip]:
    """All slips of the catalogue in one right file, whether or not they change an answer."""
    tree = ast.parse(source)
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for statement in _statements(function):
                for kind, wrong in _wrong_statements(function, statement):
                    text = _with(source, statement, wrong)
                    yield Slip(
                        file=file,
                        source=text,
                        kind=kind,
                        line=statement.lineno,
                        was=ast.unparse(statement),
                        now=ast.unparse(wrong).replace("\n", "; "),
                    )


def _with(source: str, statement: ast.stmt, wrong: ast.stmt) -> str:
    lines = source.splitlines()
    first, last = statement.lineno - 1, statement.end_lineno or statement.lineno
    text = [" " * statement.col_offset + line for line in ast.unparse(wrong).splitlines()]
    if isinstance(statement, ast.For):  # only its head
        text, last = text[:1], first + 1
    return "\n".join([*lines[:first], *text, *lines[last:]]) + "\n"


def _statements(function: ast.FunctionDef) -> Iterator[ast.stmt]:
    stack: list[ast.stmt] = list(function.body)
    while stack:
        statement = stack.pop(0)
        if isinstance(statement, (*SIMPLE, ast.For)):
            yield statement
        for block in ("body", "orelse"):
            if not isinstance(statement, ast.FunctionDef | ast.ClassDef):
                stack += getattr(statement, block, [])


def _wrong_statements(function: ast.FunctionDef, statement: ast.stmt) -> Iterator[tuple[str, ast.stmt]]:
    names = _names_before(function, statement)
    if isinstance(statement, ast.AugAssign):
        if isinstance(statement.op, ast.Add):
            yield "replaced instead of added", ast.Assign([statement.target], statement.value, lineno=1)
            yield "subtracted", ast.AugAssign(statement.target, ast.Sub(), statement.value)
        yield "left out", ast.Pass()
    if isinstance(statement, ast.Assign):
        yield from _of_assignment(statement, names)
    if isinstance(statement, ast.Return) and isinstance(statement.value, ast.Tuple):
        for i in range(len(statement.value.elts) - 1):
            elements = list(statement.value.elts)
            elements[i], elements[i + 1] = elements[i + 1], elements[i]
            yield "outputs swapped", ast.Return(ast.Tuple(elements, ast.Load()))
    value = statement.iter if isinstance(statement, ast.For) else getattr(statement, "value", None)
    if value is None:
        return
    field = "iter" if isinstance(statement, ast.For) else "value"
    for kind, wrong in _inside(value, names, None):
        changed = copy.copy(statement)
        setattr(changed, field, wrong)
        yield kind, changed


def _of_assignment(statement: ast.Assign, names: list[str]) -> Iterator[tuple[str, ast.stmt]]:
    target, value = statement.targets[0], statement.value
    if isinstance(target, ast.Tuple) and not isinstance(value, ast.Tuple):
        elements = list(target.elts)
        elements[0], elements[1] = elements[1], elements[0]
        yield "unpacked in another order", ast.Assign([ast.Tuple(elements, ast.Store())], value, lineno=1)
    if isinstance(target, ast.Name) and target.id in names:
        yield "left out", ast.Pass()
    if isinstance(target, ast.Name) and isinstance(value, ast.BinOp) and isinstance(value.left, ast.Name):
        store = ast.Name(value.left.id, ast.Store())
        in_place = ast.AugAssign(store, value.op, value.right)
        yield "in place", ast.Module([in_place, ast.Assign([target], value.left, lineno=1)], [])  # type: ignore[misc]
    if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Name):
        others = [name for name in names if len(name) == 1 and name != target.slice.id]
        for other in others[:2]:
            wrong = ast.Subscript(target.value, ast.Name(other, ast.Load()), ast.Store())
            yield "wrong index", ast.Assign([wrong], value, lineno=1)


def _names_before(function: ast.FunctionDef, statement: ast.stmt) -> list[str]:
    stored = (node for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    before = (node.id for node in stored if node.lineno < statement.lineno)
    return list(dict.fromkeys([*(argument.arg for argument in function.args.args), *before]))


def _inside(node: ast.expr, names: list[str], parent: ast.AST | None) -> Iterator[tuple[str, ast.expr]]:
    """The expression with one slip, in itself or in a part of it."""
    yield from _here(node, names, parent)
    for field, child in ast.iter_fields(node):
        if isinstance(node, ast.Call) and field == "func" and not isinstance(child, ast.Attribute):
            continue
        children = child if isinstance(child, list) else [child]
        for k, part in enumerate(children):
            if not isinstance(part, ast.expr):
                continue
            for kind, wrong in _inside(part, names, node):
                changed = copy.copy(node)
                setattr(changed, field, [*children[:k], wrong, *children[k + 1 :]] if child is children else wrong)
                yield kind, changed


def _here(node: ast.expr, names: list[str], parent: ast.AST | None) -> Iterator[tuple[str, ast.expr]]:
    match node:
        case ast.BinOp():
            yield from _of_operation(node)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            yield "sign", operand
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            if isinstance(parent, ast.Subscript):
                yield "wrong axis of a shape", ast.Constant(1 - value if value in (0, 1) else 0)
            elif isinstance(parent, ast.BinOp | ast.UnaryOp):
                for other in {1: (2,), 2: (1, 3), 0.5: (1, 2), 1.5: (0.5, 1), 3: (2, 1.5)}.get(value, ()):
                    yield "constant", ast.Constant(other)
        case ast.Constant(value=str(key)) if isinstance(parent, ast.Subscript):
            for other in ("x_hat", "mu", "mean", "var", "running_mean", "running_var", "xc"):
                if other != key:
                    yield "wrong key", ast.Constant(other)
        case ast.Name(id=name, ctx=ast.Load()) if name not in ("np", "numpy"):
            for other in names:
                if other != name:
                    yield "wrong variable", ast.Name(other, ast.Load())
        case ast.Attribute(attr="T", value=value):
            yield "not transposed", value
        case ast.Call():
            yield from _of_call(node)


def _of_operation(node: ast.BinOp) -> Iterator[tuple[str, ast.expr]]:
    left, op, right = node.left, node.op, node.right
    match op:
        case ast.Add() | ast.Sub():
            yield "term dropped", left
            yield "term dropped", right
            yield "sign", ast.BinOp(left, ast.Sub() if isinstance(op, ast.Add) else ast.Add(), right)
            if isinstance(op, ast.Add):
                yield "operation", ast.BinOp(left, ast.Mult(), right)
        case ast.Mult():
            yield "factor dropped", left
            yield "factor dropped", right
            yield "multiplied", ast.BinOp(left, ast.Div(), right)
        case ast.Div():
            yield "divisor dropped", left
            yield "divided", ast.BinOp(left, ast.Mult(), right)
            yield "operation", ast.BinOp(left, ast.Sub(), right)
        case ast.Pow():
            yield "power dropped", left
        case ast.MatMult():
            yield "operands swapped", ast.BinOp(right, op, left)


def _of_call(node: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    def renamed(name: str) -> ast.Call:
        assert isinstance(node.func, ast.Attribute)
        return ast.Call(ast.Attribute(node.func.value, name, ast.Load()), node.args, node.keywords)

    def without(*given: str, **new: ast.expr) -> ast.Call:
        kept = [keyword for keyword in node.keywords if keyword.arg not in (*given, *new)]
        return ast.Call(node.func, node.args, [*kept, *(ast.keyword(k, v) for k, v in new.items())])

    name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    of_module = isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)
    of_module = of_module and node.func.value.id in ("np", "numpy")  # type: ignore[union-attr]
    if name in REDUCTIONS:
        for other in {"sum": ("mean",), "mean": ("sum",), "var": ("std",), "std": ("var",)}[name]:
            yield "other reduction", renamed(other)
        if name in ("var", "std"):
            yield "ddof", without(ddof=ast.Constant(1))
        axis = next((k.value for k in node.keywords if k.arg == "axis"), None)
        if axis is not None:
            yield "axis left out", without("axis")
            for other in ("0", "1", "(0, 2)", "(1, 2, 3)", "(2, 3)"):
                if other != ast.unparse(axis):
                    yield "wrong axis", without(axis=ast.parse(other, mode="eval").body)
        if any(k.arg == "keepdims" for k in node.keywords):
            yield "keepdims lost", without("keepdims")
        yield "not reduced", node.args[0] if of_module and node.args else node.func.value  # type: ignore[union-attr]
    if name in ("sqrt", "square"):
        yield "no root or square", node.args[0]
        inner = node.args[0]
        if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Add):
            root = ast.Call(node.func, [inner.left], [])
            yield "eps outside", ast.BinOp(root, ast.Add(), inner.right)
    if name == "dot" and of_module:
        yield "operands swapped", ast.Call(node.func, node.args[::-1], [])
    if name in ("transpose", "copy") and not of_module:
        yield "not transposed", node.func.value  # type: ignore[union-attr]
    if isinstance(node.func, ast.Name) and node.func.id == "range" and len(node.args) == 1:
        yield "range starts at 1", ast.Call(node.func, [ast.Constant(1), node.args[0]], [])
        yield "range one short", ast.Call(node.func, [ast.BinOp(node.args[0], ast.Sub(), ast.Constant(1))], [])
    if isinstance(node.func, ast.Name) and len(node.args) >= 2 and node.func.id not in ("range", "max", "min", "zip"):
        yield "arguments swapped", ast.Call(node.func, [node.args[1], node.args[0], *node.args[2:]], node.keywords)


def sample(each: int, seed: int) -> Iterator[Slip]:
    """So many slips of every right file, of kinds as different as possible, all of which change an answer."""
    rng = random.Random(seed)  # noqa: S311 - a choice of examples
    for file, source in right_sources():
        by_kind: dict[str, list[Slip]] = {}
        for slip in every_slip(file, source):
            by_kind.setdefault(slip.kind, []).append(slip)
        kinds = list(by_kind)
        rng.shuffle(kinds)
        taken = 0
        for kind in (kinds * 3)[: 4 * each]:
            slip = rng.choice(by_kind[kind])
            if taken < each and changes_an_answer(slip):
                taken += 1
                yield slip


def changes_an_answer(slip: Slip) -> bool:
    """Whether a layer of the file is wrong with the slip."""
    with redirect_stdout(StringIO()):
        try:
            return bool(test_bank.faults(slip.source))
        except Exception:  # noqa: BLE001 - the file itself does not load
            return False


def diagnosed(slip: Slip) -> Outcome:
    """Diagnose a file with a slip and compare."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layers.py"
        path.write_text(slip.source)
        start = time.process_time()
        try:
            suspects = score.suspects_of(path)
        except Exception as error:  # noqa: BLE001 - whatever the diagnosis stumbles over is counted
            return Outcome(slip=slip, answer="crashed", says=repr(error), proof="", seconds=0.0)
        seconds = time.process_time() - start
    if not suspects:
        return Outcome(slip=slip, answer="undecided", says="", proof="", seconds=seconds)
    first = suspects[0]
    says = f"line {first.line}: {first.slip}, {first.quantity}: {first.statement}"
    if first.correction is not None:
        says += f"  =>  {first.correction.edit.corrected}"
    answer: Literal["right", "flow", "wrong"] = "wrong"
    if first.line in (slip.line, slip.line + (slip.kind == "in place")) or first.line is None:
        answer = "right"
    elif _in_flow(slip, first.line):
        answer = "flow"
    return Outcome(slip=slip, answer=answer, says=says, proof=first.proof, seconds=seconds)


def _in_flow(slip: Slip, line: int) -> bool:
    accused = [s for s in ast.walk(ast.parse(slip.source)) if isinstance(s, ast.stmt) and s.lineno == line]
    made, used = _bound(ast.parse(slip.was)), _used(ast.parse(slip.was))
    return any(made & _used(s) or used & _bound(s) for s in accused)


def _bound(tree: ast.AST) -> set[str]:
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Assign | ast.AugAssign)]
    targets = [t for n in nodes for t in (n.targets if isinstance(n, ast.Assign) else [n.target])]
    return {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}


def _used(tree: ast.AST) -> set[str]:
    skip = {"np", "numpy", "x", "N", "D", "eps"}
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)} - skip


def measure(each: int, seed: int, processes: int = 2) -> list[Outcome]:
    """The outcomes of a sample."""
    with multiprocessing.Pool(processes) as pool:
        return list(pool.imap(diagnosed, sample(each, seed), chunksize=4))


def main(arguments: list[str] | None = None) -> None:
    """Print how often the diagnosis names the line of a slip."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--each", type=int, default=4, help="slips of each file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", nargs="*", default=["wrong"], help="answers to show one by one")
    options = parser.parse_args(arguments)
    found = measure(options.each, options.seed)
    for outcome in found:
        if outcome.answer in options.show:
            slip = outcome.slip
            print(f"{outcome.answer} {slip.file}:{slip.line} {slip.kind} ({outcome.proof}, {outcome.seconds:.1f} s)")
            print(f"    was  {slip.was}\n    now  {slip.now}\n    says {outcome.says}")
    print(f"{len(found)} files: {dict(Counter(outcome.answer for outcome in found))}")
    for proof in ("edited", "replayed", "recognized"):
        print(f"  {proof}: {dict(Counter(o.answer for o in found if o.proof == proof))}")
    for outcome in sorted(found, key=lambda outcome: -outcome.seconds)[:3]:
        print(
            f"  {outcome.seconds:.1f} s: {outcome.slip.file}:{outcome.slip.line} {outcome.slip.now.partition(';')[0]}"
        )
    seconds = sorted(outcome.seconds for outcome in found)
    print(f"seconds: median {seconds[len(seconds) // 2]:.2f}, at most {seconds[-1]:.2f}")


if __name__ == "__main__":
    main()
