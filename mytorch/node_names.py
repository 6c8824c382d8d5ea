"""The names that nodes show, `grad_fn=<SumBackward1>`: torch's, which tell the forms of an operation apart.

Most are the operation's name and 'Backward0'. The others are looked up here, from what the node knows of its call: asked for only
when somebody looks at a node, so that a name costs nothing while a network runs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__mytorch__ = True

_PART = re.compile(r"(?:^|_|(?<=\d))([a-z])")  # letters that become capitals: at the start, after _ and after a digit


def plain(title: str) -> str:
    """log1p -> Log1PBackward0."""
    return _PART.sub(lambda found: found[1].upper(), title.strip("_")) + "Backward0"


def name_of(node: Any) -> str:
    """The name of an operation's node."""
    title: str = node.op.title
    rule = RULES.get(title)
    if rule is None:
        return plain(title)
    return rule if isinstance(rule, str) else rule(node, meta_of(node))


def titled(y: Any, title: str) -> Any:
    """A result whose node shows the function that was called, not that function's last step."""
    node: Any = getattr(y, "_edge", None)  # y is the only output of its node, so the edge is the node
    op = getattr(node, "op", None)
    if op is not None:
        node.op = op.variant(title)
    return y


def meta_of(node: Any) -> dict[str, Any]:
    """The settings of the call, as far as the node kept them for its derivative."""
    saved: Any = node.saved
    return (saved[-1] or {}) if len(saved) > 1 else {}


def shape_of(node: Any) -> tuple[int, ...] | None:
    """The shape of the first input, if the node kept it."""
    saved = node.saved
    if len(saved) < 2:
        return None
    if saved[-2] is not None:
        return tuple(saved[-2][0])
    return getattr(saved[0], "shape", None)


def _reduced(name: str) -> Callable[[Any, dict[str, Any]], str]:
    """torch has one form of a reduction for all elements and one for dimensions."""
    return lambda node, meta: f"{name}Backward{0 if meta.get('dim') is None else 1}"


def _indexed(node: Any, meta: dict[str, Any]) -> str:
    """x[...] is made of a select for each number, an unsqueeze for each None, a slice for each range: the last one shows."""
    shape = shape_of(node) or ()
    key = meta.get("key", ())
    if Ellipsis in key:
        at = key.index(Ellipsis)
        rest = len(shape) - sum(1 for part in key if part is not None and part is not Ellipsis)
        key = (*key[:at], *[slice(None)] * rest, *key[at + 1:])
    name, d = "AliasBackward0", 0
    for part in key:
        if part is None:
            name = "UnsqueezeBackward0"
            continue
        if not isinstance(part, slice):
            name = "SelectBackward0"
        elif d < len(shape) and part.indices(shape[d]) != (0, shape[d], 1):
            name = "SliceBackward0"
        d += 1
    return name


def _limited(node: Any, meta: dict[str, Any]) -> str:
    tensors = any(edge is not None for edge in node.edges[1:])
    return "ClampBackward0" if tensors else "ClampBackward1"


def _power(node: Any, meta: dict[str, Any]) -> str:
    """torch has a form for a number as the exponent, for two tensors, and for a number as the base."""
    base, exponent = node.saved[:2] if len(node.saved) > 2 else (None, None)
    if not hasattr(exponent, "shape"):
        return "PowBackward0"
    return "PowBackward1" if hasattr(base, "shape") else "PowBackward2"


def _pooled(name: str) -> Callable[[Any, dict[str, Any]], str]:
    """Pooling counts the dimensions of the image; that of a sequence ends with a squeeze, in torch."""
    def rule(node: Any, meta: dict[str, Any]) -> str:
        dims = len(_images(node)) - 2
        return f"{name.format(dims)}Backward0" if dims > 1 else "SqueezeBackward1"
    return rule


def _averaged(node: Any, meta: dict[str, Any]) -> str:
    """torch averages a whole image by a mean over its dimensions."""
    shape = _images(node)
    return "MeanBackward1" if len(shape) > 3 and set(shape[2:]) == {1} else f"AdaptiveAvgPool{len(shape) - 2}DBackward0"


def _resized(kind: str) -> Callable[[Any, dict[str, Any]], str]:
    return lambda node, meta: f"Upsample{kind}{len(_images(node)) - 2}DBackward0"


def _images(node: Any) -> tuple[int, ...]:
    return (node.shape if node.shape is not None else node.outputs[0][0]) or ()


def _product(node: Any, meta: dict[str, Any]) -> str:
    """A linear layer is addmm or mm on matrices; with more dimensions torch's last step is a view."""
    biased = node.op.title == "linear"
    if len(node.shape or ()) == 2:
        return "AddmmBackward0" if biased else "MmBackward0"
    return "ViewBackward0" if biased else "UnsafeViewBackward0"


RULES: dict[str, str | Callable[[Any, dict[str, Any]], str]] = {
    "slice": _indexed,
    "sum": _reduced("Sum"), "mean": _reduced("Mean"), "prod": _reduced("Prod"),
    "max_all": "MaxBackward1", "min_all": "MinBackward1", "median_dim": "MedianBackward1", "nanmedian_dim": "NanmedianBackward1",
    "squeeze_dim": "SqueezeBackward1", "squeeze_dims": "SqueezeBackward2",
    "clamp": _limited, "rsub": "RsubBackward1", "pow": _power, "div_rounded": "DivBackward2",
    "floor_divide": "NotImplemented", "square": "PowBackward0", "scatter_number": "ScatterBackward1",
    "fill": "FillBackward2", "copy": "CopyBackwards", "contiguous": "CloneBackward0", "diag": "DiagonalBackward0_copy",
    "linear": _product, "linear_plain": _product, "prelu": "PreluKernelBackward0", "cross_entropy_loss": "NllLossBackward0",
    "max_pool_with_indices": _pooled("MaxPool{}DWithIndices"), "avg_pool": _pooled("AvgPool{}D"),
    "upsample_nearest": _resized("Nearest"), "upsample_nearest_exact": _resized("NearestExact"), "upsample_linear": _resized("Linear"),
    "upsample_bilinear": _resized("Bilinear"), "upsample_bicubic": _resized("Bicubic"), "upsample_trilinear": _resized("Trilinear"),
    "dropout": "MulBackward0", "adaptive_avg_pool": _averaged, "adaptive_max_pool": _pooled("AdaptiveMaxPool{}D"),
}
