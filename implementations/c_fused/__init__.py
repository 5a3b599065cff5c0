"""Normalization in C: one pass for the statistics, one to normalize, in any CPU's widest vectors.

Statistics are sums of deviations from a moving shift, merged in double, so that float32 keeps its
accuracy when the mean is much larger than the standard deviation. See ``kernels.c`` for the ways
through memory, ``parallel.c`` for threads and ``binding.h`` for the binding.

Beyond the protocol, every forward takes ``threads``, 1 unless given, which changes no result and is its
vjp's too, and ``out``, a tuple of arrays to fill and return: y and the running statistics, or y alone where
there are none. Every vjp takes ``out`` too, a tuple of three.
"""

from __future__ import annotations

from importlib import import_module
from typing import cast

from bnbench import Capabilities, Forward, GroupedForward, Implementation

EXTENSION = "bnbench.implementations.c_fused._c_fused"
REQUIRES = {EXTENSION: "install a C compiler, then reinstall bnbench: pip install --force-reinstall --no-deps ."}


def load() -> Forward:
    """Import the extension. Its vjp keeps ``x`` by reference: don't change ``x`` before the last vjp call."""
    return cast("Forward", import_module(EXTENSION).forward)


def load_group_norm() -> GroupedForward:
    """Import the extension, for layer, group and instance norm. Its vjp keeps ``x`` as that of batch norm."""
    return cast("GroupedForward", import_module(EXTENSION).group_norm)


def load_rms_norm() -> GroupedForward:
    return cast("GroupedForward", import_module(EXTENSION).rms_norm)


implementations = (
    Implementation(
        name="c_fused",
        load=load,
        summary="C extension: fused passes, statistics merged in double",
        capabilities=Capabilities(running_var_ddof=1),
        requires=REQUIRES,
        takes_out=True,
    ),
    Implementation(
        name="c_layer_norm",
        load=load_group_norm,
        summary="C extension: group norm with one group",
        capabilities=Capabilities(norm="layer"),
        requires=REQUIRES,
        takes_out=True,
    ),
    Implementation(
        name="c_group_norm",
        load=load_group_norm,
        summary="C extension: fused passes, statistics merged in double",
        capabilities=Capabilities(norm="group"),
        requires=REQUIRES,
        takes_out=True,
    ),
    Implementation(
        name="c_instance_norm",
        load=load_group_norm,
        summary="C extension: group norm with a group per channel",
        capabilities=Capabilities(norm="instance"),
        requires=REQUIRES,
        takes_out=True,
    ),
    Implementation(
        name="c_rms_norm",
        load=load_rms_norm,
        summary="C extension: fused passes, mean square merged in double",
        capabilities=Capabilities(norm="rms"),
        requires=REQUIRES,
        takes_out=True,
    ),
)
