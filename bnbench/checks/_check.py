"""The decorator that turns a function into a Check: the docstring is what the reader sees."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType

from bnbench.blocks import GROUPED
from bnbench.model import Check, CheckFunction, Norm

BATCH: tuple[Norm, ...] = ("batch",)
ALL_NORMS = BATCH + GROUPED


def check(
    code: str,
    *,
    mutant: str,
    usual_cause: str,
    training: bool | None = None,
    norms: tuple[Norm, ...] = ALL_NORMS,
    after: tuple[Check, ...] = (),
    needs_threads: bool = False,
    needs_validation: bool = False,
    needs_vjp: bool = False,
    blind: Mapping[str, str] = MappingProxyType({}),
) -> Callable[[CheckFunction], Check]:
    """Declare a check: first line of the docstring is the claim, the rest the maths."""

    def declare(function: CheckFunction) -> Check:
        claim, _, maths = (inspect.getdoc(function) or "").partition("\n")
        return Check(
            code=code,
            name=function.__name__,
            group=function.__module__.rpartition(".")[2],
            claim=claim.removesuffix("."),
            maths=maths.strip(),
            usual_cause=usual_cause,
            mutant=mutant,
            run=function,
            training=training,
            norms=norms,
            after=tuple(prerequisite.code for prerequisite in after),
            needs_threads=needs_threads,
            needs_validation=needs_validation,
            needs_vjp=needs_vjp,
            blind=blind,
        )

    return declare
