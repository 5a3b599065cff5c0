"""Batch normalization by torch on images in the channels-last layout, to which ``x`` is copied first.

A network that stays in that layout does without the copy: ``bnbench kernels`` times the kernel alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bnbench import Capabilities, Forward, Implementation

from ._torch import with_numpy_arrays

if TYPE_CHECKING:
    from torch import Tensor


def load() -> Forward:
    import torch
    from torch.nn.functional import batch_norm

    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}

    def channels_last(x: Tensor, /, *arguments: Any, **options: Any) -> Tensor:
        return batch_norm(x.contiguous(memory_format=layouts[x.ndim]), *arguments, **options)

    return with_numpy_arrays(channels_last)


implementation = Implementation(
    name="torch_channels_last",
    load=load,
    summary="torch.nn.functional.batch_norm, x copied to channels-last",
    capabilities=Capabilities(running_var_ddof=1, ranks=(4, 5)),
    requires={"torch": "pip install 'bnbench[torch]'"},
    on_request=True,
)
