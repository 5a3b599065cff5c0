"""Batch normalization in C: one pass for the statistics, one to normalize, in any CPU's widest vectors.

Statistics are sums of deviations from a moving shift, merged in double, so that float32 keeps its
accuracy when the mean is much larger than the standard deviation. See ``kernels.c`` for the ways
through memory and ``module.c`` for the binding.
"""

from __future__ import annotations

from importlib import import_module
from typing import cast

from bnbench import Capabilities, Forward, Implementation

EXTENSION = "bnbench.implementations.c_fused._c_fused"


def load() -> Forward:
    """Import the extension. Its vjp keeps ``x`` by reference: don't change ``x`` before the last vjp call."""
    return cast("Forward", import_module(EXTENSION).forward)


implementation = Implementation(
    name="c_fused",
    load=load,
    summary="C extension: fused passes, statistics merged in double",
    capabilities=Capabilities(running_var_ddof=1),
    requires={EXTENSION: "install a C compiler, then reinstall bnbench: pip install --force-reinstall --no-deps ."},
)
