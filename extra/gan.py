"""Two networks against each other: one draws digits, one tells them from real ones.

    python extra/gan.py

The generator gets 64 random numbers and the name of a digit, and draws it. It never sees a real one; all it learns comes through
the discriminator, which it tries to deceive. The loss of either says little, for both get better at once. So a third network,
trained on real digits alone, reads the drawings at the end: how many of 1,000 are the digit that was asked for?

Reaches 89.7 % (seeds 0 to 2: 88.4, 91.4, 89.2 %) in 60 passes, in about 40 s on one core.
Write `torch` for `mytorch` in the imports, and the same program runs on PyTorch.

Source: Goodfellow et al. 2014, "Generative adversarial nets", algorithm 1, arXiv:1406.2661; Mirza, Osindero 2014,
arXiv:1411.1784, for the digits that both are told
"""

from __future__ import annotations

from common import digits, drawn, progress, read_options

import mytorch as torch
import mytorch.nn.functional as F
from mytorch import Tensor, nn
from mytorch.utils.data import DataLoader, TensorDataset

NOISE = 64


class Generator(nn.Module):
    """Noise (B, NOISE) and digits (B,) -> images (B, 784) from 0 to 1."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(NOISE + 10, hidden),
            nn.BatchNorm1d(hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, 2 * hidden),
            nn.BatchNorm1d(2 * hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(2 * hidden, 784),
            nn.Sigmoid(),
        )

    def forward(self, noise: Tensor, digit: Tensor) -> Tensor:
        return self.layers(torch.cat([noise, F.one_hot(digit, 10)], dim=1))


class Discriminator(nn.Module):
    """Images (B, 784) and digits (B,) -> the log-odds that each is real, and the digit that it is said to be (B,)."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(784 + 10, 2 * hidden),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.3),
            nn.Linear(2 * hidden, hidden),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.3),
            nn.Linear(hidden, 1),
        )

    def forward(self, images: Tensor, digit: Tensor) -> Tensor:
        return self.layers(torch.cat([images, F.one_hot(digit, 10)], dim=1)).squeeze(1)


def reader(images: Tensor, labels: Tensor, epochs: int) -> nn.Module:
    """A network that reads real digits."""
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(model.parameters(), 0.002)
    for _ in range(epochs):
        for x, y in DataLoader(TensorDataset(images, labels), 64, shuffle=True):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    return model.eval()


def step(optimizer: torch.optim.Optimizer, loss: Tensor) -> float:
    """One step down the loss."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def main(arguments: list[str] | None = None) -> float:
    """Train both and judge; returns the share of drawings that are read as what was asked for."""
    options = read_options(arguments, __file__, __doc__, smoke={"epochs": 1, "hidden": 16}, epochs=(60, "passes over the digits"),
                           hidden=(128, "units of the smaller hidden layers"), batch_size=(64, "digits per step"), lr=(0.0004, "learning rate"))
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    images, labels, _, _ = digits()
    images, labels = torch.from_numpy(images).flatten(1), torch.from_numpy(labels)  # (N, 784), (N,)

    generator, discriminator = Generator(options.hidden), Discriminator(options.hidden)
    draw = torch.optim.Adam(generator.parameters(), options.lr, betas=(0.5, 0.999))
    judge = torch.optim.Adam(discriminator.parameters(), options.lr, betas=(0.5, 0.999))
    batches = DataLoader(TensorDataset(images, labels), options.batch_size, shuffle=True, drop_last=True)
    yes, no = torch.ones(options.batch_size), torch.zeros(options.batch_size)
    for epoch in range(1, options.epochs + 1):
        sums = [0.0, 0.0]
        for x, y in progress(batches, f"epoch {epoch}"):
            drawings = generator(torch.randn(options.batch_size, NOISE), y)
            loss = F.binary_cross_entropy_with_logits(discriminator(x, y), 0.9 * yes)  # never quite sure, or the other stops learning
            loss = loss + F.binary_cross_entropy_with_logits(discriminator(drawings.detach(), y), no)
            sums[0] += step(judge, loss)
            sums[1] += step(draw, F.binary_cross_entropy_with_logits(discriminator(drawings, y), yes))
        if epoch % 10 == 0 or epoch == options.epochs:
            print(f"epoch {epoch:2}  discriminator {sums[0] / len(batches):.3f}  generator {sums[1] / len(batches):.3f}")

    model = reader(images, labels, epochs=1 if options.smoke else 10)
    generator.eval()
    with torch.no_grad():
        asked = torch.arange(1000) % 10
        drawings = generator(torch.randn(1000, NOISE), asked)
        right = (model(drawings).argmax(dim=1) == asked).float().mean().item()
    for first in (0, 5):
        print(drawn(drawings[first : first + 5].numpy()))
    print(f"{100 * right:.1f} % of 1,000 drawings are read as the digit that was asked for")
    return right


if __name__ == "__main__":
    main()
