"""What vmap runs on: tensors that show one example and hold them all, and the mode that sees every operation on them.

A `BatchedTensor` holds the whole batch as an ordinary Tensor whose dimension 0 is the batch. Its `_array`, which the public functions
look at to check shapes and dtypes, is a `StandIn`: an array of the shape, strides and dtype of one example whose values may not be
read. Operations reach the `Level`, the mode that a vmap enters, through the one door; it runs them on the whole batch by the rules of
`batching_rules`. Graphs are recorded on whole batches: examples do not mix, so the gradient of the batch is the batch of gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from mytorch import engine_state
from mytorch.autograd_engine import Op, apply
from mytorch.engine_state import TensorBase, state
from mytorch.func import structured_rules  # noqa: F401 - adds its rules to the table
from mytorch.func.batching_rules import aligned, is_pointwise, rule_of
from mytorch.generator import default_generator, watcher
from mytorch.grad_mode import Mode
from mytorch.ops.elementwise import copy_
from mytorch.ops.joining import stack as join
from mytorch.tensor import Tensor

__mytorch__ = True

_ITEM = ("vmap: It looks like you're calling .item() on a Tensor. We don't support vmap over calling .item() on a Tensor, please try to "
         "rewrite what you're doing with other operations.")
_CONTROL_FLOW = ("vmap: It looks like you're attempting to use a Tensor in some data-dependent control flow. We don't support that yet: "
                 "choose between values with torch.where.")
_VALUES = ("vmap: the values of a batched tensor are needed outside of an operation, and each example has its own. Cannot access data "
           "pointer of Tensor that doesn't have storage.")
_INPLACE = ("vmap: inplace arithmetic(self, *extra_args) is not possible because there exists a Tensor `other` in extra_args that has "
            "more elements than `self`. This happened due to `other` being vmapped over but `self` not being vmapped over in a vmap. "
            "Please try to use out-of-place operators instead of inplace arithmetic.")
_INPLACE_RANDOM = ("vmap: Cannot ask for different inplace randomness on an unbatched tensor. This will appear like same randomness. "
                   "Draw out of place, or into a tensor that is batched.")
_RANDOM = ("vmap: called random operation while in randomness error mode. Please either use the 'same' or 'different' randomness flags on "
           "vmap or perform the randomness operation out of vmap")
_DYNAMIC = "vmap: We do not support batching operators that can output dynamic shape. Attempted to vmap over {}: its results differ in shape."


# ---- the array of one example -------------------------------------------------------------------------------------------------


class StandIn(ndarray):
    """The shape, strides and dtype of one example. Its values are not for reading: each example has its own.

    Only `min` and `max` of everything answer, for all examples together: that is what checks of indices ask for.
    """

    level: Level
    whole: Any  # the array of all examples; a StandIn itself where vmaps nest

    def __array_ufunc__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(_VALUES)

    def __array_function__(self, *args: Any, **kwargs: Any) -> Any:
        if args and args[0] is np.all and len(args[2]) == 1 and not args[3]:  # "has it a zero anywhere?", asked by derivatives
            return np.all(args[2][0].whole)
        raise RuntimeError(_VALUES)

    def min(self, *args: Any, **kwargs: Any) -> Any:
        """The smallest element of all examples: for checks of bounds."""
        if args or kwargs:
            raise RuntimeError(_VALUES)
        return self.whole.min()

    def max(self, *args: Any, **kwargs: Any) -> Any:
        """The largest element of all examples: for checks of bounds."""
        if args or kwargs:
            raise RuntimeError(_VALUES)
        return self.whole.max()

    def astype(self, dtype: Any, *args: Any, **kwargs: Any) -> Any:
        """All examples in another dtype."""
        return stand_in(self.whole.astype(dtype), self.level)

    def as_batched(self) -> BatchedTensor:
        """The batched tensor that it stands for."""
        whole = self.whole.as_batched() if type(self.whole) is StandIn else engine_state.wrap(self.whole)
        return BatchedTensor.of(whole, self.level)


def _refusing(text: str) -> Callable[..., Any]:
    def refuse(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(text)
    return refuse


for _name in ("item", "tolist", "__int__", "__float__", "__complex__", "__index__"):
    setattr(StandIn, _name, _refusing(_ITEM))
StandIn.__bool__ = _refusing(_CONTROL_FLOW)  # type: ignore[method-assign]
for _name in ("__getitem__", "__setitem__", "__iter__", "__contains__", "argmax", "argmin", "argsort", "choose", "compress", "copy",
              "dot", "fill", "flatten", "nonzero", "partition", "put", "ravel", "repeat", "searchsorted", "sort", "take", "tobytes", "trace"):
    setattr(StandIn, _name, _refusing(_VALUES))


def stand_in(whole: Any, level: Level) -> StandIn:
    """The StandIn of one example for the array of all (the batch first)."""
    one = ndarray.__getitem__(whole, 0) if len(whole) else np.empty(whole.shape[1:], whole.dtype)
    array: StandIn = np.ndarray.view(np.ndarray.view(one, ndarray) if isinstance(one, ndarray) else np.asarray(one), StandIn)
    array.level, array.whole = level, whole
    return array


# ---- the tensor ---------------------------------------------------------------------------------------------------------------


def _of_whole(name: str) -> Any:
    """A slot of the Tensor that holds the whole batch, seen as this tensor's own."""
    def read(self: Any) -> Any:
        return getattr(self._full, name)

    def write(self: Any, value: Any) -> None:
        setattr(self._full, name, value)

    return property(read, write)


class BatchedTensor(Tensor):
    """A tensor inside vmap: to the function one example, in truth the batch of them. Its place in the graph is the batch's."""

    __slots__ = ("_example", "_full", "_level")

    _full: Any  # a Tensor whose dimension 0 is the batch
    _level: Level
    _example: StandIn | None

    _edge = _of_whole("_edge")
    _requires_grad = _of_whole("_requires_grad")
    _storage = _of_whole("_storage")
    _view = _of_whole("_view")
    _grad = _of_whole("_grad")
    _accumulate = _of_whole("_accumulate")
    _hooks = _of_whole("_hooks")

    @staticmethod
    def of(full: Any, level: Level) -> BatchedTensor:
        """The batched tensor of a Tensor whose dimension 0 is the batch of that level."""
        t: BatchedTensor = object.__new__(BatchedTensor)
        t._full, t._level, t._example = full, level, None
        return t

    def _get_array(self) -> StandIn:
        whole = self._full._array
        if self._example is None or self._example.whole is not whole:
            self._example = stand_in(whole, self._level)
        return self._example

    def _set_array(self, value: Any) -> None:
        if type(value) is not StandIn or value.level is not self._level:
            raise RuntimeError("vmap: an out= tensor, or a tensor whose memory is exchanged, cannot be resized inside vmap: "
                               "use the function without out=")
        self._full._array = value.whole

    _array = property(_get_array, _set_array)

    def alike(self, full: Any) -> BatchedTensor:
        """Another whole batch as a tensor of this level."""
        return BatchedTensor.of(full, self._level)

    def detach(self) -> BatchedTensor:
        """The same values as a constant."""
        return self.alike(self._full.detach())

    def detach_(self) -> BatchedTensor:
        """Forget the graph behind it."""
        self._full = self._full.detach()
        return self

    @property  # type: ignore[misc]
    def data(self) -> Any:
        """Refused, as torch does: memory cannot be shared with one example."""
        raise RuntimeError("accessing `data` under vmap transform is not allowed: use detach()")

    def new_zeros(self, *size: Any, **options: Any) -> BatchedTensor:
        """Zeros of this dtype, for each example its own."""
        return self._new("new_zeros", size, options)

    def new_ones(self, *size: Any, **options: Any) -> BatchedTensor:
        """Ones of this dtype, for each example its own."""
        return self._new("new_ones", size, options)

    def new_empty(self, *size: Any, **options: Any) -> BatchedTensor:
        """Uninitialised values of this dtype, for each example its own."""
        return self._new("new_empty", size, options)

    def _new(self, name: str, size: tuple[Any, ...], options: dict[str, Any]) -> BatchedTensor:
        sizes = options.pop("size", size[0] if len(size) == 1 and isinstance(size[0], (tuple, list)) else size)
        return self.alike(getattr(self._full, name)((self._level.size, *sizes), **options))

    def item(self) -> Any:
        """Refused: each example has its own value."""
        raise RuntimeError(_ITEM)

    def __bool__(self) -> bool:
        raise RuntimeError(_CONTROL_FLOW)

    def __contains__(self, value: Any) -> bool:
        raise RuntimeError(_CONTROL_FLOW)

    def _only(self) -> Any:
        raise RuntimeError(_ITEM)

    def numpy(self, *, force: bool = False) -> Any:
        """Refused: each example has its own values."""
        raise RuntimeError(_VALUES)

    tolist = __array__ = __dlpack__ = __deepcopy__ = __reduce_ex__ = _refusing(_VALUES)

    def register_hook(self, hook: Any) -> Any:
        """Refused: the hook would see the gradient of all examples at once."""
        raise NotImplementedError("register_hook is not supported inside vmap: register it outside, on the whole batch")

    def retain_grad(self) -> None:
        """Refused: use mytorch.func.grad."""
        raise NotImplementedError("retain_grad is not supported inside vmap: use mytorch.func.grad")

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        inner = "\n".join("    " + line for line in repr(self._full).splitlines())
        return f"BatchedTensor(lvl={self._level.depth}, bdim=0, value=\n{inner}\n)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)


# ---- the mode -----------------------------------------------------------------------------------------------------------------


class Level(Mode):
    """One vmap in progress: runs operations on the batch, by a rule where there is one, else example by example.

    Args:
        size: how many examples.
        randomness: 'error', 'same' or 'different': what a draw of random numbers does.
    """

    follows_backward = True
    depth = 1

    def __init__(self, size: int, randomness: str = "error") -> None:
        self.size = size
        self.randomness = randomness
        self.looping = 0  # how many loops over the examples are in progress: there a draw is for one example

    def __enter__(self) -> Level:
        self.depth = 1 + max((mode.depth for mode in stack() if isinstance(mode, Level)), default=0)
        super().__enter__()
        self._watcher_below = watcher.get()
        watcher.set(self.draw)
        return self

    def __exit__(self, *exc: object) -> None:
        watcher.set(self._watcher_below)
        super().__exit__(*exc)

    def full(self, x: Any) -> Any:
        """The whole batch of a tensor (or stand-in) that this level batches; None for anything else."""
        if type(x) is BatchedTensor:
            return x._full if x._level is self else None
        if x is None or type(x) is float:
            return None
        array = x._array if isinstance(x, TensorBase) else x
        if type(array) is StandIn:
            if not hasattr(array, "level"):
                raise RuntimeError(_VALUES)
            return array.as_batched()._full if array.level is self else None
        return None

    def handle(self, run: Callable[..., Any], op: Op, inputs: tuple[Any, ...], meta: Any) -> Any:
        xs, on = [], []
        for x in inputs:
            whole = (x._full if x._level is self else None) if type(x) is BatchedTensor else self.full(x)
            xs.append(x if whole is None else whole)
            on.append(whole is not None)
        if True not in on:
            return self.proceed(run, op, inputs, meta)
        state.mode = self._below
        try:
            if run is apply:
                return self.batched(self.apply_rule(op, xs, on, meta or {}))
            if not on[0]:
                raise RuntimeError(_INPLACE_RANDOM if op.name == "random" else _INPLACE)
            self.write(run, op, xs, on, meta or {})
            return inputs[0]
        finally:
            state.mode = self

    def apply_rule(self, op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any]) -> Any:
        """The operation on the whole batch: `on` says which inputs have the batch as their first dimension."""
        rule = rule_of(op)
        y = NotImplemented if rule is None else rule(op, xs, on, meta, self.size)
        return self.loop(op, xs, on, meta) if y is NotImplemented else y

    def write(self, run: Callable[..., Any], op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any]) -> None:
        """The operation in place."""
        if is_pointwise(op):
            run(op, tuple(aligned(op, xs, on, self.size, inplace=True)), meta)
        else:
            copy_(xs[0], self.apply_rule(op, [xs[0].clone(), *xs[1:]], on, meta))

    def loop(self, op: Op, xs: list[Any], on: list[bool], meta: dict[str, Any]) -> Any:
        """The operation example by example, and the results stacked: right for every operation."""
        parts = [x.unbind(0) if batched else x for x, batched in zip(xs, on, strict=True)]
        return stacked(op.name, [apply(op, tuple(p[i] if batched else p for p, batched in zip(parts, on, strict=True)), meta)
                                 for i in range(self.size)])

    def batched(self, y: Any) -> Any:
        """Whole batches as tensors of this level."""
        if isinstance(y, TensorBase):
            return BatchedTensor.of(y, self)
        return type(y)([BatchedTensor.of(part, self) for part in y])

    def call(self, function: Callable[..., Any], again: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A function that computes outside of operations: example by example, if any of its arguments is batched here."""
        from mytorch.func.pytree import flatten, unflatten
        leaves, spec = flatten((args, kwargs))
        fulls = [self.full(x) for x in leaves]
        if all(x is None for x in fulls):
            return super().call(function, again, args, kwargs)
        parts = [None if x is None else x.unbind(0) for x in fulls]
        rows = []
        for i in range(self.size):
            with self.one_example(last=i == self.size - 1):
                a, k = unflatten(spec, [x if p is None else p[i] for x, p in zip(leaves, parts, strict=True)])
                rows.append(again(*a, **k))
        columns = [flatten(row) for row in rows]
        name = getattr(function, "__name__", "function")
        return unflatten(columns[0][1], [BatchedTensor.of(stacked(name, list(c)), self) for c in zip(*[leaf for leaf, _ in columns], strict=True)])

    def handle_function(self, function: Any, run: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A user's Function: by its own rule, or example by example where it allows that."""
        from mytorch.autograd.function import Function
        fulls = [self.full(x) for x in args]
        if all(x is None for x in fulls):
            return super().handle_function(function, run, args, kwargs)
        if function.vmap is not Function.vmap:
            state.mode = self._below
            try:
                given = [x if full is None else full for x, full in zip(args, fulls, strict=True)]
                y, out_dims = function.vmap(VmapInfo(self.size, self.randomness), tuple(None if x is None else 0 for x in fulls), *given, **kwargs)
                return self._at(y, out_dims), None
            finally:
                state.mode = self
        if not function.generate_vmap_rule:
            raise RuntimeError(f"You tried to vmap over {function.__name__}, but it does not have vmap support. Please override and implement "
                               "the vmap staticmethod or set generate_vmap_rule=True.")
        parts = [None if x is None else x.unbind(0) for x in fulls]
        rows = [function.apply(*[x if p is None else p[i] for x, p in zip(args, parts, strict=True)], **kwargs) for i in range(self.size)]
        return self.batched(stacked(function.__name__, rows)), None

    def _at(self, y: Any, out_dims: Any) -> Any:
        """What a user's rule returned, as tensors of this level."""
        if isinstance(y, tuple):
            dims = out_dims if isinstance(out_dims, tuple) else (out_dims,) * len(y)
            return tuple(self._at(part, dim) for part, dim in zip(y, dims, strict=True))
        return y if out_dims is None else BatchedTensor.of(y.movedim(out_dims, 0), self)

    def like(self, x: Any, others: Iterable[Any]) -> Any:
        """x, repeated for every example if one of the others is batched here."""
        x = super().like(x, others)
        if self.full(x) is not None or all(self.full(y) is None for y in others):
            return x
        return dress(x.expand(self.size, *x._array.shape), self)

    def draw(self, method: Callable[..., Any], place: int | None, generator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Draw random numbers for all examples, or once for all, or refuse."""
        if self.randomness == "error":
            raise RuntimeError(_RANDOM)
        with _watching(self._watcher_below):
            if self.randomness == "same" or self.looping:
                return method(generator, *args, **kwargs)
            if place is None or len(args) <= place:
                return stand_in(np.stack([method(generator, *args, **kwargs) for _ in range(self.size)]), self)
            shape = (args[place],) if isinstance(args[place], int) else args[place]
            return stand_in(method(generator, *args[:place], (self.size, *shape), *args[place + 1:], **kwargs), self)

    @contextmanager
    def one_example(self, last: bool) -> Iterator[None]:
        """Draws inside are for one example; where all shall have the same, the next example's begin where this one's did."""
        start = default_generator.get_state() if self.randomness == "same" and not last else None
        self.looping += 1
        try:
            yield
        finally:
            self.looping -= 1
            if start is not None:
                default_generator.set_state(start)


class VmapInfo(NamedTuple):
    """What a user's vmap rule is told: how many examples there are, and what a random draw shall do."""

    batch_size: int
    randomness: str


def stack() -> list[Mode]:
    """The modes entered, the innermost first."""
    found = []
    mode = state.mode
    while mode is not None:
        found.append(mode)
        mode = mode._below
    return found


def stacked(name: str, rows: list[Any]) -> Any:
    """The results of all examples as one batch."""
    if not rows:
        raise RuntimeError(f"vmap: {name} has no batching rule, and without an example its result cannot be known")
    if isinstance(rows[0], (tuple, list)):
        return type(rows[0])([stacked(name, list(column)) for column in zip(*rows, strict=True)])
    if any(y._array.shape != rows[0]._array.shape for y in rows):
        raise RuntimeError(_DYNAMIC.format(name))
    return join(rows, 0)


@contextmanager
def _watching(watch: Any) -> Iterator[None]:
    """Who sees random draws, inside."""
    token = watcher.set(watch)
    try:
        yield
    finally:
        watcher.reset(token)


# ---- levels taken off and put on ----------------------------------------------------------------------------------------------


def is_batched_at(x: Any, level: Level) -> bool:
    """Is this level among those that batch x?"""
    while type(x) is BatchedTensor:
        if x._level is level:
            return True
        x = x._full
    return False


def _exchanged(x: Any) -> Any:
    """x with its first two dimensions exchanged."""
    return x.transpose(0, 1)


def strip(x: Any, level: Level) -> Any:
    """x as seen from outside of the level: its batch becomes the first dimension; x is repeated where it has none."""
    if not is_batched_at(x, level):
        return x.expand(level.size, *x._array.shape)
    if x._level is level:
        return x._full
    return x.alike(_exchanged(strip(x._full, level)))


def dress(y: Any, level: Level) -> Any:
    """Undo `strip`: the first dimension becomes the batch of the level."""
    if type(y) is BatchedTensor and y._level.depth > level.depth:
        return y.alike(dress(_exchanged(y._full), level))
    return BatchedTensor.of(y, level)


def inside_vmap_leaf(x: Any) -> Any:
    """x with an example of its own for every vmap entered since the innermost mode that is none.

    A transform that differentiates inside of vmap asks for it before it makes x a leaf: each example then has its own gradient.
    """
    levels: list[Level] = []
    for mode in stack():
        if isinstance(mode, Level):
            levels.append(mode)
        elif mode.follows_backward:
            break
    for level in reversed(levels):
        if not is_batched_at(x, level):
            x = dress(x.expand(level.size, *x._array.shape), level)
    return x
