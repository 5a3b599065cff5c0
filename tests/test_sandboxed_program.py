"""A program in a worker tells a diagnosis what the same program tells it in this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bnbench.adapters.cs231n import LAYERS
from bnbench.adapters.program import LayerProgram
from bnbench.adapters.sandboxed_program import SandboxedProgram
from bnbench.diagnose.inquiry import inquire
from bnbench.diagnose.suspects import find_suspect
from bnbench.sandbox.host import Sandbox
from bnbench.sandbox.worker import Status, SubmissionError

WRONG = Path(__file__).parent / "bank" / "wrong"
FILES = ("missing_mean_path", "dvar_sign", "momentum_swapped", "undefined_in_backward", "outputs_left_none")


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


@pytest.mark.parametrize("name", FILES)
def test_the_suspect_is_the_same(sandbox, name):
    text = (WRONG / f"{name}.py").read_text()
    here = find_suspect(inquire(LayerProgram(text, "layers.py", LAYERS[0])))
    with SandboxedProgram(sandbox, text, "layers.py", LAYERS[0]) as program:
        there = find_suspect(inquire(program))

    assert here is not None
    assert repr(there.__class__) == repr(here.__class__)
    for part in ("function", "line", "statement", "name", "shows", "quantity", "slip", "proof", "elements", "message"):
        assert getattr(there, part) == getattr(here, part), part


def test_a_run_with_a_value_replaced_is_the_same(sandbox):
    text = (WRONG / "missing_mean_path.py").read_text()
    local = LayerProgram(text, "layers.py", LAYERS[0])
    event = next(i for i, e in enumerate(local.trace(0).events) if e.value.ndim == 1)
    replacement = {event: np.full_like(local.trace(0).events[event].value, 3.0)}
    with SandboxedProgram(sandbox, text, "layers.py", LAYERS[0]) as program:
        here, there = local.trace(0, replacement), program.trace(0, replacement)

        assert there.sites == here.sites
        assert len(there.events) == len(here.events)
        assert all(
            np.array_equal(a.value, b.value, equal_nan=True) for a, b in zip(there.events, here.events, strict=True)
        )
        assert [e.inputs for e in there.events] == [e.inputs for e in here.events]
        assert program.outputs(0, there).keys() == local.outputs(0, here).keys()


@pytest.mark.parametrize(
    "forged",
    ["[]", "{'sites': [], 'events': [[0, 1, 2, []]]}", "{'sites': [], 'events': [], 'results': 1, 'arguments': 2}"],
)
def test_a_forged_trace_is_refused(sandbox, forged):
    text = "import sys\n\nsys.modules['child.tracing'].Traced.trace = lambda *a: FORGED\n"
    text = text.replace("FORGED", forged) + "def batchnorm_forward(x, gamma, beta, bn_param):\n    return x, x\n"
    with SandboxedProgram(sandbox, text, "layers.py", LAYERS[0], backward=False) as program:
        with pytest.raises(SubmissionError) as caught:
            program.trace(0)

        assert caught.value.status is Status.PROTOCOL
