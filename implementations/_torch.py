"""The border between NumPy and torch, which both torch implementations cross in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from bnbench import Array, Forward, Vjp, check_arguments

if TYPE_CHECKING:
    from torch import Tensor


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


def with_numpy_arrays(batch_norm: TorchBatchNorm) -> Forward:
    """``batch_norm`` as a forward function, differentiated by autograd.

    As in torch itself, the graph may keep ``x`` and not a copy: don't change it before calling vjp.
    """
    import torch

    def tensor(a: Array) -> Tensor:
        # torch knows no negative strides, and warns of memory that it could write to but must not.
        return torch.from_numpy(np.require(a, requirements=("C", "W")))

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

        def vjp(dy: Array) -> tuple[Array, Array, Array]:
            dx, dgamma, dbeta = torch.autograd.grad(y, inputs, tensor(dy), retain_graph=True)
            return dx.numpy(), dgamma.numpy(), dbeta.numpy()

        return y.detach().numpy(), (mean.numpy(), var.numpy()), vjp

    return forward
