"""The networks that are trained, each written once in plain torch style: `torch` is the module that one of the libraries is."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from works import Model


def mlp(torch: Any, batch: int = 128, widths: tuple[int, ...] = (784, 512, 256, 10), rule: str = "Adam", lr: float = 1e-3) -> Model:
    """Linear layers with ReLU between them."""
    network = mlp_network(torch, widths)
    x, target = torch.randn(batch, widths[0]), torch.randint(0, widths[-1], (batch,))
    loss = torch.nn.functional.cross_entropy
    return Model(network, (x, target), lambda: loss(network(x), target), lambda parameters: getattr(torch.optim, rule)(parameters, lr=lr))


def mlp_network(torch: Any, widths: tuple[int, ...]) -> Any:
    """Linear layers with ReLU between them."""
    layers: list[Any] = []
    for ins, outs in pairwise(widths):
        layers += [torch.nn.Linear(ins, outs), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def cnn(torch: Any, batch: int = 64, size: int = 28, channels: tuple[int, int] = (32, 64), hidden: int = 128, dropout: bool = False) -> Model:
    """The convolutional network of PyTorch's MNIST example; `dropout` as it has it, or none."""
    network = cnn_network(torch, size, channels, hidden, dropout)
    x, target = torch.randn(batch, 1, size, size), torch.randint(0, 10, (batch,))
    loss = torch.nn.functional.cross_entropy
    return Model(network, (x, target), lambda: loss(network(x), target), lambda parameters: torch.optim.Adam(parameters, lr=1e-3))


def cnn_network(torch: Any, size: int, channels: tuple[int, int], hidden: int, dropout: bool = False) -> Any:
    """Two convolutions of 3 x 3, max-pooling, two Linear layers."""
    nn = torch.nn
    places = (size - 4) // 2
    return nn.Sequential(
        nn.Conv2d(1, channels[0], 3), nn.ReLU(),
        nn.Conv2d(channels[0], channels[1], 3), nn.ReLU(),
        nn.MaxPool2d(2), nn.Dropout(0.25 if dropout else 0.0), nn.Flatten(),
        nn.Linear(channels[1] * places * places, hidden), nn.ReLU(), nn.Dropout(0.5 if dropout else 0.0),
        nn.Linear(hidden, 10),
    )


def resnet(torch: Any, batch: int = 32, size: int = 32, blocks: int = 3, width: int = 16) -> Model:
    """ResNet-20 for images of 32 x 32: three stages of three blocks (He et al. 2015, section 4.2, arXiv:1512.03385)."""
    nn = torch.nn

    class Block(nn.Module):
        """Two convolutions, and the input added to them."""

        def __init__(self, ins: int, outs: int, stride: int) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(ins, outs, 3, stride, 1, bias=False), nn.BatchNorm2d(outs)
            self.conv2, self.bn2 = nn.Conv2d(outs, outs, 3, 1, 1, bias=False), nn.BatchNorm2d(outs)
            self.skip = nn.Identity()
            if stride != 1:
                self.skip = nn.Sequential(nn.Conv2d(ins, outs, 1, stride, bias=False), nn.BatchNorm2d(outs))

        def forward(self, x: Any) -> Any:
            y = torch.relu(self.bn1(self.conv1(x)))
            return torch.relu(self.bn2(self.conv2(y)) + self.skip(x))

    stages: list[Any] = []
    for number, outs in enumerate((width, 2 * width, 4 * width)):
        for block in range(blocks):
            first = number > 0 and block == 0
            stages.append(Block(outs // 2 if first else outs, outs, 2 if first else 1))
    network = nn.Sequential(
        nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(), *stages,
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10),
    )
    x, target = torch.randn(batch, 3, size, size), torch.randint(0, 10, (batch,))
    loss = nn.functional.cross_entropy
    return Model(network, (x, target), lambda: loss(network(x), target),
                 lambda parameters: torch.optim.SGD(parameters, lr=0.01, momentum=0.9, weight_decay=1e-4))


def recurrent(torch: Any, kind: str = "GRU", layers: int = 2, size: int = 128, steps: int = 100, batch: int = 32) -> Model:
    """A recurrent network that reads sequences, and a Linear layer that tells the class of each from its last output."""
    nn = torch.nn

    class Reader(nn.Module):
        """The recurrent layers and the Linear layer."""

        def __init__(self) -> None:
            super().__init__()
            self.reader = getattr(nn, kind)(size, size, num_layers=layers)
            self.classes = nn.Linear(size, 10)

        def forward(self, x: Any) -> Any:
            return self.classes(self.reader(x)[0][-1])  # (T, B, size) -> (B, 10)

    network = Reader()
    x, target = torch.randn(steps, batch, size), torch.randint(0, 10, (batch,))
    loss = nn.functional.cross_entropy
    return Model(network, (x, target), lambda: loss(network(x), target), lambda parameters: torch.optim.Adam(parameters, lr=1e-3))


def cell_loop(torch: Any, size: int = 128, steps: int = 100, batch: int = 32) -> Model:
    """A GRUCell in a loop of Python."""
    nn = torch.nn

    class Loop(nn.Module):
        """The cell, the loop, and a Linear layer on the last state."""

        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.GRUCell(size, size)
            self.classes = nn.Linear(size, 10)

        def forward(self, x: Any) -> Any:
            h = torch.zeros(x.shape[1], size)
            for frame in x:
                h = self.cell(frame, h)
            return self.classes(h)

    network = Loop()
    x, target = torch.randn(steps, batch, size), torch.randint(0, 10, (batch,))
    loss = nn.functional.cross_entropy
    return Model(network, (x, target), lambda: loss(network(x), target), lambda parameters: torch.optim.Adam(parameters, lr=1e-3))


def gpt(torch: Any, layers: int = 4, width: int = 128, heads: int = 4, length: int = 128, batch: int = 16, words: int = 65) -> Model:
    """A GPT that learns to name the next character: blocks with the norms first (Radford et al. 2019)."""
    nn, F = torch.nn, torch.nn.functional  # noqa: N806 - torch's custom

    class Attention(nn.Module):
        """Causal self-attention of several heads."""

        def __init__(self) -> None:
            super().__init__()
            self.inward, self.outward = nn.Linear(width, 3 * width), nn.Linear(width, width)

        def forward(self, x: Any) -> Any:
            b, t, c = x.shape
            q, k, v = (part.view(b, t, heads, c // heads).transpose(1, 2) for part in self.inward(x).split(c, dim=2))  # (B, H, T, D)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.outward(y.transpose(1, 2).reshape(b, t, c))

        def own_flops(self, x: Any) -> float:
            """Two products of (T, D) and (D, T), of which half is below the diagonal."""
            b, t, c = x.shape
            return 4.0 * b * c * t * (t + 1) / 2

    class Block(nn.Module):
        """Attention and a small MLP, each added to its input."""

        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.attention, self.norm2 = nn.LayerNorm(width), Attention(), nn.LayerNorm(width)
            self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

        def forward(self, x: Any) -> Any:
            x = x + self.attention(self.norm1(x))
            return x + self.mlp(self.norm2(x))

    class Network(nn.Module):
        """Embeddings of words and places, blocks, and scores of the next word."""

        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(words, width), nn.Embedding(length, width)
            self.blocks = nn.Sequential(*(Block() for _ in range(layers)))
            self.norm, self.scores = nn.LayerNorm(width), nn.Linear(width, words)
            nn.init.normal_(self.words.weight, std=0.02)
            nn.init.normal_(self.places.weight, std=0.02)

        def forward(self, text: Any) -> Any:
            x = self.words(text) + self.places(torch.arange(text.shape[1]))
            return self.scores(self.norm(self.blocks(x)))

    network = Network()
    text = torch.randint(0, words, (batch, length + 1))
    x, target = text[:, :-1], text[:, 1:].reshape(-1)
    return Model(network, (x, target), lambda: F.cross_entropy(network(x).view(-1, words), target),
                 lambda parameters: torch.optim.AdamW(parameters, lr=1e-3))


def scanning_mlp(torch: Any, batch: int = 16, channels: int = 24, frames: int = 1024, widths: tuple[int, ...] = (128, 64, 32, 10)) -> Model:
    """An MLP that looks at 8 frames of a recording, put on every fourth place, as convolutions: extra/mlp_scan.py, larger."""
    nn = torch.nn
    layers: list[Any] = [nn.Conv1d(channels, widths[0], 8, stride=4)]
    for ins, outs in pairwise(widths):
        layers += [nn.ReLU(), nn.Conv1d(ins, outs, 1)]
    network = nn.Sequential(*layers)
    x, target = torch.randn(batch, channels, frames), torch.randint(0, widths[-1], (batch, (frames - 8) // 4 + 1))
    loss = nn.functional.cross_entropy
    return Model(network, (x, target), lambda: loss(network(x), target), lambda parameters: torch.optim.SGD(parameters, lr=0.01))


def scanning_cnn(torch: Any, batch: int = 64, channels: int = 24, frames: int = 128, scale: int = 1) -> Model:
    """The convolutional network of extra/build_CNN.py over longer recordings."""
    nn = torch.nn
    sizes = (channels, 56 // scale, 28 // scale, 14 // scale)
    places = math.floor((math.floor((frames - 4 - 6) / 2) + 1 - 2) / 2) + 1
    network = nn.Sequential(
        nn.Conv1d(sizes[0], sizes[1], 5, 1), nn.Tanh(),
        nn.Conv1d(sizes[1], sizes[2], 6, 2), nn.ReLU(),
        nn.Conv1d(sizes[2], sizes[3], 2, 2), nn.Sigmoid(),
        nn.Flatten(), nn.Linear(sizes[3] * places, 10),
    )
    x, target = torch.randn(batch, channels, frames), torch.randint(0, 10, (batch,))
    loss = nn.functional.cross_entropy
    return Model(network, (x, target), lambda: loss(network(x), target), lambda parameters: torch.optim.Adam(parameters, lr=3e-3))
