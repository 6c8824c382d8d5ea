"""GRU and GRUCell: gated recurrent units."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mytorch.nn.rnn import RNNBase, RNNCellBase, _refuse_projection
from mytorch.ops.recurrent_network import gru_cell

if TYPE_CHECKING:
    from typing import Any

    from mytorch.tensor import Tensor

__mytorch__ = True

__all__ = ["GRU", "GRUCell"]


class GRU(RNNBase):
    """Layers of gated recurrent units.

    r = sigmoid(W_ir x + b_ir + W_hr h + b_hr), z = sigmoid(W_iz x + b_iz + W_hz h + b_hz),
    n = tanh(W_in x + b_in + r * (W_hn h + b_hn)), h' = (1 - z) * n + z * h. The weights hold r, z and n in this order.

    Args:
        As for `RNNBase`.
    Shape: input (T, B, input_size), or (B, T, input_size) with batch_first, or unbatched (T, input_size), or a PackedSequence;
        hx (layers * directions, B, hidden_size), zeros if left out -> output (T, B, directions * hidden_size), h_n as hx.
    Raises:
        ValueError: for another number of dimensions or dtype. RuntimeError: for sizes that do not fit.
    Source: Cho et al. 2014, arXiv:1406.1078v1, where r multiplies the product W_hn h (in v3 it multiplies h)
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
                 dropout: float = 0.0, bidirectional: bool = False, proj_size: int | None = None, device: Any = None,
                 dtype: Any = None) -> None:
        _refuse_projection(proj_size)
        super().__init__("GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device=device, dtype=dtype)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:  # noqa: A002
        output, (last,) = self._run(input, None if hx is None else (hx,))
        return output, last


class GRUCell(RNNCellBase):
    """One step of a GRU.

    Shape: input (B, input_size) or (input_size), hx (B, hidden_size) or (hidden_size), zeros if left out -> as hx.
    Raises:
        ValueError: for another number of dimensions. RuntimeError: for sizes or dtypes that do not fit.
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Any:  # noqa: A002
        x, h = self._batched(input, None if hx is None else (hx,), "hidden")
        y = gru_cell(x, h, *self._weights())
        return y.squeeze(0) if input.dim() == 1 else y
