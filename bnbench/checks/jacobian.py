"""Is the Jacobian made of one block for each thing that is normalized, and nothing between them?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bnbench.cases import draw
from bnbench.checks._check import check
from bnbench.checks.forward import outputs_have_the_types_of_the_inputs
from bnbench.jacobian import dependent_elements
from bnbench.model import Case, Comparison, Subject
from bnbench.tolerances import EXACT


@check(
    "BN341",
    mutant="a_channel_leaks_into_the_next",
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="a reduction or a broadcast over the wrong axis, an index off by one, or a buffer shared by blocks",
)
def blocks_do_not_see_each_other(subject: Subject, case: Case) -> Iterator[Comparison]:
    """No element of y changes, not even in its last bit, when only other blocks change.

    A block is what is normalized together: a channel of the batch, a row, a group. By group testing on the
    bits of the block's number: all blocks with the bit at 0, then all with the bit at 1, get other data
    and the rest must stay as it was; 2 ceil(log2 B) + 1 forward calls meet every pair of blocks. What
    moves all blocks at once, as the numeric derivatives do, presupposes this.
    """
    inputs = draw(case)
    others = draw(replace(case, seed=case.seed + 1)).x
    changed = dependent_elements(subject.kernel, inputs, others)
    index = tuple(int(i) for i in np.unravel_index(np.argmax(changed), changed.shape))
    dependent = int((changed > 0).sum())
    yield Comparison(
        quantity="y of blocks that stay",
        error=float(dependent),
        limit=EXACT.limit,
        unit="elements that change with other blocks",
        got=f"changed by {changed[index]} of the replacements" if dependent else "no change",
        expected="no change",
        index=index,
    )
