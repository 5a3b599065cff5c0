"""bnbench: verify and time normalization layers.

The public names load on first use, so that ``import bnbench`` and ``bnbench --help`` cost nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bnbench.arguments import check_arguments as check_arguments
    from bnbench.arguments import check_grouped_arguments as check_grouped_arguments
    from bnbench.model import Array as Array
    from bnbench.model import Capabilities as Capabilities
    from bnbench.model import Forward as Forward
    from bnbench.model import GroupedForward as GroupedForward
    from bnbench.model import Implementation as Implementation
    from bnbench.model import Vjp as Vjp
    from bnbench.verdict import Verdict as Verdict
    from bnbench.verification import verify as verify
    from bnbench.verification import verify_cs231n as verify_cs231n
    from bnbench.verification import verify_torch as verify_torch

__version__ = "0.1.0"

_HOME = {
    "Array": "bnbench.model",
    "Capabilities": "bnbench.model",
    "Forward": "bnbench.model",
    "GroupedForward": "bnbench.model",
    "Implementation": "bnbench.model",
    "Verdict": "bnbench.verdict",
    "Vjp": "bnbench.model",
    "check_arguments": "bnbench.arguments",
    "check_grouped_arguments": "bnbench.arguments",
    "verify": "bnbench.verification",
    "verify_cs231n": "bnbench.verification",
    "verify_torch": "bnbench.verification",
}
__all__ = [
    "Array",
    "Capabilities",
    "Forward",
    "GroupedForward",
    "Implementation",
    "Verdict",
    "Vjp",
    "__version__",
    "check_arguments",
    "check_grouped_arguments",
    "verify",
    "verify_cs231n",
    "verify_torch",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
