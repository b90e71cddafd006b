"""A network rewritten for inference: the same function with less work and fewer passes over memory.

Its graph is traced once and changed in place. What is linear between a convolution and the next is multiplied out: a
batch normalisation, a constant factor, and the tail of sub-pixel networks, where a convolution, a pixel shuffle and a
convolution are one small convolution before the shuffle. Rectifiers and residual sums join the convolution before them
(`FusedConvolution`). Half of the time of a small EDSR on a CPU goes into these.

At the border of a tile, where a network pads by zeros between two layers that are merged, other values come out; that
is context, which runs cut off. A network that cannot be traced, or whose rewritten form gives other values, stays as it
is.
"""

from __future__ import annotations

import copy
import operator
from threading import Lock, get_ident
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from scalesr.models.fused import Convolution, EnlargingConvolution, FusedConvolution, Rectifier
from scalesr.models.merging import merged, scaled

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalesr.models.spec import ModelSpec

TOLERANCE = 1e-5
"""Largest difference, relative to the largest value, that a rewritten network may make in float32."""
_EDGE = {2: 32, 3: 24}
"""Edge of the tile that a rewritten network is compared on."""
_BORDER = 8
"""Pixels at each end of that tile where merged layers may see another padding."""
_LEAST = 8
"""Edge of the tile that shapes are followed with."""

_ADD = (operator.add, operator.iadd, torch.add)
_MULTIPLY = (operator.mul, operator.imul, torch.mul)


_TRACING = Lock()
"""Held while torch.fx traces: it patches `nn.Module` and takes the patches off in the order in which they came."""


class _Tracer(fx.Tracer):
    """Records what its own thread calls; modules that other threads call at that time come by as well."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = get_ident()

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


def fused(module: nn.Module, spec: ModelSpec, *, short: torch.dtype | None = None) -> nn.Module:
    """Return a network that does the same in less time, or the module itself where that is not possible.

    Parameters
    ----------
    module
        In evaluation, on the CPU in float32; it is left as it was.
    spec
        What its tiles look like.
    short
        Number format of the convolutions between the first and the last; None is float32 for all. The first and the
        last, and with them the sums along a chain of residual blocks, always stay in float32: rounding these to 8 bits
        makes more than half of the error, and takes little time.
    """
    tile, small = _tile(spec, _EDGE[len(spec.axes)]), _tile(spec, _LEAST)
    try:
        with torch.inference_mode(mode=False), torch.no_grad():
            rewritten = _rewritten(module, small, short=None)
            if not _same(module(tile), rewritten(tile), spec):
                return module
            if short is None:
                return rewritten
            rewritten = _rewritten(module, small, short=short)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return rewritten if rewritten(small).shape == module(small).shape else module
    except Exception:  # noqa: BLE001  # whatever a network of somebody else does when it is traced
        return module


def _rewritten(module: nn.Module, tile: torch.Tensor, *, short: torch.dtype | None) -> fx.GraphModule:
    """Trace and rewrite; layers that do not change are shared with the module."""
    # Some networks keep what they meet on their way in themselves; the weights need no copy.
    weights = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    own = copy.deepcopy(module, weights)
    with _TRACING:
        traced = fx.GraphModule(own, _Tracer().trace(own))
    ShapeProp(traced).propagate(tile)
    _merge(traced)
    _fuse(traced, short=short)
    return traced


def _tile(spec: ModelSpec, edge: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand((1, spec.channels, *[spec.edge(edge)] * len(spec.axes)), generator=generator)


def _same(expected: torch.Tensor, found: torch.Tensor, spec: ModelSpec) -> bool:
    if expected.shape != found.shape:
        return False
    inner = [slice(None), slice(None)]
    for size, scale in zip(expected.shape[2:], spec.scale, strict=True):
        border = min(int(_BORDER * scale), size // 4)
        inner.append(slice(border, size - border))
    return bool(((expected - found)[tuple(inner)].abs() <= TOLERANCE * expected.abs().max()).all())


def _merge(traced: fx.GraphModule) -> None:
    """Multiply out what is linear after each convolution, from the end: the shorter a tail, the more it saves."""
    for node in reversed(traced.graph.nodes):
        while _merged_one(traced, node):
            pass


def _merged_one(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Let a convolution take in the node after it, if that is linear; return whether it did."""
    layer, after = _convolution(traced, node), _only_user(node)
    if layer is None or after is None:
        return False
    added = after.target in _ADD and after.args[1] is node and after.args[0] is not node
    if added and (alpha := after.kwargs.get("alpha", 1)) != 1:
        _replace(traced, node, scaled(layer, float(alpha)))  # type: ignore[arg-type]
        after.kwargs = {}
        return True
    if (taken := _with_what_follows(traced, layer, after)) is not None:
        _replace(traced, node, taken)
        after.replace_all_uses_with(node)
        traced.graph.erase_node(after)
        return True
    step, then = _shuffle(traced, after), _only_user(after)
    second = None if then is None else _convolution(traced, then)
    if step is None or then is None or second is None or (both := merged(layer, step, second)) is None:
        return False
    _replace(traced, node, both)
    then.replace_all_uses_with(after)
    traced.graph.erase_node(then)
    return True


def _with_what_follows(traced: fx.GraphModule, layer: Convolution, after: fx.Node) -> Convolution | None:
    """Return a convolution that does a normalisation or a multiplication by a number too, if that follows."""
    norm = _layer(traced, after)
    if isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d) and norm.running_mean is not None:
        return fuse_conv_bn_eval(layer, norm)
    factor = _factor(after)
    return None if factor is None else scaled(layer, factor)


def _replace(traced: fx.GraphModule, node: fx.Node, layer: nn.Module) -> None:
    name = f"merged_{str(node.target).replace('.', '_')}"
    while hasattr(traced, name):
        name += "_"
    traced.add_module(name, layer)
    node.target = name


def _layer(traced: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return traced.get_submodule(str(node.target)) if node.op == "call_module" else None


def _convolution(traced: fx.GraphModule, node: fx.Node) -> Convolution | None:
    layer = _layer(traced, node)
    if type(layer) not in (nn.Conv2d, nn.Conv3d):
        return None
    assert isinstance(layer, Convolution)
    plain = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return layer if plain and len(node.args) == 1 else None


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _factor(node: fx.Node) -> float | None:
    """Return the number that a node multiplies its tensor with."""
    numbers = [arg for arg in node.args if isinstance(arg, int | float)]
    if len(node.args) != 2 or len(numbers) != 1 or node.kwargs:
        return None
    if node.target in _MULTIPLY:
        return float(numbers[0])
    return 1 / numbers[0] if node.target is operator.truediv and node.args[1] is numbers[0] else None


def _shuffle(traced: fx.GraphModule, node: fx.Node) -> int | None:
    layer = _layer(traced, node)
    if isinstance(layer, nn.PixelShuffle):
        return layer.upscale_factor
    if node.target is functional.pixel_shuffle and len(node.args) == 2 and isinstance(node.args[1], int):
        return node.args[1]
    return None


def _fuse(traced: fx.GraphModule, *, short: torch.dtype | None) -> None:
    """Put a `FusedConvolution` in place of each convolution, with the rectifier or the sum that follows it."""
    convolutions = [node for node in traced.graph.nodes if _convolution(traced, node) is not None]
    for place, node in enumerate(convolutions):
        layer = _convolution(traced, node)
        assert layer is not None
        inside = 0 < place < len(convolutions) - 1
        dtype = short if short is not None and inside else torch.float32
        after = _only_user(node)
        rectifier, slope = _rectifier(traced, after)
        step = _enlarged(traced, node, layer)
        if step is not None:
            assert isinstance(layer, nn.Conv2d)
            node.args = (node.all_input_nodes[0].args[0],)
            new: FusedConvolution = EnlargingConvolution(
                layer, step=step, rectifier=rectifier, slope=slope, dtype=dtype
            )
        else:
            new = FusedConvolution(layer, rectifier=rectifier, slope=slope, dtype=dtype)
        _replace(traced, node, new)
        if after is None:
            continue
        if rectifier != "none":
            after.replace_all_uses_with(node)
        elif step is None and (other := _other_of_sum(after, node)) is not None:
            after.op, after.target, after.args, after.kwargs = "call_module", node.target, (node.args[0], other), {}
    traced.graph.eliminate_dead_code()
    if short is not None:
        _shorten(traced, short)
    _overwrite(traced)
    traced.graph.lint()
    traced.recompile()


def _enlarged(traced: fx.GraphModule, node: fx.Node, layer: Convolution) -> int | None:
    """Return how many times the pixels that a convolution by 3 x 3 reads are repeated, if nothing else reads them."""
    source = node.args[0]
    if not isinstance(source, fx.Node) or _only_user(source) is not node or not source.all_input_nodes:
        return None
    plain = isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3) and layer.padding == (1, 1)
    if not plain or layer.groups != 1 or {*layer.stride, *layer.dilation} != {1}:
        return None
    upsample = _layer(traced, source)
    if isinstance(upsample, nn.Upsample):
        settings = {name: getattr(upsample, name) for name in ("size", "scale_factor", "mode")}
    elif source.target is functional.interpolate and len(source.args) == 1:
        settings = {"mode": "nearest"} | source.kwargs
    else:
        return None
    factor = settings.get("scale_factor")
    if settings["mode"] != "nearest" or settings.get("size") is not None or not isinstance(factor, int | float):
        return None
    return int(factor) if factor == int(factor) and factor > 1 else None


def _rectifier(traced: fx.GraphModule, node: fx.Node | None) -> tuple[Rectifier, float]:
    if node is None:
        return "none", 0.0
    layer = _layer(traced, node)
    method = node.op == "call_method" and node.target in ("relu", "relu_")
    if isinstance(layer, nn.ReLU) or method or node.target in (torch.relu, torch.relu_, functional.relu):
        return "relu", 0.0
    if isinstance(layer, nn.LeakyReLU):
        return "leaky_relu", layer.negative_slope
    if node.target is functional.leaky_relu:
        slope = node.args[1] if len(node.args) > 1 else node.kwargs.get("negative_slope", 0.01)
        return ("leaky_relu", float(slope)) if isinstance(slope, int | float) else ("none", 0.0)
    return "none", 0.0


def _other_of_sum(node: fx.Node, convolution: fx.Node) -> fx.Node | None:
    """Return what a node adds to a convolution, if that has the same shape."""
    if node.target not in _ADD or len(node.args) != 2 or node.kwargs.get("alpha", 1) != 1:
        return None
    other = node.args[0] if node.args[1] is convolution else node.args[1]
    if not isinstance(other, fx.Node) or other is convolution:
        return None
    return other if _shape(other) == _shape(convolution) else None


def _shape(node: fx.Node) -> Any:
    return getattr(node.meta.get("tensor_meta"), "shape", None)


def _is_fused(traced: fx.GraphModule, node: fx.Node) -> bool:
    return isinstance(_layer(traced, node), FusedConvolution)


def _shorten(traced: fx.GraphModule, short: torch.dtype) -> None:
    """Cast a tensor once for all short convolutions that read it, and before it is enlarged or put behind others."""
    cast: dict[fx.Node, fx.Node] = {}

    def shortened(source: fx.Node) -> fx.Node:
        if source not in cast:
            with traced.graph.inserting_after(source):
                cast[source] = traced.graph.call_method("to", (source, short))
        return cast[source]

    def reads_short(node: fx.Node, source: fx.Node) -> bool:
        layer = _layer(traced, node)
        fused_one = isinstance(layer, FusedConvolution) and layer.dtype == short and node.args[0] is source
        return fused_one or node in cast.values()

    # From the end, so that a cast moves up through all that only copies.
    for node in reversed(list(traced.graph.nodes)):
        if node.users and _copies(traced, node) and all(reads_short(user, node) for user in node.users):
            first, *rest = node.args
            parts = type(first)(map(shortened, first)) if isinstance(first, list | tuple) else shortened(first)
            node.args = (parts, *rest)
    for node in list(traced.graph.nodes):
        readers = [user for user in node.users if user not in cast.values() and reads_short(user, node)]
        if len(readers) > 1 and not _copies(traced, node):
            for reader in readers:
                reader.args = (shortened(node), *reader.args[1:])


def _copies(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Return whether a node hands on values of its first argument and computes none."""
    if node.target is functional.interpolate:
        return node.kwargs.get("mode", "nearest") in ("nearest", "nearest-exact")
    copying = (torch.cat, functional.pixel_shuffle, functional.pixel_unshuffle)
    return node.target in copying or isinstance(_layer(traced, node), nn.PixelShuffle | nn.PixelUnshuffle)


def _overwrite(traced: fx.GraphModule) -> None:
    """Let a sum overwrite what it adds to, where nothing reads that any more."""
    order = {node: place for place, node in enumerate(traced.graph.nodes)}
    for node in traced.graph.nodes:
        if not _is_fused(traced, node) or len(node.args) != 2:
            continue
        other = node.args[1]
        # Anything but a convolution may hand on its input itself, or a view of it.
        if (
            _is_fused(traced, other)
            and node.args[0] is not other
            and all(_is_fused(traced, user) and order[user] <= order[node] for user in other.users)
        ):
            node.kwargs = {"where": "other"}
