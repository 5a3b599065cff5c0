"""The canonical quantities: everything that a correct normalization may compute, each with its right values.

The nodes are those of docs/staged_graph.md, for every norm: statistics are taken over the blocks of
:mod:`bnbench.blocks`, M elements each. Where gradients add up along several paths, each path is a quantity
of its own. What other correct styles compute on the way is in :mod:`bnbench.diagnose.pieces`.

Units are powers of metres, x being a length and the loss a pure number. A quantity and its gradient have
inverse units, and a sum of unlike units is a mistake.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np

from bnbench.blocks import channel_sum, from_blocks, groups_of, per_channel, to_blocks
from bnbench.diagnose.cause import Quantity
from bnbench.model import Array, Inputs
from bnbench.reference import statistics

Extent: TypeAlias = Literal["element", "channel", "block", "number"]
"""How many values a quantity has: one for each element of x, each channel, each block, or one."""

Role: TypeAlias = Literal["node", "part", "piece", "constant"]
"""A node of the graph (or its gradient), one path of a gradient, what other styles compute, or a number."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """One quantity of one run, in float64."""

    name: str
    definition: str
    node: Quantity | None
    """The node that it is, or belongs to; None for a number such as N."""
    role: Role
    extent: Extent
    unit: int
    wide: Array
    """Broadcast to the shape of x, ``(N, C, *spatial)``; ``()`` for a number."""
    values: Array
    """In its natural shape: that of x; ``(C,)``; ``(C,)``, ``(N,)``, ``(N, G)`` or ``(N, C)`` for blocks; ``()``."""
    terms: Array | None = None
    """Shaped as x, where the quantity is a sum: what is summed, over a channel or a block; a mean's are over M."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantities:
    """Every known quantity of one run, by name and in order: nodes, then parts, pieces and constants."""

    inputs: Inputs
    known: tuple[Known, ...]

    @cached_property
    def _by_name(self) -> dict[str, Known]:
        return {known.name: known for known in self.known}

    def __getitem__(self, name: str) -> Known:
        return self._by_name[name]

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[Known]:
        return iter(self.known)

    def in_blocks(self, name: str) -> Array:
        """The quantity as ``(B, M)``, one block a row."""
        return to_blocks(self[name].wide, self.inputs.options.norm, self.inputs.options.groups)


class Draft:
    """Quantities being computed: all arrays shaped as x, so that every formula is written element by element."""

    def __init__(self, inputs: Inputs, dy: Array) -> None:
        options = inputs.options
        self.inputs, self.dy = inputs, dy.astype(np.float64)
        self.x = inputs.x.astype(np.float64)
        self.shape = self.x.shape
        self.norm, self.groups = options.norm, options.groups
        self.block_elements: int = self.blocks(self.x).shape[1]
        self.given_statistics = self.norm == "batch" and not options.training
        self.per_block: Extent = "channel" if self.norm == "batch" else "block"
        self.of_gamma: Extent = "channel" if self.norm == "batch" else "element"
        """What a product of gamma and a statistic has one value for."""
        self.known: dict[str, Known] = {}

    def blocks(self, a: Array) -> Array:
        return to_blocks(a, self.norm, self.groups)

    def spread_channels(self, a: Array) -> Array:
        """``(C,)`` at every element of x."""
        return np.broadcast_to(per_channel(a.astype(np.float64), len(self.shape)), self.shape)

    def spread_blocks(self, a: Array) -> Array:
        """``(B, 1)`` at every element of x."""
        return from_blocks(np.broadcast_to(a, (len(a), self.block_elements)), self.shape, self.norm)

    def block_sum(self, a: Array) -> Array:
        total: Array = self.blocks(a).sum(1, keepdims=True)
        return self.spread_blocks(total)

    def block_mean(self, a: Array) -> Array:
        return self.block_sum(a) / self.block_elements

    def sum_channel(self, a: Array) -> Array:
        return self.spread_channels(channel_sum(a))

    def narrow(self, a: Array, extent: Extent) -> Array:
        """Natural shape of what has this extent, from its values at every element of x."""
        if extent == "element":
            return a
        if extent == "channel":
            one_row: Array = a[0].reshape(self.shape[1], -1)[:, 0]
            return one_row
        if extent == "number":
            return a
        one_each: Array = self.blocks(a)[:, 0]
        groups = groups_of(self.shape[1], self.norm, self.groups)
        return one_each.reshape((self.shape[0], groups)) if self.norm in ("group", "instance") else one_each

    def add(
        self,
        name: str,
        wide: Array,
        definition: str,
        extent: Extent,
        unit: int,
        node: Quantity | None,
        role: Role = "node",
        terms: Array | None = None,
    ) -> Array:
        values = self.narrow(wide, extent)
        self.known[name] = Known(
            name=name,
            definition=definition,
            node=node,
            role=role,
            extent=extent,
            unit=unit,
            wide=wide,
            values=values,
            terms=terms,
        )
        return wide

    def __getitem__(self, name: str) -> Array:
        return self.known[name].wide


def canonical(inputs: Inputs, dy: Array) -> Quantities:
    """Every quantity of one run, for the cotangent ``dy`` shaped as ``inputs.x``; all norms and modes.

    In eval mode mu and var are the running statistics, constants of the derivative, and the nodes' gradients
    end at xc. RMS norm has neither mu nor xc: its sq is x^2. Raises ValueError when ``dy`` and x differ in
    shape, and when there is nothing to normalize.
    """
    from bnbench.diagnose.pieces import add_constants, add_pieces  # pieces are written on drafts

    if dy.shape != inputs.x.shape:
        raise ValueError(f"dy has shape {dy.shape}, x has {inputs.x.shape}")
    if not inputs.x.size:
        raise ValueError("an empty x has no statistics")
    draft = Draft(inputs, dy)
    _add_forward(draft)
    _add_backward(draft)
    add_pieces(draft)
    add_constants(draft)
    roles: tuple[Role, ...] = ("node", "part", "piece", "constant")
    known = sorted(draft.known.values(), key=lambda known: roles.index(known.role))
    return Quantities(inputs=inputs, known=tuple(known))


def _add_forward(draft: Draft) -> None:
    inputs, per_block = draft.inputs, draft.per_block
    x = draft.add("x", draft.x, "the input", "element", 1, "x")
    gamma = draft.add("gamma", draft.spread_channels(inputs.gamma), "the scale", "channel", 0, "gamma")
    beta = draft.add("beta", draft.spread_channels(inputs.beta), "the shift", "channel", 0, "beta")
    mean, variance = (draft.spread_blocks(a) for a in statistics(draft.blocks(x)))
    elements = draft.block_elements

    if draft.norm == "rms":
        xc = x
        sq = draft.add("sq", x * x, "x^2", "element", 2, "sq")
        var = draft.add("var", draft.block_mean(sq), "mean(sq)", per_block, 2, "var", terms=sq / elements)
    elif draft.given_statistics:
        mu = draft.add("mu", draft.spread_channels(inputs.running_mean), "running_mean", "channel", 1, "mu")
        xc = draft.add("xc", x - mu, "x - mu", "element", 1, "xc")
        var = draft.add("var", draft.spread_channels(inputs.running_var), "running_var", "channel", 2, "var")
    else:
        mu = draft.add("mu", mean, "mean(x)", per_block, 1, "mu", terms=x / elements)
        xc = draft.add("xc", x - mu, "x - mu", "element", 1, "xc")
        sq = draft.add("sq", xc * xc, "xc^2", "element", 2, "sq")
        var = draft.add("var", variance, "mean(sq)", per_block, 2, "var", terms=sq / elements)

    sd = draft.add("sd", np.sqrt(var + inputs.options.eps), "sqrt(var + eps)", per_block, 1, "sd")
    inverse_sd = draft.add("inverse_sd", 1 / sd, "1 / sd", per_block, -1, "inverse_sd")
    centred = "x" if draft.norm == "rms" else "xc"
    x_hat = draft.add("x_hat", xc * inverse_sd, f"{centred} inverse_sd", "element", 0, "x_hat")
    scaled = draft.add("scaled", gamma * x_hat, "gamma x_hat", "element", 0, "scaled")
    draft.add("y", scaled + beta, "scaled + beta", "element", 0, "y")


def _add_backward(draft: Draft) -> None:
    per_block, elements = draft.per_block, draft.block_elements
    rms = draft.norm == "rms"
    dy = draft.add("dy", draft.dy, "the gradient of y", "element", 0, "dy")
    draft.add("dbeta", draft.sum_channel(dy), "sum(dy)", "channel", 0, "dbeta", terms=dy)
    draft.add("dscaled", dy, "dy", "element", 0, "dscaled")
    dy_x_hat = dy * draft["x_hat"]
    draft.add("dgamma", draft.sum_channel(dy_x_hat), "sum(dscaled x_hat)", "channel", 0, "dgamma", terms=dy_x_hat)
    dx_hat = draft.add("dx_hat", dy * draft["gamma"], "dscaled gamma", "element", 0, "dx_hat")

    inverse_sd = draft["inverse_sd"]
    if draft.given_statistics:
        dxc = draft.add("dxc", dx_hat * inverse_sd, "dx_hat inverse_sd", "element", -1, "dxc")
        draft.add("dx", dxc, "dxc", "element", -1, "dx")
        return
    centred, xc = ("x", draft["x"]) if rms else ("xc", draft["xc"])
    products = dx_hat * xc
    total = draft.block_sum(products)
    draft.add("dinverse_sd", total, f"sum(dx_hat {centred})", per_block, 1, "dinverse_sd", terms=products)
    dsd = draft.add("dsd", -(inverse_sd**2) * total, "-inverse_sd^2 dinverse_sd", per_block, -1, "dsd")
    dvar = draft.add("dvar", dsd / (2 * draft["sd"]), "dsd / (2 sd)", per_block, -2, "dvar")
    dsq = draft.add("dsq", dvar / elements, "dvar / M", per_block, -2, "dsq")

    target: Quantity = "dx" if rms else "dxc"
    direct = draft.add(
        f"{target} (through x_hat)", dx_hat * inverse_sd, "dx_hat inverse_sd", "element", -1, target, "part"
    )
    squares = draft.add(f"{target} (through sq)", 2 * xc * dsq, f"2 {centred} dsq", "element", -1, target, "part")
    dxc = draft.add(target, direct + squares, "the sum of both paths", "element", -1, target)
    if rms:
        return
    through_xc = -draft.block_sum(direct)
    draft.add("dmu (through xc)", through_xc, "-sum(dx_hat inverse_sd)", per_block, -1, "dmu", "part", -direct)
    draft.add("dmu (through var)", np.zeros(draft.shape), "-sum(2 xc dsq) = 0", per_block, -1, "dmu", "part", -squares)
    dmu = draft.add("dmu", -draft.block_sum(dxc), "-sum(dxc)", per_block, -1, "dmu", terms=-dxc)
    draft.add("dx (through xc)", dxc, "dxc", "element", -1, "dx", "part")
    through_mu = draft.add("dx (through mu)", dmu / elements, "dmu / M", per_block, -1, "dx", "part")
    draft.add("dx (without sq)", direct + through_mu, "dx without the path through sq", "element", -1, "dx", "part")
    draft.add("dx", dxc + through_mu, "dxc + dmu / M", "element", -1, "dx")
