"""Count the floating-point operations of the products in a step: what no implementation can leave out.

A product of matrices (M, K) and (K, N) has 2 M K N. A layer in training has it three times: for its outputs, for the gradient of
its weights, and, where its input needs one, for the gradient of its input. Attention is counted without the half above the
diagonal if it is causal. What is not a product (activations, norms, the optimizer) is not counted, so that the limit of a step,
its operations divided by the speed of the largest product, is below what can be reached.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

RECURRENT = {"RNN": 1, "GRU": 3, "LSTM": 4}
CELLS = {"RNNCell": 1, "GRUCell": 3, "LSTMCell": 4}


def of_layer(layer: Any, x: Any, y: Any) -> tuple[float, float]:
    """Operations of one call of a layer: those of products with its input, and those of products with something of its own.

    The gradient of the former's input is wanted only if the layer's input needs one.
    """
    kind = type(layer).__name__
    if kind == "Linear":
        return 2.0 * x.numel() * layer.out_features, 0.0
    if kind in ("Conv1d", "Conv2d"):
        return 2.0 * y.numel() * (layer.in_channels // layer.groups) * prod(layer.kernel_size), 0.0
    if kind in RECURRENT:
        places = x.numel() // x.shape[-1]
        gates = 2.0 * RECURRENT[kind] * layer.hidden_size * places
        return gates * x.shape[-1], gates * layer.hidden_size * (2 * layer.num_layers - 1)
    if kind in CELLS:
        gates = 2.0 * CELLS[kind] * layer.hidden_size * x.shape[0]
        return gates * x.shape[-1], gates * layer.hidden_size
    if hasattr(layer, "own_flops"):
        return 0.0, layer.own_flops(x)
    return 0.0, 0.0


def of_step(network: Any, run: Callable[[], Any], torch: Any, training: bool = True) -> float:
    """The operations of one step, counted by hooks on the layers while `run` runs once."""
    total = 0.0

    def count(layer: Any, inputs: Any, output: Any) -> None:
        nonlocal total
        x = inputs[0]
        with_input, own = of_layer(layer, x, output[0] if isinstance(output, tuple) else output)
        if training:
            total += with_input * (3 if x.requires_grad else 2) + own * 3
        else:
            total += with_input + own

    hooks = [layer.register_forward_hook(count) for layer in network.modules()]
    run()
    for hook in hooks:
        hook.remove()
    return total
