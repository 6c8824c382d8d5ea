"""RNN and RNNCell, and what all recurrent layers and cells share: weights, checks, packed and unbatched input."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

from mytorch.nn import init
from mytorch.nn.module import Module
from mytorch.nn.parameter import Parameter
from mytorch.nn.util import PackedSequence
from mytorch.ops.autocast import get_casting
from mytorch.ops.create import empty, zeros
from mytorch.ops.recurrent import gru_op, lstm_op, rnn_op
from mytorch.ops.recurrent_network import network, rnn_relu_cell, rnn_tanh_cell, weights_by_layer

if TYPE_CHECKING:
    from typing import Any

    from mytorch.tensor import Tensor

__mytorch__ = True

__all__ = ["RNN", "RNNBase", "RNNCell", "RNNCellBase"]

# mode: (gates, operation, what the operation is told)
_MODES: dict[str, tuple[int, Any, dict[str, Any]]] = {
    "RNN_TANH": (1, rnn_op, {"nonlinearity": "tanh"}),
    "RNN_RELU": (1, rnn_op, {"nonlinearity": "relu"}),
    "GRU": (3, gru_op, {}),
    "LSTM": (4, lstm_op, {}),
}


def _check_sizes(**sizes: Any) -> None:
    for name, value in sizes.items():
        if not isinstance(value, int):
            raise TypeError(f"{name} should be of type int, got: {type(value).__name__}")
        if value <= 0:
            raise ValueError(f"{name} must be greater than zero")


class RNNBase(Module):
    """What RNN, GRU and LSTM share. Weights start uniform on [-k, k), k = 1 / sqrt(hidden_size).

    Layer l has weight_ih_l (gates * hidden_size, input), weight_hh_l (gates * hidden_size, hidden), with `bias` also bias_ih_l and
    bias_hh_l, with `proj_size` also weight_hr_l (proj_size, hidden_size); the second direction's names end in `_reverse`.

    Args:
        mode: 'RNN_TANH', 'RNN_RELU', 'GRU' or 'LSTM'.
        num_layers: each further layer reads the output of the one below.
        batch_first: input and output are (B, T, *); states are not changed by it.
        dropout: probability with which elements between layers are dropped in training.
        bidirectional: a second set of weights reads each sequence backwards; both outputs are joined.
        proj_size: LSTM only: the hidden state is projected to this size; 0 for none.
    Raises:
        ValueError, TypeError: for sizes that are not positive integers, or options out of range.
    """

    def __init__(self, mode: str, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
                 dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        _check_options(dropout, num_layers, bias, batch_first)
        _check_sizes(input_size=input_size, hidden_size=hidden_size)
        if num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        if proj_size < 0:
            raise ValueError("proj_size should be a positive integer or zero to disable projections")
        if proj_size >= hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        if mode not in _MODES:
            raise ValueError(f"Unrecognized RNN mode: {mode}")
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._all_weights: list[list[str]] = []
        directions = 2 if bidirectional else 1
        for layer in range(num_layers):
            for suffix in ("", "_reverse")[:directions]:
                self._add_layer(f"l{layer}{suffix}", input_size if layer == 0 else (proj_size or hidden_size) * directions, device, dtype)
        self.reset_parameters()

    def _add_layer(self, name: str, input_size: int, device: Any, dtype: Any) -> None:
        rows = _MODES[self.mode][0] * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, input_size), "weight_hh": (rows, self.proj_size or self.hidden_size)}
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        for kind, shape in shapes.items():
            setattr(self, f"{kind}_{name}", Parameter(empty(shape, device=device, dtype=dtype)))
        self._all_weights.append([f"{kind}_{name}" for kind in shapes])

    def reset_parameters(self) -> None:
        """Draw the initial weights anew."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing to do: torch joins the weights in one memory here, for GPUs."""

    @property
    def all_weights(self) -> list[list[Any]]:
        """The weights, one list for each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list[Any]:
        return self._weights()

    def _weights(self) -> list[Any]:
        return [getattr(self, name) for name in self._flat_weights_names]

    # ---- checks: torch's names ------------------------------------------------------------------------------------------------

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:  # noqa: A002
        """ValueError for another dtype than the weights', RuntimeError for another number of dimensions or features."""
        dtype = self._weights()[0].dtype
        if input.dtype != dtype and get_casting() is None:
            raise ValueError(f"RNN input dtype ({input.dtype}) does not match weight dtype ({dtype}). "
                             f"Convert input: input.to({dtype}), or convert model: model.to({input.dtype})")
        expected = 3 if batch_sizes is None else 2
        if input.dim() != expected:
            raise RuntimeError(f"input must have {expected} dimensions, got {input.dim()}")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.shape[-1]}")

    def _state_size(self, input: Tensor, batch_sizes: Tensor | None, width: int) -> tuple[int, int, int]:  # noqa: A002
        batch = input.shape[0 if self.batch_first else 1] if batch_sizes is None else int(batch_sizes[0])
        return self.num_layers * (2 if self.bidirectional else 1), batch, width

    def get_expected_hidden_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:  # noqa: A002
        """The shape of h_0: (layers * directions, B, hidden_size or proj_size)."""
        return self._state_size(input, batch_sizes, self.proj_size or self.hidden_size)

    def check_hidden_size(self, hx: Tensor, expected_hidden_size: tuple[int, int, int], msg: str = "Expected hidden size {}, got {}") -> None:
        """RuntimeError if a state has another shape."""
        if tuple(hx.shape) != tuple(expected_hidden_size):
            raise RuntimeError(msg.format(expected_hidden_size, list(hx.shape)))

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:  # noqa: A002
        """RuntimeError or ValueError if input and state do not fit the layer."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden, self.get_expected_hidden_size(input, batch_sizes))

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """A state with its sequences in another order."""
        return _permuted(hx, permutation)

    def _check_state_dims(self, states: tuple[Any, ...], batched: bool) -> None:
        (hx,) = states
        if hx.dim() != (3 if batched else 2):
            kind, wanted = ("batched 3-D", 3) if batched else ("unbatched 2-D", 2)
            raise RuntimeError(f"For {kind} input, hx should also be {wanted}-D but got {hx.dim()}-D tensor")

    def _zero_states(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[Any, ...]:  # noqa: A002
        return (zeros(self.get_expected_hidden_size(input, batch_sizes), dtype=input.dtype),)

    # ---- running --------------------------------------------------------------------------------------------------------------

    def _run(self, input: Any, states: tuple[Any, ...] | None) -> tuple[Any, tuple[Any, ...]]:  # noqa: A002
        """Output and last states for any input: batched, unbatched or packed."""
        if isinstance(input, PackedSequence):
            return self._run_packed(input, states)
        if input.dim() not in (2, 3):
            kind, what = (self.mode, "D") if self.mode in ("GRU", "LSTM") else ("RNN", "D tensor")
            raise ValueError(f"{kind}: Expected input to be 2D or 3D, got {input.dim()}{what} instead")
        batched, batch_dim = input.dim() == 3, 0 if self.batch_first else 1
        if states is not None:
            self._check_state_dims(states, batched)
        if not batched:
            input = input.unsqueeze(batch_dim)  # noqa: A001
            states = None if states is None else tuple(s.unsqueeze(1) for s in states)
        states = self._checked_states(input, states, None)
        x = input.transpose(0, 1) if self.batch_first else input
        steps, batch = x.shape[:2]
        y, *last = self._network(x, states, (batch,) * steps)
        if self.batch_first:
            y = y.transpose(0, 1)
        if not batched:
            return y.squeeze(batch_dim), tuple(s.squeeze(1) for s in last)
        return y, tuple(last)

    def _run_packed(self, input: PackedSequence, states: tuple[Any, ...] | None) -> tuple[PackedSequence, tuple[Any, ...]]:  # noqa: A002
        data, batch_sizes, order, inverse = input
        states = self._checked_states(data, states, batch_sizes)
        states = tuple(_permuted(s, order) for s in states)
        y, *last = self._network(data, states, tuple(batch_sizes.tolist()))
        return PackedSequence(y, batch_sizes, order, inverse), tuple(_permuted(s, inverse) for s in last)

    def _checked_states(self, input: Any, states: tuple[Any, ...] | None, batch_sizes: Any) -> tuple[Any, ...]:  # noqa: A002
        if states is None:
            self.check_input(input, batch_sizes)
            return self._zero_states(input, batch_sizes)
        self.check_forward_args(input, states[0] if len(states) == 1 else states, batch_sizes)
        return states

    def _network(self, x: Any, states: tuple[Any, ...], batch_sizes: tuple[int, ...]) -> tuple[Any, ...]:
        _, op, meta = _MODES[self.mode]
        weights = weights_by_layer(op, self._weights(), self.bias, self.proj_size > 0)
        return network(op, x, states, weights, batch_sizes=batch_sizes, bidirectional=self.bidirectional,
                       dropout_p=self.dropout if self.training else 0.0, **meta)

    def extra_repr(self) -> str:
        defaults = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        shown = [f"{name}={getattr(self, name)}" for name, default in defaults.items() if getattr(self, name) != default]
        return ", ".join([str(self.input_size), str(self.hidden_size), *shown])


def _check_options(dropout: Any, num_layers: int, bias: Any, batch_first: Any) -> None:
    if not hasattr(dropout, "__float__") and not isinstance(dropout, str):
        raise TypeError(f"dropout should be a number in range [0, 1], not {type(dropout).__name__}")
    if not isinstance(dropout, (int, float)) or isinstance(dropout, bool) or not 0 <= dropout <= 1:
        raise ValueError("dropout should be a number in range [0, 1] representing the probability of an element being zeroed")
    if dropout > 0 and num_layers == 1:
        warnings.warn("dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers greater "
                      f"than 1, but got dropout={dropout} and num_layers={num_layers}", stacklevel=4)
    for name, value in (("bias", bias), ("batch_first", batch_first)):
        if not isinstance(value, bool):
            raise TypeError(f"{name} should be of type bool, got: {type(value).__name__}")


def _permuted(state: Any, permutation: Any) -> Any:
    return state if permutation is None else state.index_select(1, permutation)


def _refuse_projection(proj_size: int | None) -> None:
    if proj_size is not None:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")


class RNN(RNNBase):
    """Layers of h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh).

    Args:
        nonlinearity: 'tanh' or 'relu'.
        Others as for `RNNBase`.
    Shape: input (T, B, input_size), or (B, T, input_size) with batch_first, or unbatched (T, input_size), or a PackedSequence;
        hx (layers * directions, B, hidden_size), zeros if left out -> output (T, B, directions * hidden_size), h_n as hx.
    Raises:
        ValueError: for another nonlinearity, number of dimensions or dtype. RuntimeError: for sizes that do not fit.
    Source: Elman 1990, "Finding structure in time"; back-propagation through time: Werbos 1990
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True,
                 batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, proj_size: int | None = None,
                 device: Any = None, dtype: Any = None) -> None:
        _refuse_projection(proj_size)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
                         device=device, dtype=dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:  # noqa: A002
        output, (last,) = self._run(input, None if hx is None else (hx,))
        return output, last


class RNNCellBase(Module):
    """What the cells share: weight_ih (gates * hidden_size, input_size), weight_hh (gates * hidden_size, hidden_size), bias_ih, bias_hh.

    All start uniform on [-k, k), k = 1 / sqrt(hidden_size).
    """

    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(empty((rows, input_size), device=device, dtype=dtype))
        self.weight_hh = Parameter(empty((rows, hidden_size), device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(rows, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial weights anew."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def _batched(self, input: Any, states: tuple[Any, ...] | None, *names: str) -> tuple[Any, ...]:  # noqa: A002
        """Input and states with a batch dimension; zeros, as many as there are names, for states that are not given."""
        ndim = input.dim()
        for which, given in zip(("input", *names), (input, *(states or ()))):
            if given.dim() not in (1, 2):
                raise ValueError(f"{type(self).__name__}: Expected {which} to be 1D or 2D, got {given.dim()}D instead")
        x = input.unsqueeze(0) if ndim == 1 else input
        if states is None:
            return (x, *[zeros(x.shape[0], self.hidden_size, dtype=x.dtype)] * len(names))
        return (x, *(states if ndim == 2 else [s.unsqueeze(0) for s in states]))

    def _weights(self) -> tuple[Any, ...]:
        """w_ih, w_hh, b_ih, b_hh."""
        own = self._parameters
        try:  # as in Linear: the table answers sooner than `self.weight_ih`
            return own["weight_ih"], own["weight_hh"], own["bias_ih"], own["bias_hh"]
        except KeyError:  # computed from others: parametrizations
            return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def extra_repr(self) -> str:
        nonlinearity = getattr(self, "nonlinearity", "tanh")
        return (f"{self.input_size}, {self.hidden_size}" + ("" if self.bias is True else f", bias={self.bias}")
                + ("" if nonlinearity == "tanh" else f", nonlinearity={nonlinearity}"))


class RNNCell(RNNCellBase):
    """One step: h' = tanh(W_ih x + b_ih + W_hh h + b_hh).

    Args:
        nonlinearity: 'tanh' or 'relu'.
    Shape: input (B, input_size) or (input_size), hx (B, hidden_size) or (hidden_size), zeros if left out -> as hx.
    Raises:
        ValueError: for another number of dimensions. RuntimeError: for sizes or dtypes that do not fit, or another nonlinearity.
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", device: Any = None,
                 dtype: Any = None) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Any:  # noqa: A002
        x, h = self._batched(input, None if hx is None else (hx,), "hidden")
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        cell = rnn_tanh_cell if self.nonlinearity == "tanh" else rnn_relu_cell
        y = cell(x, h, *self._weights())
        return y.squeeze(0) if input.dim() == 1 else y
