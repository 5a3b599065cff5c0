"""Registered implementations as torch modules: layers that stand where torch's own stand.

>>> model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU())
>>> model = replace(model, "numpy_staged")
>>> model[1].loaded.name, model(torch.ones(2, 4)).shape
('numpy_staged', torch.Size([2, 3]))

Each class is torch's own with another forward: arguments, parameters, buffers and ``state_dict`` are torch's, and so
are the running statistics, whichever divisor of the variance the implementation keeps. Tensors are on the CPU, in a
dtype that the implementation declares. There is a first derivative; a second one is refused.

This module imports torch, and is therefore imported by nothing else at import time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from bnbench.model import Array, Capabilities, Implementation, Norm, Vjp
from bnbench.registry import discover

DEFAULT = {"batch": "numpy_staged", "layer": "numpy_layer_norm", "group": "numpy_group_norm"}
"""What computes a layer that names no implementation."""

Call: TypeAlias = Callable[[Array, Array, Array], tuple[Array, Vjp]]
"""From x, gamma and beta to y and the backward map: an implementation with all else bound."""
Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """An implementation and its forward function, loaded once for all layers of a model."""

    name: str
    capabilities: Capabilities
    forward: Callable[..., tuple[Any, ...]]

    def __deepcopy__(self, memo: object) -> Loaded:
        return self  # as functions are: a copied layer has parameters of its own, and the same code


Chosen: TypeAlias = str | Implementation | Loaded
"""An implementation by name, as declared, or loaded already."""


def load(implementation: Chosen, *norms: Norm) -> Loaded:
    """The implementation, by name or as declared, ready to be called.

    Raises LookupError for an unknown name, ModuleNotFoundError when what it requires is not installed and
    ValueError when it is none of these norms.
    """
    if isinstance(implementation, Loaded):
        loaded = implementation
    else:
        registry = discover()
        (found,) = registry.select([implementation]) if isinstance(implementation, str) else (implementation,)
        if reason := registry.missing(found):
            raise ModuleNotFoundError(f"{found.name}: {reason}")
        loaded = Loaded(name=found.name, capabilities=found.capabilities, forward=found.load())
    if loaded.capabilities.norm not in norms:
        raise ValueError(f"{loaded.name} is {loaded.capabilities.norm} norm, expected {' or '.join(norms)} norm")
    return loaded


class _BatchNorm(nn.modules.batchnorm._BatchNorm):  # noqa: SLF001 - the base of torch's own, to which update_bn looks
    """Torch's batch norm with the forward of an implementation."""

    loaded: Loaded

    def __init__(self, *arguments: Any, implementation: Chosen = DEFAULT["batch"], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.loaded = load(implementation, "batch")

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, implementation={self.loaded.name!r}"  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``x`` ``(N, C, *spatial)``; in training, move the running statistics as torch does.

        Raises ValueError for a shape that torch refuses too, also one value per channel in training.
        """
        self._check_input_dim(x)  # type: ignore[no-untyped-call]
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:  # a cumulative average
                momentum = 1 / float(self.num_batches_tracked)
        return _applied(self.loaded, x, self.weight, self.bias, self.num_features, partial(self._call, momentum))

    def _call(self, momentum: float, x: Array, gamma: Array, beta: Array) -> tuple[Array, Vjp]:
        elements = x.size // max(x.shape[1], 1)
        tracked = self.running_mean is not None and self.running_var is not None
        training = self.training or not tracked
        if training and elements == 1:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {x.shape}")
        moves = self.training and self.track_running_stats and tracked
        mean, var = np.zeros_like(gamma), np.ones_like(gamma)
        if tracked and (moves or not training):
            mean, var = (cast("Tensor", a).numpy().copy() for a in (self.running_mean, self.running_var))
        # Torch keeps the variance with divisor M - 1. For an implementation that keeps M, the old variance goes in and
        # the new one comes out in its unit: the average is linear in both.
        bessel = 1.0
        if moves and not self.loaded.capabilities.running_var_ddof and elements > 1:
            bessel = elements / (elements - 1)
        y, (mean, var), vjp = self.loaded.forward(
            x, gamma, beta, mean, var / var.dtype.type(bessel), training=training, eps=self.eps, momentum=momentum
        )
        if moves:
            for buffer, new in ((self.running_mean, mean), (self.running_var, var * var.dtype.type(bessel))):
                cast("Tensor", buffer).copy_(_tensor("a running statistic", new, gamma.shape, new.dtype))
        return y, vjp


class BatchNorm1d(_BatchNorm, nn.BatchNorm1d):
    """``torch.nn.BatchNorm1d``, computed by ``implementation``."""


class BatchNorm2d(_BatchNorm, nn.BatchNorm2d):
    """``torch.nn.BatchNorm2d``, computed by ``implementation``."""


class BatchNorm3d(_BatchNorm, nn.BatchNorm3d):
    """``torch.nn.BatchNorm3d``, computed by ``implementation``."""


class LayerNorm(nn.LayerNorm):
    """``torch.nn.LayerNorm``, computed by ``implementation``."""

    loaded: Loaded

    def __init__(self, *arguments: Any, implementation: Chosen = DEFAULT["layer"], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.loaded = load(implementation, "layer")

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, implementation={self.loaded.name!r}"

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last axes of ``x``, those of ``normalized_shape``; they are the channels of ``(rows, C)``."""
        axes = len(self.normalized_shape)
        if tuple(x.shape[-axes:]) != tuple(self.normalized_shape):
            raise ValueError(f"expected an input that ends in {list(self.normalized_shape)}, got {list(x.shape)}")
        channels = math.prod(self.normalized_shape)
        given: tuple[Tensor | None, ...] = (self.weight, self.bias)  # None is what torch's annotation leaves out
        weight, bias = (None if a is None else a.reshape(channels) for a in given)
        rows = x.reshape(-1, channels)
        return _applied(self.loaded, rows, weight, bias, channels, _grouped(self.loaded, 1, self.eps)).reshape(x.shape)


class GroupNorm(nn.GroupNorm):
    """``torch.nn.GroupNorm``, computed by ``implementation``."""

    loaded: Loaded

    def __init__(self, *arguments: Any, implementation: Chosen = DEFAULT["group"], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.loaded = load(implementation, "group")

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, implementation={self.loaded.name!r}"

    def forward(self, x: Tensor) -> Tensor:
        """Normalize every group of channels of every row of ``x`` ``(N, C, *spatial)``."""
        call = _grouped(self.loaded, self.num_groups, self.eps)
        return _applied(self.loaded, x, self.weight, self.bias, self.num_channels, call)


def replace(model: Module, implementation: str | Implementation) -> Module:
    """Put the implementation into every torch layer of its norm, in place; return the model.

    Parameters and buffers stay the same objects, so that an optimizer that holds them goes on. All layers share one
    loaded function. A model that is itself such a layer can't change in place: use what is returned. Subclasses of
    torch's layers are left alone, since their forward is their own.

    Raises ValueError when there is no such layer, and what :func:`load` raises.
    """
    loaded = load(implementation, "batch", "layer", "group")
    made: dict[nn.Module, Any] = {}  # a layer that stands at two places is replaced by one
    for path, module in list(model.named_modules(remove_duplicate=False)):
        norm, bridge = BRIDGES.get(type(module), (None, nn.Module))
        if norm != loaded.capabilities.norm:
            continue
        if module not in made:
            made[module] = bridge.__new__(bridge)
            made[module].__dict__.update(module.__dict__)  # parameters, buffers, hooks, mode: all but the forward
            made[module].loaded = loaded
        parent, _, name = path.rpartition(".")
        if path:
            setattr(model.get_submodule(parent), name, made[module])
    if not made:
        raise ValueError(
            f"the model has no layer of torch that {loaded.name} ({loaded.capabilities.norm} norm) can replace"
        )
    return cast("Module", made.get(model, model))


BRIDGES: dict[type[nn.Module], tuple[Norm, type[nn.Module]]] = {
    nn.BatchNorm1d: ("batch", BatchNorm1d),
    nn.BatchNorm2d: ("batch", BatchNorm2d),
    nn.BatchNorm3d: ("batch", BatchNorm3d),
    nn.LayerNorm: ("layer", LayerNorm),
    nn.GroupNorm: ("group", GroupNorm),
}
BRIDGES |= {bridge: (norm, bridge) for norm, bridge in BRIDGES.values()}


def _grouped(loaded: Loaded, groups: int, eps: float) -> Call:
    return lambda x, gamma, beta: cast("tuple[Array, Vjp]", loaded.forward(x, gamma, beta, groups=groups, eps=eps))


def _applied(
    loaded: Loaded, x: Tensor, weight: Tensor | None, bias: Tensor | None, channels: int, call: Call
) -> Tensor:
    """One call of the implementation as a node of autograd's graph."""
    dtype = str(x.dtype).removeprefix("torch.")
    if dtype not in loaded.capabilities.dtypes or x.ndim not in loaded.capabilities.ranks:
        declared = f"{', '.join(loaded.capabilities.dtypes)} in {loaded.capabilities.ranks} dimensions"
        raise TypeError(f"{loaded.name} computes {declared}; got {dtype} in {x.ndim}")
    if x.device.type != "cpu":
        raise TypeError(f"{loaded.name} computes on the CPU; got a tensor on {x.device}")
    gamma = x.new_ones(channels) if weight is None else weight
    beta = x.new_zeros(channels) if bias is None else bias
    return cast("Tensor", _Normalized.apply(x, gamma, beta, call))  # type: ignore[no-untyped-call]


class _Normalized(torch.autograd.Function):
    """y of an implementation, whose gradients its vjp gives."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, call: Call) -> Tensor:
        # The saved tensors are how torch notices that x or gamma, which the vjp may look at, changed in place.
        ctx.save_for_backward(x, gamma)
        y, ctx.vjp = call(_array(x), _array(gamma), _array(beta))
        return _tensor("y", y, x.shape, _array(x).dtype)

    @staticmethod
    def backward(ctx: Any, *dys: Tensor) -> tuple[Tensor | None, ...]:
        x, gamma = ctx.saved_tensors
        return (*_Gradients.apply(*dys, x, gamma, ctx.vjp), None)  # type: ignore[no-untyped-call]


class _Gradients(torch.autograd.Function):
    """dx, dgamma and dbeta, which can't be differentiated again."""

    @staticmethod
    def forward(ctx: Any, dy: Tensor, x: Tensor, gamma: Tensor, vjp: Vjp) -> tuple[Tensor, ...]:  # noqa: ARG004
        names = ("dx", "dgamma", "dbeta")
        found, shapes = vjp(_array(dy)), (x.shape, gamma.shape, gamma.shape)
        return tuple(_tensor(n, a, s, _array(x).dtype) for n, a, s in zip(names, found, shapes, strict=True))

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor | None, ...]:
        raise NotImplementedError(
            "a layer of bnbench.nn has a first derivative only: implementations give no derivative of their vjp. "
            "Use torch's own layer where gradients are differentiated"
        )


def _array(a: Tensor) -> Array:
    return cast("Array", a.detach().contiguous().numpy())


def _tensor(name: str, a: Any, shape: tuple[int, ...], dtype: Any) -> Tensor:
    """A copy as a tensor: what comes after may change it in place, and the implementation may still look at its own."""
    if type(a) is not np.ndarray or a.shape != tuple(shape) or a.dtype != dtype:
        found = f"{a.dtype} {a.shape}" if isinstance(a, np.ndarray) else type(a).__name__
        raise TypeError(f"{name} came back as {found}, expected {dtype} {tuple(shape)}")
    return torch.from_numpy(np.array(a, order="C"))
