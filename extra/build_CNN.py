"""Build a 1-d convolutional network from a list of its layers, and compute the one number that is easy to get wrong.

    python extra/build_CNN.py                                the network below, trained on signals of a small task
    python extra/build_CNN.py --width 80                     the same layers, on longer signals
    python extra/build_CNN.py --layer 24,32,7,2,ReLU --layer 32,16,3,1,Tanh

A convolution shortens its input: a kernel of K values that moves by S has (W - K) // S + 1 places in an input of width W.
The Linear layer at the end must know how many numbers reach it, which is the last width times the last number of channels.
Here they follow from the list, and a list that does not fit is refused, layer by layer, before anything is built.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import NamedTuple

import mytorch as torch
import mytorch.nn.functional as F
from mytorch import Tensor, nn


class Layer(NamedTuple):
    """A convolution and the function that follows it."""

    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int
    activation: str


ACTIVATIONS = {"Identity": nn.Identity, "ReLU": nn.ReLU, "Sigmoid": nn.Sigmoid, "Tanh": nn.Tanh}
LAYERS = (
    Layer(24, 56, 5, 1, "Tanh"),
    Layer(56, 28, 6, 2, "ReLU"),
    Layer(28, 14, 2, 2, "Sigmoid"),
)

# ---- the network ----------------------------------------------------------------------------------------------------------


def output_widths(layers: Sequence[Layer], width: int) -> list[int]:
    """The width behind each convolution, for an input of that width.

    Raises:
        ValueError: the layers do not fit each other or the input; the message names the layer.
    """
    if not layers:
        raise ValueError("a network needs one layer at least: Layer(in_channels, out_channels, kernel_size, stride, activation)")
    widths: list[int] = []
    channels = layers[0].in_channels
    for number, layer in enumerate(layers, 1):
        if min(layer[:4]) < 1:
            raise ValueError(f"layer {number}: channels, kernel size and stride must be 1 or more, not {layer[:4]}")
        if layer.in_channels != channels:
            raise ValueError(f"layer {number} takes {layer.in_channels} channels, but layer {number - 1} gives {channels}")
        if layer.kernel_size > width:
            raise ValueError(f"layer {number}: its kernel is {layer.kernel_size} wide, but only {width} values reach it; "
                             "take a smaller kernel, smaller strides before it, or a wider input")
        if layer.activation not in ACTIVATIONS:
            raise ValueError(f"layer {number}: no activation {layer.activation!r}; there are {', '.join(ACTIVATIONS)}")
        width = (width - layer.kernel_size) // layer.stride + 1
        widths.append(width)
        channels = layer.out_channels
    return widths


def build_cnn(layers: Sequence[Layer], width: int, classes: int) -> nn.Sequential:
    """Convolutions with their activations, Flatten, and a Linear layer of the size that follows from them.

    Shape: (B, layers[0].in_channels, width) -> (B, classes).
    Raises:
        ValueError: see output_widths.
    """
    widths = output_widths(layers, width)
    parts: list[nn.Module] = []
    for layer in layers:
        parts.append(nn.Conv1d(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride))
        parts.append(ACTIVATIONS[layer.activation]())
    parts.append(nn.Flatten())
    parts.append(nn.Linear(layers[-1].out_channels * widths[-1], classes))
    return nn.Sequential(*parts)


# ---- a small task ---------------------------------------------------------------------------------------------------------


def signals(count: int, channels: int, width: int, classes: int) -> tuple[Tensor, Tensor]:
    """Noisy waves: those of class k swing k + 1 times from end to end, and each begins at a point of its own.

    Shape: -> (count, channels, width) and the classes (count,).
    """
    labels = torch.randint(0, classes, (count,))
    time = torch.linspace(0, 2 * math.pi, width)  # (W,)
    begin = 2 * math.pi * torch.rand(count, 1, 1)
    waves = torch.sin((labels + 1).reshape(-1, 1, 1) * time + begin)  # (N, 1, W)
    return waves + 0.5 * torch.randn(count, channels, width), labels  # one wave in all channels, (N, C, W), noise in each


def train(model: nn.Sequential, channels: int, width: int, classes: int, steps: int) -> list[float]:
    """Take so many steps of Adam, each on 64 signals never seen before, and return the loss of each."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    losses = []
    for _ in range(steps):
        inputs, labels = signals(64, channels, width, classes)
        loss = F.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


# ---- the program ----------------------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> None:
    """Build the network, show its widths, train it."""
    options = parse(arguments)
    torch.manual_seed(options.seed)
    try:
        model = build_cnn(options.layers, options.width, options.classes)
    except ValueError as error:
        raise SystemExit(f"build_CNN.py: {error}") from None

    channels = options.layers[0].in_channels
    print(f"input:    {channels} channels, {options.width} wide")
    for layer, width in zip(options.layers, output_widths(options.layers, options.width)):
        move = f"kernel {layer.kernel_size}, stride {layer.stride}"
        print(f"Conv1d:   {move} -> {layer.out_channels} channels, {width} wide; {layer.activation}")
    print(f"Linear:   {model[-1].in_features} numbers -> {options.classes} classes\n")

    losses = train(model, channels, options.width, options.classes, options.steps)
    tenth = max(1, options.steps // 10)
    for start in range(0, options.steps, tenth):
        mean = sum(losses[start : start + tenth]) / len(losses[start : start + tenth])
        print(f"step {start + 1:4}  loss {mean:.3f}  {'#' * round(20 * mean)}")

    inputs, labels = signals(200, channels, options.width, options.classes)
    with torch.no_grad():
        right = int((model(inputs).argmax(dim=1) == labels).sum())
    print(f"\n{right} of 200 new signals told apart")


def read_layer(text: str) -> Layer:
    """24,56,5,1,Tanh as a Layer."""
    try:
        *numbers, activation = text.split(",")
        return Layer(*map(int, numbers), activation.strip())
    except (TypeError, ValueError):
        raise argparse.ArgumentTypeError(f"expected IN,OUT,KERNEL,STRIDE,ACTIVATION such as 24,56,5,1,Tanh, not {text}") from None


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options, checked."""
    parser = argparse.ArgumentParser(prog="build_CNN.py", description="Build a 1-d CNN from a list of layers, and train it.")
    add = parser.add_argument
    add("--layer", dest="layers", type=read_layer, action="append", metavar="IN,OUT,KERNEL,STRIDE,ACTIVATION",
        help=f"a convolution; once for each. Activations: {', '.join(ACTIVATIONS)}. Default: "
             + " ".join(",".join(map(str, layer)) for layer in LAYERS))
    add("--width", type=int, default=60, help="of the input (default: 60)")
    add("--classes", type=int, default=10, help="kinds of signals (default: 10)")
    add("--steps", type=int, default=200, help="of the training (default: 200)")
    add("--seed", type=int, default=0, help="of all that is random (default: 0)")
    add("--smoke", action="store_true", help="a few steps, to see that all works")
    options = parser.parse_args(arguments)
    options.layers = options.layers or list(LAYERS)
    if options.smoke:
        options.steps = 20
    for name in ("width", "classes", "steps"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be 1 or more, not {getattr(options, name)}")
    return options


if __name__ == "__main__":
    main()
