"""Batch normalization by torch: ``torch.nn.functional.batch_norm`` and its own backward kernels."""

from __future__ import annotations

from bnbench import Capabilities, Forward, Implementation

from ._torch import with_numpy_arrays


def load() -> Forward:
    from torch.nn.functional import batch_norm

    return with_numpy_arrays(batch_norm)


implementation = Implementation(
    name="torch_native",
    load=load,
    summary="torch.nn.functional.batch_norm",
    capabilities=Capabilities(running_var_ddof=1),
    requires={"torch": "pip install 'bnbench[torch]'"},
)
