"""The border between NumPy and torch, which all torch implementations cross in the same way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from bnbench import Array, Forward, GroupedForward, Vjp, check_arguments, check_grouped_arguments

if TYPE_CHECKING:
    from torch import Tensor

    TorchGroupNorm: TypeAlias = Callable[[Tensor, int, Tensor, Tensor, float], Tensor]
    """The calling convention of ``torch.group_norm``: x, groups, gamma, beta, eps."""


class TorchBatchNorm(Protocol):
    """The calling convention of ``torch.nn.functional.batch_norm``."""

    def __call__(
        self,
        x: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        gamma: Tensor,
        beta: Tensor,
        /,
        *,
        training: bool,
        momentum: float,
        eps: float,
    ) -> Tensor:
        """Return y. In training, move the running statistics in place."""
        ...


def with_numpy_arrays(batch_norm: TorchBatchNorm, device: str = "cpu") -> Forward:
    """``batch_norm`` as a forward function, differentiated by autograd; computed on the device, between two copies.

    As in torch itself, the graph may keep ``x`` and not a copy: don't change it before calling vjp.
    """
    import torch

    tensor, vjp_of = _crossings(device)

    def forward(
        x: Array,
        gamma: Array,
        beta: Array,
        running_mean: Array,
        running_var: Array,
        /,
        *,
        training: bool,
        eps: float,
        momentum: float,
    ) -> tuple[Array, tuple[Array, Array], Vjp]:
        check_arguments(x, gamma, beta, running_mean, running_var, training=training)
        # Also lifts no_grad, in which a torch.autograd.Function runs the forward it wraps.
        with torch.inference_mode(mode=False):
            inputs = [tensor(a).requires_grad_() for a in (x, gamma.copy(), beta)]
            mean, var = tensor(running_mean).clone(), tensor(running_var).clone()
            y = batch_norm(inputs[0], mean, var, *inputs[1:], training=training, momentum=momentum, eps=eps)

        # Copies from a device wait until it is done.
        return y.detach().cpu().numpy(), (mean.cpu().numpy(), var.cpu().numpy()), vjp_of(y, inputs)

    return forward


def grouped_with_numpy_arrays(group_norm: TorchGroupNorm) -> GroupedForward:
    """``group_norm`` as a forward function, differentiated by autograd; keeps ``x`` as the above does."""
    import torch

    tensor, vjp_of = _crossings("cpu")

    def forward(x: Array, gamma: Array, beta: Array, /, *, groups: int, eps: float) -> tuple[Array, Vjp]:
        check_grouped_arguments(x, gamma, beta, groups=groups)
        with torch.inference_mode(mode=False):
            inputs = [tensor(a).requires_grad_() for a in (x, gamma.copy(), beta)]
            y = group_norm(inputs[0], groups, inputs[1], inputs[2], eps)
        return y.detach().numpy(), vjp_of(y, inputs)

    return forward


def _crossings(device: str) -> tuple[Callable[[Array], Tensor], Callable[[Tensor, Sequence[Tensor]], Vjp]]:
    """From an array to a tensor, and from y and the tensors that it came from to the vjp."""
    import torch

    def tensor(a: Array) -> Tensor:
        # torch knows no negative strides, and warns of memory that it could write to but must not.
        return torch.from_numpy(np.require(a, requirements=("C", "W"))).to(device)

    def vjp_of(y: Tensor, inputs: Sequence[Tensor]) -> Vjp:
        def vjp(dy: Array) -> tuple[Array, Array, Array]:
            dx, dgamma, dbeta = torch.autograd.grad(y, inputs, tensor(dy), retain_graph=True)
            return dx.cpu().numpy(), dgamma.cpu().numpy(), dbeta.cpu().numpy()

        return vjp

    return tensor, vjp_of
