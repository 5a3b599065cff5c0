"""Layer, group, instance and RMS norm by torch's own functions, differentiated by autograd.

gamma and beta are per channel. torch's layer and RMS norm want them per element of what is normalized,
which is the same for ``(N, C)`` alone: with spatial dimensions layer norm is group norm with one
group, and RMS norm gets its affine map afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnbench import Capabilities, GroupedForward, Implementation

from ._torch import grouped_with_numpy_arrays

if TYPE_CHECKING:
    from torch import Tensor


def load_layer_norm() -> GroupedForward:
    import torch

    def layer_norm(x: Tensor, groups: int, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
        if x.dim() == 2 and groups == 1:
            return torch.nn.functional.layer_norm(x, x.shape[1:], gamma, beta, eps)
        return torch.group_norm(x, groups, gamma, beta, eps)

    return grouped_with_numpy_arrays(layer_norm)


def load_group_norm() -> GroupedForward:
    import torch

    # What torch.nn.functional.group_norm calls once it has refused a batch of a single value.
    return grouped_with_numpy_arrays(torch.group_norm)


def load_instance_norm() -> GroupedForward:
    import torch

    def instance_norm(x: Tensor, groups: int, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
        # torch refuses blocks of one value, and an empty batch.
        if groups == x.shape[1] and x.numel() > x.shape[0] * x.shape[1]:
            return torch.nn.functional.instance_norm(x, weight=gamma, bias=beta, eps=eps)
        return torch.group_norm(x, groups, gamma, beta, eps)

    return grouped_with_numpy_arrays(instance_norm)


def load_rms_norm() -> GroupedForward:
    import torch

    def rms_norm(x: Tensor, groups: int, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
        if x.dim() == 2 and groups == 1:
            return torch.rms_norm(x, x.shape[1:], gamma, eps) + beta
        blocks = x.reshape(x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])
        x_hat = torch.rms_norm(blocks, blocks.shape[2:], None, eps).reshape(x.shape)
        channels = (-1,) + (1,) * (x.dim() - 2)
        return x_hat * gamma.reshape(channels) + beta.reshape(channels)

    return grouped_with_numpy_arrays(rms_norm)


REQUIRES = {"torch": "pip install 'bnbench[torch]'"}

implementations = (
    Implementation(
        name="torch_layer_norm",
        load=load_layer_norm,
        summary="torch.nn.functional.layer_norm, or group_norm with one group",
        capabilities=Capabilities(norm="layer"),
        requires=REQUIRES,
    ),
    Implementation(
        name="torch_group_norm",
        load=load_group_norm,
        summary="torch.group_norm",
        capabilities=Capabilities(norm="group"),
        requires=REQUIRES,
    ),
    Implementation(
        name="torch_instance_norm",
        load=load_instance_norm,
        summary="torch.nn.functional.instance_norm",
        capabilities=Capabilities(norm="instance"),
        requires=REQUIRES,
    ),
    Implementation(
        name="torch_rms_norm",
        load=load_rms_norm,
        summary="torch.rms_norm",
        capabilities=Capabilities(norm="rms"),
        requires=REQUIRES,
    ),
)
