"""LSTM and LSTMCell: long short-term memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mytorch.nn.rnn import RNNBase, RNNCellBase
from mytorch.ops.create import zeros
from mytorch.ops.recurrent_network import lstm_cell

if TYPE_CHECKING:
    from typing import Any

    from mytorch.tensor import Tensor

__mytorch__ = True

__all__ = ["LSTM", "LSTMCell"]


class LSTM(RNNBase):
    """Layers of long short-term memory.

    i, f, o = sigmoid(W x + b + W' h + b') and g = tanh(...), each with its own weights, held in the order i, f, g, o;
    c' = f * c + i * g, h' = o * tanh(c'), projected by weight_hr where proj_size is given.

    Args:
        As for `RNNBase`.
    Shape: input (T, B, input_size), or (B, T, input_size) with batch_first, or unbatched (T, input_size), or a PackedSequence;
        hx = (h_0, c_0), (layers * directions, B, hidden_size) each (h_0 has proj_size features where given), zeros if left out
        -> output (T, B, directions * hidden_size), (h_n, c_n) as hx.
    Raises:
        ValueError: for another number of dimensions or dtype. RuntimeError: for sizes that do not fit.
    Source: Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000; projection: Sak et al. 2014, arXiv:1402.1128
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
                 dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, device: Any = None, dtype: Any = None) -> None:
        super().__init__("LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype)

    def get_expected_cell_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:  # noqa: A002
        """The shape of c_0: (layers * directions, B, hidden_size)."""
        return self._state_size(input, batch_sizes, self.hidden_size)

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:  # noqa: A002
        """RuntimeError or ValueError if input and states do not fit the layer."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden[0], self.get_expected_hidden_size(input, batch_sizes), "Expected hidden[0] size {}, got {}")
        self.check_hidden_size(hidden[1], self.get_expected_cell_size(input, batch_sizes), "Expected hidden[1] size {}, got {}")

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """Both states with their sequences in another order."""
        return hx if permutation is None else tuple(s.index_select(1, permutation) for s in hx)

    def _check_state_dims(self, states: tuple[Any, ...], batched: bool) -> None:
        h, c = states
        wanted = 3 if batched else 2
        if h.dim() != wanted or c.dim() != wanted:
            raise RuntimeError(f"For {'batched 3-D' if batched else 'unbatched 2-D'} input, hx and cx should also be {wanted}-D "
                               f"but got ({h.dim()}-D, {c.dim()}-D) tensors")

    def _zero_states(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[Any, ...]:  # noqa: A002
        return (*super()._zero_states(input, batch_sizes), zeros(self.get_expected_cell_size(input, batch_sizes), dtype=input.dtype))

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, tuple[Any, Any]]:  # noqa: A002
        output, (h, c) = self._run(input, None if hx is None else (hx[0], hx[1]))
        return output, (h, c)


class LSTMCell(RNNCellBase):
    """One step of an LSTM.

    Shape: input (B, input_size) or (input_size), hx = (h, c), (B, hidden_size) or (hidden_size) each, zeros if left out -> as hx.
    Raises:
        ValueError: for another number of dimensions. RuntimeError: for sizes or dtypes that do not fit.
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Any, Any]:  # noqa: A002
        if hx is not None and not isinstance(hx, (tuple, list)):
            raise TypeError(f"lstm_cell(): argument 'hx' (position 2) must be tuple of Tensors, not {type(hx).__name__}")
        x, *states = self._batched(input, None if hx is None else tuple(hx), "hx[0]", "hx[1]")
        h, c = lstm_cell(x, tuple(states), *self._weights())
        return (h.squeeze(0), c.squeeze(0)) if input.dim() == 1 else (h, c)
