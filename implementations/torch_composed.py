"""Batch normalization composed of elementary torch operations, differentiated by autograd."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnbench import Capabilities, Forward, Implementation

from ._torch import with_numpy_arrays

if TYPE_CHECKING:
    from torch import Tensor


def batch_norm(
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
    """The formula, called as ``torch.nn.functional.batch_norm`` is.

    Raises ValueError, as that does, for training with one value per channel: the variance that is
    kept would be 0 / 0.
    """
    axes = (0, *range(2, x.ndim))
    channels = (-1,) + (1,) * (x.ndim - 2)
    count = x.numel() // x.shape[1]
    if training and count == 1:
        raise ValueError(f"x has shape {tuple(x.shape)}: training needs more than one value per channel")

    mu, var = running_mean, running_var
    if training and count > 0:  # an empty batch has no statistics
        mu = x.mean(axes)
        var = (x - mu.reshape(channels)).square().mean(axes)
        running_mean.lerp_(mu.detach(), momentum)
        running_var.lerp_(var.detach() * (count / (count - 1)), momentum)

    x_hat = (x - mu.reshape(channels)) * (var + eps).rsqrt().reshape(channels)
    return x_hat * gamma.reshape(channels) + beta.reshape(channels)


def load() -> Forward:
    return with_numpy_arrays(batch_norm)


implementation = Implementation(
    name="torch_composed",
    load=load,
    summary="torch, the formula differentiated by autograd",
    capabilities=Capabilities(running_var_ddof=1),
    requires={"torch": "pip install 'bnbench[torch]'"},
)
