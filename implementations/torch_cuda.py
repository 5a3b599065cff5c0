"""Batch normalization by torch on an NVIDIA GPU: arrays are copied there and back, and timed with their copies."""

from __future__ import annotations

import ctypes
from importlib.metadata import version

from bnbench import Capabilities, Forward, Implementation

from ._torch import with_numpy_arrays


def load() -> Forward:
    from torch.nn.functional import batch_norm

    return with_numpy_arrays(batch_norm, device="cuda")


def unavailable() -> str:
    """Why there is no GPU for torch, or "". Asks torch's version and the driver, without importing torch."""
    found = version("torch")
    if found.endswith("+cpu"):
        return f"torch {found} is built without CUDA"
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "there is no NVIDIA driver"
    count = ctypes.c_int(0)
    present = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    return "" if present else "the NVIDIA driver finds no GPU"


implementation = Implementation(
    name="torch_cuda",
    load=load,
    summary="torch.nn.functional.batch_norm on a GPU, copies included",
    capabilities=Capabilities(running_var_ddof=1),
    requires={"torch": "pip install 'bnbench[torch]' with a CUDA build of torch"},
    unavailable=unavailable,
    on_request=True,
)
