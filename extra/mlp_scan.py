"""A convolution is an MLP that scans: turn one into the other, in two ways, and compare every output.

    python extra/mlp_scan.py                     an MLP with random weights
    python extra/mlp_scan.py --weights FILE      one of your own: a state_dict that PyTorch or mytorch saved

The MLP has three layers, of 192 -> 8 -> 16 -> 4 numbers. It looks at 8 frames of a recording, of 24 values each. To search a
recording of 128 frames, it is put on the frames 0 to 7, then 4 to 11, then 8 to 15, and so on: 31 windows, 4 outputs for each.

The simple form. A neuron of the first layer is a kernel of 8 frames that moves by 4; its outputs lie side by side in time, and so
a neuron of the layers above is a kernel of 1. This works for every MLP. Nothing is saved: each window is computed as before.

The distributed form spreads a window over the layers: each looks at only 2 places of the one below.

    outputs              C              kernel 2, stride 1     4 neurons over 2 places of 8
    second layer     B       B          kernel 2, stride 2     8 neurons over 2 places of 2
    first layer    A   A   A   A        kernel 2, stride 2     2 neurons over 2 frames of 24
    frames        0 1 2 3 4 5 6 7

Seen as an MLP, the first layer has 4 x 2 = 8 neurons and the second 2 x 8 = 16: the same sizes as above. But its matrices are
made of copies of one block, and of zeros:

    A . . .        B .        C
    . A . .        . B
    . . A .
    . . . A       (16, 8)    (4, 16)
    (8, 192)

So this form exists only for an MLP whose neurons are shared in this way. There it pays: what two windows have in common is
computed once.

Source: the exercise "scanning MLP" of CMU's course 11-785, Introduction to Deep Learning.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mytorch as torch
from mytorch import Tensor, nn

FRAMES, MOVE, CHANNELS = 8, 4, 24  # a window, the way from one window to the next, the values of a frame
COPIES = (4, 2, 1)  # of the block of each layer, in an MLP with shared neurons
TOLERANCE = 1e-4  # sums in another order differ in their last digits

# ---- the MLP --------------------------------------------------------------------------------------------------------------


def build_mlp() -> nn.Sequential:
    """The MLP: weights of (8, 192), (16, 8) and (4, 16)."""
    return nn.Sequential(nn.Linear(FRAMES * CHANNELS, 8), nn.ReLU(), nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def scan(mlp: nn.Module, recording: Tensor) -> Tensor:
    """Put the MLP on one window after the other. Slow, and easy to believe.

    Shape: (N, 24, T) -> (N, 4, number of windows).
    """
    outputs = []
    for start in range(0, recording.shape[2] - FRAMES + 1, MOVE):
        window = recording[:, :, start : start + FRAMES]  # (N, 24, 8)
        outputs.append(mlp(window.transpose(1, 2).flatten(1)))  # frame after frame: (N, 192) -> (N, 4)
    return torch.stack(outputs, dim=2)


def linear_layers(mlp: nn.Sequential) -> list[nn.Linear]:
    """The three Linear layers between which the ReLUs stand."""
    return [layer for layer in mlp if isinstance(layer, nn.Linear)]


# ---- the simple form ------------------------------------------------------------------------------------------------------


def simple_cnn(mlp: nn.Sequential) -> nn.Sequential:
    """Kernels of 8, 1 and 1: each window as a whole, one place in time for each.

    Shape: (N, 24, T) -> (N, 4, number of windows).
    """
    cnn = nn.Sequential(
        nn.Conv1d(CHANNELS, 8, kernel_size=FRAMES, stride=MOVE),
        nn.ReLU(),
        nn.Conv1d(8, 16, kernel_size=1),
        nn.ReLU(),
        nn.Conv1d(16, 4, kernel_size=1),
    )
    for linear, conv in zip(linear_layers(mlp), cnn[::2]):
        copy_as_kernel(linear.weight, linear.bias, conv)
    return cnn


def copy_as_kernel(weight: Tensor, bias: Tensor, conv: nn.Conv1d) -> None:
    """Give a convolution the weights of neurons that read one place after the other.

    Shape: (out, kernel * in) -> (out, in, kernel).
    """
    places = weight.reshape(conv.out_channels, conv.kernel_size[0], conv.in_channels)
    with torch.no_grad():
        conv.weight.copy_(places.transpose(1, 2))
        conv.bias.copy_(bias)


# ---- the distributed form -------------------------------------------------------------------------------------------------


def share_neurons(mlp: nn.Sequential) -> None:
    """Make an MLP one with shared neurons: the first block of each layer stays, its copies and zeros replace the rest."""
    with torch.no_grad():
        for linear, copies in zip(linear_layers(mlp), COPIES):
            rows, columns = linear.out_features // copies, linear.in_features // copies
            # the block along the diagonal, and zeros elsewhere
            linear.weight.copy_(torch.kron(torch.eye(copies), linear.weight[:rows, :columns]))
            linear.bias.copy_(linear.bias[:rows].repeat(copies))


def shared_block(linear: nn.Linear, copies: int, name: str) -> tuple[Tensor, Tensor]:
    """The weights and biases of which a layer is made of so many copies.

    Raises:
        ValueError: it is not made of copies; the message names the entry that is farthest from what it should be.
    """
    weight, bias = linear.weight.detach(), linear.bias.detach()
    rows, columns = linear.out_features // copies, linear.in_features // copies
    block, block_bias = weight[:rows, :columns], bias[:rows]
    for what, found, expected in (
        ("weight", weight, torch.kron(torch.eye(copies), block)),
        ("bias", bias, block_bias.repeat(copies)),
    ):
        difference = (found - expected).abs()
        if not difference.max() <= 1e-6:
            worst = int(difference.argmax())
            position = list(divmod(worst, columns * copies)) if what == "weight" else [worst]
            is_now, would_be = found.flatten()[worst].item(), expected.flatten()[worst].item()
            raise ValueError(
                f"{name}: its neurons are not shared. {what}{position} is {is_now:.4g}; {copies} copies of the first {rows} rows "
                f"and {columns} columns, with zeros around them, would have {would_be:.4g} there"
            )
    return block, block_bias


def distributed_cnn(mlp: nn.Sequential) -> nn.Sequential:
    """Kernels of 2, 2 and 2: a window spread over three layers. For an MLP with shared neurons alone.

    Shape: (N, 24, T) -> (N, 4, number of windows).
    Raises:
        ValueError: the neurons are not shared; the message says where.
    """
    cnn = nn.Sequential(
        nn.Conv1d(CHANNELS, 2, kernel_size=2, stride=2),
        nn.ReLU(),
        nn.Conv1d(2, 8, kernel_size=2, stride=2),
        nn.ReLU(),
        nn.Conv1d(8, 4, kernel_size=2, stride=1),
    )
    for number, (linear, conv, copies) in enumerate(zip(linear_layers(mlp), cnn[::2], COPIES), 1):
        weight, bias = shared_block(linear, copies, f"layer {number}")
        copy_as_kernel(weight, bias, conv)
    return cnn


# ---- the program ----------------------------------------------------------------------------------------------------------


def multiplications(cnn: nn.Sequential, length: int) -> int:
    """Of weights with values, for one recording."""
    total = 0
    for conv in cnn[::2]:
        length = (length - conv.kernel_size[0]) // conv.stride[0] + 1
        total += length * conv.weight.numel()
    return total


def compare(name: str, cnn: nn.Sequential, recording: Tensor, expected: Tensor) -> None:
    """Print how a network differs from the scan; leave the program if it does."""
    with torch.no_grad():
        outputs = cnn(recording)
    kernels = ", ".join(f"{conv.kernel_size[0]}/{conv.stride[0]}" for conv in cnn[::2])
    difference = (outputs - expected).abs().max().item()
    print(f"{name:12} kernels/strides {kernels}   {multiplications(cnn, recording.shape[2]):7,} multiplications   "
          f"{expected.shape[2]} windows, largest difference {difference:.1e}")
    if outputs.shape != expected.shape or not difference <= TOLERANCE:
        raise SystemExit(f"mlp_scan.py: the {name} form and the scan are {difference} apart; rounding is below {TOLERANCE}")


def main(arguments: list[str] | None = None) -> None:
    """Scan a recording in three ways."""
    options = parse(arguments)
    torch.manual_seed(options.seed)
    mlp = build_mlp()
    if options.weights:
        load_weights(mlp, options.weights)
    else:
        share_neurons(mlp)
    if options.save:
        torch.save(mlp.state_dict(), options.save)
    recording = torch.randn(1, CHANNELS, options.length)
    with torch.no_grad():
        expected = scan(mlp, recording)

    compare("simple", simple_cnn(mlp), recording, expected)
    try:
        distributed = distributed_cnn(mlp)
    except ValueError as error:
        raise SystemExit(f"mlp_scan.py: no distributed form for this MLP: {error}") from None
    compare("distributed", distributed, recording, expected)
    print("all three agree on every window")


def load_weights(mlp: nn.Sequential, path: Path) -> None:
    """Read a state_dict with the keys 0.weight, 0.bias, 2.weight, 2.bias, 4.weight, 4.bias."""
    try:
        mlp.load_state_dict(torch.load(path))
    except Exception as error:
        raise SystemExit(f"mlp_scan.py: {path} is no state_dict of an MLP with the layers 192 -> 8 -> 16 -> 4: {error}") from None


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options, checked."""
    parser = argparse.ArgumentParser(prog="mlp_scan.py", description="Turn an MLP that scans into convolutions, and compare.")
    add = parser.add_argument
    add("--weights", type=Path, metavar="FILE", help="a state_dict of the MLP (default: random weights, with shared neurons)")
    add("--save", type=Path, metavar="FILE", help="save the MLP's state_dict")
    add("--length", type=int, default=128, help="frames of the recording (default: 128)")
    add("--seed", type=int, default=0, help="of all that is random (default: 0)")
    add("--smoke", action="store_true", help="the same: this example takes no time")
    options = parser.parse_args(arguments)
    if options.length < FRAMES:
        parser.error(f"--length {options.length} is shorter than a window, which is {FRAMES} frames")
    if options.weights and not options.weights.is_file():
        parser.error(f"--weights: there is no file {options.weights}")
    if options.save and not options.save.parent.is_dir():
        parser.error(f"--save: there is no folder {options.save.parent} to write {options.save.name} into")
    return options


if __name__ == "__main__":
    main()
