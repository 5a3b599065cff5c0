"""torch's raw kernels, without autograd, as functions that can be timed: on the CPU or on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from bnbench.model import Array, Inputs
from bnbench.timing import Operation, aligned
from bnbench.turns import Bind


def torch_binds(inputs: Inputs, dy: Array, operation: Operation, device: str = "cpu") -> dict[str, Bind]:
    """torch's kernels on the very arrays, a forward also to given ones; of images also channels-last.

    On another device they work on copies that lie there, made here.
    """
    import torch

    training, eps, momentum = inputs.options.training, inputs.options.eps, inputs.options.momentum
    gamma, beta, mean, var = (
        torch.from_numpy(a).to(device)
        for a in (inputs.gamma, inputs.beta, inputs.running_mean.copy(), inputs.running_var.copy())
    )

    def call(x: Any, g: Any) -> Callable[[], object]:
        forward = partial(torch.native_batch_norm, x, gamma, beta, mean, var, training, momentum, eps)
        if operation != "backward":
            return forward
        _, saved_mean, saved_inverse_sd = forward()
        saved = (mean, var, saved_mean, saved_inverse_sd)
        backward = torch.ops.aten.native_batch_norm_backward
        return partial(backward, g, x, gamma, *saved, training, eps, [True, True, True])

    x, g = torch.from_numpy(inputs.x).to(device), torch.from_numpy(dy).to(device)
    binds: dict[str, Bind] = {"torch": partial(call, x, g)}
    if x.ndim == 4:
        last = [a.contiguous(memory_format=torch.channels_last) for a in (x, g)]
        binds["torch_channels_last"] = partial(call, *last)
    if operation != "backward":  # whose kernel takes no out=
        out = torch.from_numpy(aligned(inputs.x)).to(device), torch.empty_like(gamma), torch.empty_like(gamma)
        binds["torch_out"] = lambda: _writing(cast("Callable[..., object]", call(x, g)), out)
    return binds


def _writing(forward: Callable[..., object], out: object) -> Callable[[], object]:
    # Not another partial: it would copy its keyword in every call.
    return lambda: forward(out=out)
