"""Teach a small network to read handwritten digits.

    python extra/mnist.py                      three layers, the 5,000 digits that ship, a few seconds
    python extra/mnist.py --model cnn --plot   a convolutional network, and a picture of what it learnt
    python extra/mnist.py --help               every option; --data reads the full MNIST or Fashion-MNIST

The story comes first: two networks, the training, the test. Files, picture and options stand below it.
Write `torch` for `mytorch` in the imports, and the same program runs on PyTorch.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import math
import sys
import urllib.request
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import mytorch as torch
import mytorch.nn.functional as F
from mytorch import Tensor, nn
from mytorch.utils.data import DataLoader, TensorDataset

HERE = Path(__file__).resolve().parent
VALIDATION = 500  # the images that --validate holds back

# ---- the networks ---------------------------------------------------------------------------------------------------------


def mlp() -> nn.Module:
    """Three layers that see 784 numbers, and are not told which of them are neighbours in the image."""
    return nn.Sequential(
        nn.Flatten(),  # (B, 1, 28, 28) -> (B, 784)
        nn.Linear(784, 256),
        nn.ReLU(),
        nn.Linear(256, 128),
        nn.ReLU(),
        nn.Linear(128, 10),  # a score for each of the ten digits
    )


def cnn() -> nn.Module:
    """Two convolutions that find small shapes wherever they are, and two layers that judge what was found where."""
    return nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=5),  # (B, 1, 28, 28) -> (B, 16, 24, 24)
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),  # (B, 16, 12, 12)
        nn.Conv2d(16, 32, kernel_size=5),  # (B, 32, 8, 8)
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),  # (B, 32, 4, 4)
        nn.Flatten(),  # (B, 512)
        nn.Linear(512, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


MODELS = {"mlp": mlp, "cnn": cnn}

# ---- the training ---------------------------------------------------------------------------------------------------------


def shifted(images: Tensor, most: int = 2) -> Tensor:
    """Move each image by up to `most` pixels, as chance has it: a digit is the same digit a little to the left.

    Shape: (B, 1, H, W) -> the same; what moves in from outside is black.
    """
    count, _, height, width = images.shape
    padded = F.pad(images, (most, most, most, most))  # (B, 1, H + 2 * most, W + 2 * most)
    image = torch.arange(count).reshape(-1, 1, 1)
    row = torch.randint(0, 2 * most + 1, (count, 1, 1)) + torch.arange(height).reshape(-1, 1)  # (B, H, 1)
    column = torch.randint(0, 2 * most + 1, (count, 1, 1)) + torch.arange(width)  # (B, 1, W)
    return padded[image, 0, row, column].unsqueeze(1)


def train(model: nn.Module, images: Tensor, labels: Tensor, epochs: int, batch_size: int, lr: float) -> list[float]:
    """Fit the model to the images, and return the loss of every batch."""
    batches = DataLoader(TensorDataset(images, labels), batch_size, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(batches))  # large steps first, then small
    losses = []
    model.train()
    for epoch in range(1, epochs + 1):
        seen = correct = 0
        summed_loss = 0.0
        bar = progress(batches)
        for inputs, targets in bar:
            scores = model(shifted(inputs))  # (B, 10)
            loss = F.cross_entropy(scores, targets)

            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

            losses.append(loss.item())
            seen += len(targets)
            summed_loss += loss.item() * len(targets)
            correct += int((scores.argmax(dim=1) == targets).sum())
            report = f"epoch {epoch:2}/{epochs}  loss {summed_loss / seen:.3f}  accuracy {100 * correct / seen:4.1f} %"
            bar.set_description_str(report, refresh=False)
    return losses


# ---- the test -------------------------------------------------------------------------------------------------------------


def predict(model: nn.Module, images: Tensor) -> Tensor:
    """The digit that the model takes each image for."""
    model.eval()
    with torch.no_grad():
        return torch.cat([model(part).argmax(dim=1) for part in images.split(1000)])


def main(arguments: list[str] | None = None) -> None:
    """Load the digits, train a model, test it."""
    options = parse(arguments)
    learning, testing = load(options)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)  # the same seed gives the same first weights, the same order, the same shifts
    model = MODELS[options.model]()
    weights = sum(parameter.numel() for parameter in model.parameters())
    print(f"{options.model}: {weights:,} weights, {len(learning[0]):,} images to learn from, {len(testing[0]):,} for the test")

    losses = train(model, *learning, options.epochs, options.batch_size, options.lr)

    images, labels = testing
    predictions = predict(model, images)
    if options.save:
        torch.save(model.state_dict(), options.save)
        print(f"saved the weights: {options.save}")
    if options.plot:
        draw(losses, images, labels, predictions, options.plot)
        print(f"drew the picture: {options.plot}")
    accuracy = (predictions == labels).float().mean().item()
    print(f"{'validation' if options.validate else 'test'} accuracy {100 * accuracy:.1f} %")


# ---- the images -----------------------------------------------------------------------------------------------------------

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # images (N, 28, 28) and labels (N,), then those of the test

# The four files of MNIST and of its look-alikes, where to get them, and the SHA-256 of what is in each once unpacked.
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
ADDRESSES = {
    "mnist": "https://storage.googleapis.com/cvdf-datasets/mnist",
    "fashion": "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
}
CHECKSUMS = {
    "mnist": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    "fashion": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}


def load(options: argparse.Namespace) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """(images, labels) to learn from and (images, labels) for the test: images (N, 1, 28, 28) from 0 to 1, labels (N,)."""
    try:
        if options.download:
            download(options.download, options.data)
        arrays = read_folder(options.data) if options.data else read_shipped()
        if options.validate and len(arrays[0]) <= VALIDATION:
            raise ValueError(f"--validate holds back {VALIDATION} of the training images, and there are only {len(arrays[0])}")
    except (OSError, ValueError) as error:
        raise SystemExit(f"mnist.py: {error}") from None
    images, labels, test_images, test_labels = map(torch.from_numpy, arrays)
    if options.validate:  # the test digits stay out of sight; the last of the others take their place
        test_images, test_labels = images[-VALIDATION:], labels[-VALIDATION:]
        images, labels = images[:-VALIDATION], labels[:-VALIDATION]
    if options.smoke:
        images, labels = images[:640], labels[:640]
    return (images.unsqueeze(1).float() / 255, labels.long()), (test_images.unsqueeze(1).float() / 255, test_labels.long())


def read_shipped() -> Arrays:
    """The 5,000 digits of extra/data: 4,000 to learn from, 1,000 for the test."""
    with np.load(HERE / "data" / "mnist5k.npz") as file:
        images, labels = file["images"], file["labels"]
    return images[:4000], labels[:4000], images[4000:], labels[4000:]


def read_folder(folder: Path) -> Arrays:
    """The four IDX files of a folder, packed (.gz) or not.

    Raises:
        FileNotFoundError: the folder or one of the files is not there.
        ValueError: a file is not what its name says.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder; --data wants one that holds {FILES[0]} and the other three files, "
                                "and --download fetches them")
    train_images, train_labels, test_images, test_labels = (read_idx(find(folder, name)) for name in FILES)
    for images, labels, name in ((train_images, train_labels, FILES[0]), (test_images, test_labels, FILES[2])):
        if images.shape[1:] != (28, 28) or labels.shape != images.shape[:1] or not len(images) or labels.max() > 9:
            raise ValueError(f"{folder}: expected N images of 28 x 28 and N labels from 0 to 9, but {name} has the shape "
                             f"{images.shape}, and its labels the shape {labels.shape} and values up to {labels.max(initial=0)}")
    return train_images, train_labels, test_images, test_labels


def find(folder: Path, name: str) -> Path:
    """The file of that name; some copies are spelt with a dot, some are packed."""
    spellings = [stem + ending for stem in (name, name.replace("-idx", ".idx")) for ending in ("", ".gz")]
    for spelling in spellings:
        if (folder / spelling).is_file():
            return folder / spelling
    raise FileNotFoundError(f"{folder} has no {name} (looked for {', '.join(spellings)})")


def read_idx(path: Path) -> np.ndarray:
    """The array in an IDX file: two zero bytes, the type, the number of sizes, the sizes (four bytes each), the values.

    Raises:
        ValueError: the file is not of this format, not of bytes, or not of the length that its sizes say.
    Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database, "File formats".
    """
    content = unpacked(path.read_bytes(), path)
    if len(content) < 4 or content[:2] != b"\0\0":
        raise ValueError(f"{path} is not an IDX file: it begins with {content[:4].hex(' ') or 'nothing'}, expected 00 00 08 ..")
    if content[2] != 0x08:
        raise ValueError(f"{path} holds values of the type 0x{content[2]:02x}; expected bytes, 0x08")
    start = 4 + 4 * content[3]  # content[3] is the number of sizes
    if len(content) < start:
        raise ValueError(f"{path} is {len(content)} bytes long (unpacked), which does not even hold its {content[3]} sizes")
    sizes = np.frombuffer(content[4:start], ">u4").tolist()
    if len(content) != start + math.prod(sizes):
        raise ValueError(f"{path} is {len(content):,} bytes long (unpacked); its sizes {sizes} want {start + math.prod(sizes):,}")
    return np.frombuffer(bytearray(content[start:]), np.uint8).reshape(sizes)  # a bytearray, for bytes would be read-only


def unpacked(content: bytes, name: object) -> bytes:
    """What is in a gzip file; anything else as it is."""
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{name} is damaged and cannot be unpacked: {error}") from None


def download(name: str, folder: Path) -> None:
    """Fetch what is missing of the four files, and keep a file only if its checksum is right.

    Raises:
        OSError: there is no network, or the server does not answer.
        ValueError: what came is not the file that was published.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file, checksum in zip(FILES, CHECKSUMS[name]):
        path, address = folder / f"{file}.gz", f"{ADDRESSES[name]}/{file}.gz"
        if path.is_file() and sha256(path.read_bytes()) == checksum:
            continue
        print(f"fetching {address}")
        try:
            with urllib.request.urlopen(address, timeout=60) as answer:
                content = answer.read()
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise OSError(f"cannot fetch {address}: {reason}. Without a network, copy the four files into {folder} yourself, or "
                          "leave --data and --download out: 5,000 digits ship with this program") from None
        if sha256(content) != checksum:
            raise ValueError(f"{address} is not the file that was published, and was not kept: its SHA-256 is {sha256(content)}, "
                             f"expected {checksum}")
        path.write_bytes(content)


def sha256(content: bytes) -> str:
    """The checksum of a file's unpacked content: packing the same content twice can give different bytes."""
    try:
        return hashlib.sha256(unpacked(content, "")).hexdigest()
    except ValueError:
        return hashlib.sha256(content).hexdigest()  # damaged, and so equal to no checksum


# ---- what one sees --------------------------------------------------------------------------------------------------------


class Lines:
    """Stands in for tqdm's bar where there is none: one plain line when all batches are done."""

    def __init__(self, batches: Any) -> None:
        self.batches, self.description = batches, ""

    def __iter__(self) -> Any:
        yield from self.batches
        print(self.description, flush=True)

    def set_description_str(self, description: str, refresh: bool = True) -> None:
        self.description = description


def progress(batches: Any) -> Any:
    """The batches, with a bar that shows how far they are; plain lines without tqdm, and where nobody watches (a file, CI)."""
    if not find_spec("tqdm") or not sys.stderr.isatty():
        return Lines(batches)
    from tqdm import tqdm

    return tqdm(batches, bar_format="{desc}  {bar:24} {elapsed}")


def draw(losses: list[float], images: Tensor, labels: Tensor, predictions: Tensor, path: Path) -> None:
    """Save a picture: the loss of every batch, some images of the test, and some that were taken for something else."""
    import matplotlib

    matplotlib.use("agg")  # draws into a file, and needs no screen
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=(13, 6.5), layout="constrained")
    left, right = figure.subfigures(1, 2, wspace=0.02)
    axes = left.subplots()
    smooth = [float(np.mean(losses[max(0, i - 24) : i + 1])) for i in range(len(losses))]
    axes.semilogy(losses, color="0.8", linewidth=0.8, label="each batch")
    axes.semilogy(smooth, color="C0", label="mean of the last 25")
    axes.set(title="training loss (cross entropy)", xlabel="batch", ylabel="loss")
    axes.legend()

    wrong = (predictions != labels).nonzero().flatten().tolist()
    top, bottom = right.subfigures(2, 1)
    top.suptitle("the first images of the test, and what they were taken for")
    bottom.suptitle(f"{len(wrong):,} of {len(images):,} were taken for something else" + (", such as" if wrong else ""))
    for part, shown in ((top, range(len(images))), (bottom, wrong)):
        grid = part.subplots(3, 8).flat
        for axes, i in zip(grid, shown):
            guess, truth = int(predictions[i]), int(labels[i])
            axes.imshow(images[i, 0].numpy(), cmap="gray_r")
            if guess == truth:
                axes.set_title(f"{guess}", size=10)
            else:
                axes.set_title(f"{guess}, is {truth}", size=10, color="C3")
        for axes in part.axes:
            axes.set_axis_off()
    figure.savefig(path, dpi=110)
    plt.close(figure)


# ---- the options ----------------------------------------------------------------------------------------------------------


def positive(number: type) -> Any:
    """What argparse calls to read a number above zero."""

    def read(text: str) -> Any:
        value = number(text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"expected a number above 0, not {text}")
        return value

    read.__name__ = number.__name__  # argparse's message for what is no number: invalid int value
    return read


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options, checked before any work is done."""
    parser = argparse.ArgumentParser(prog="mnist.py", description="Teach a small network to read handwritten digits.")
    add = parser.add_argument
    add("--model", choices=MODELS, default="mlp", help="the network (default: mlp)")
    add("--epochs", type=positive(int), default=15, help="passes over the training images (default: 15)")
    add("--batch-size", type=positive(int), default=64, help="images per step (default: 64)")
    add("--lr", type=positive(float), default=0.003, help="the learning rate of the first step (default: 0.003)")
    add("--seed", type=int, default=0, help="of all that is random (default: 0)")
    add("--threads", type=positive(int), default=1, help="of matrix products; those of small networks gain little by more (default: 1)")
    add("--data", type=Path, metavar="FOLDER", help="read the four IDX files of MNIST or Fashion-MNIST from here, packed or not")
    add("--download", choices=ADDRESSES, help="first fetch what is missing of these four files into the folder of --data")
    add("--plot", type=Path, nargs="?", const=HERE / "out" / "mnist.png", metavar="PATH",
        help="save a picture of the losses and of some images (default: extra/out/mnist.png)")
    add("--save", type=Path, metavar="FILE", help="save the weights (a state_dict)")
    add("--validate", action="store_true", help=f"test on {VALIDATION} of the training images, held back: for choosing options")
    add("--smoke", action="store_true", help="a few steps, to see that all works")
    options = parser.parse_args(arguments)

    if options.download and not options.data:
        parser.error("--download needs --data FOLDER, the place to put the files")
    if options.smoke:
        options.epochs = 1
    if options.plot == HERE / "out" / "mnist.png":
        options.plot.parent.mkdir(exist_ok=True)
    for option, path in (("--plot", options.plot), ("--save", options.save)):
        if path and not path.parent.is_dir():
            parser.error(f"{option}: there is no folder {path.parent} to write {path.name} into")
        if path and path.is_dir():
            parser.error(f"{option}: {path} is a folder; name a file in it")
    if options.plot and options.plot.suffix not in (".png", ".svg", ".pdf"):
        parser.error(f"--plot: {options.plot} should end in .png, .svg or .pdf")
    if options.plot and not find_spec("matplotlib"):
        parser.error("--plot needs matplotlib: pip install matplotlib")
    if not find_spec("tqdm"):
        print("plain lines instead of a progress bar: tqdm is not installed (pip install tqdm)")
    return options


if __name__ == "__main__":
    main()
