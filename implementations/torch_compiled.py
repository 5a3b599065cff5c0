"""The formula of ``torch_composed`` compiled by ``torch.compile``: one kernel for the forward, one for the backward."""

from __future__ import annotations

import os
import shutil

from bnbench import Capabilities, Forward, Implementation

from ._torch import with_numpy_arrays


def load() -> Forward:
    """Nothing is compiled yet: torch compiles at the first call of each rank, mode and type, for ten seconds or so."""
    import torch
    from torch._functorch import config

    from .torch_composed import batch_norm

    # Else the compiled backward writes over what it was given, and can be called once only.
    config.donated_buffer = False
    return with_numpy_arrays(torch.compile(batch_norm, dynamic=True))


def unavailable() -> str:
    """Why nothing can be compiled here, or ""."""
    compilers = (os.environ["CXX"],) if "CXX" in os.environ else ("g++", "clang++")
    if any(map(shutil.which, compilers)):
        return ""
    return f"torch.compile needs a C++ compiler, and {' or '.join(compilers)} is not on the path"


implementation = Implementation(
    name="torch_compiled",
    load=load,
    summary="torch, the formula compiled by torch.compile",
    capabilities=Capabilities(running_var_ddof=1),
    requires={"torch": "pip install 'bnbench[torch]'"},
    unavailable=unavailable,
    on_request=True,
)
