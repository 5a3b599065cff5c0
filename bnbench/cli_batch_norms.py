"""The implementations that a command about batch norm's speed is asked for, once they have shown that they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bnbench.console import refuse, select

if TYPE_CHECKING:
    from bnbench.model import Implementation
    from bnbench.registry import Registry


def batch_norms(registry: Registry, names: Sequence[str] | None, default: Sequence[str]) -> list[Implementation]:
    """Those of these names, or what is available of the default; refused if they are another norm or do not run."""
    from bnbench.cases import draw, draw_cotangent
    from bnbench.kernels import local_kernel
    from bnbench.model import Case
    from bnbench.registry import describe_error

    case = Case(shape=(4, 5))
    kept = []
    for each in select(registry, names or default):
        if reason := registry.missing(each):
            if names:
                refuse(f"{each.name}: {reason}")
            continue
        if each.capabilities.norm != "batch":
            refuse(f"{each.name} is {each.capabilities.norm} norm; this measures batch norm")
        try:
            local_kernel(each.load())(draw(case), draw_cotangent(case))
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises is said
            refuse(f"{each.name} raised {describe_error(error)}; bnbench check {each.name} tells more")
        kept.append(each)
    return kept
