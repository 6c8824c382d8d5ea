"""All works, by family and name. `python benchmarks/run.py --only NAME` takes either."""

from __future__ import annotations

from typing import Any

import mlp_mnist
import models
import small_ops
import vmap
from operations import OPERATIONS
from works import Model, Task, Work, inference, training


def trained(title: str, model: Any, tiny: dict[str, Any], tolerance: float | None = 1e-3, autocast: bool = False, **options: Any) -> Work:
    """A Work of training steps; `options` choose among the models of one kind."""
    def prepare(torch: Any, **sizes: Any) -> Task:
        return training(torch, model(torch, **options | sizes), autocast)

    return Work(title, prepare, tiny, tolerance)


def applied(title: str, network: Any, shape: tuple[int, ...], tiny: dict[str, Any]) -> Work:
    """A Work of single predictions; `network` takes torch and sizes, and the first of `shape` is the batch."""
    def prepare(torch: Any, shape: tuple[int, ...] = shape, **sizes: Any) -> Task:
        built: Model = network(torch, **sizes)
        return inference(torch, built.network, torch.randn(*shape))

    return Work(title, prepare, tiny)


SMALL_IMAGES = {"batch": 2, "size": 8, "channels": (2, 3), "hidden": 4}
SMALL_SEQUENCES = {"batch": 2, "size": 4, "steps": 3}
SMALL_TEXTS = {"batch": 2, "layers": 1, "width": 8, "heads": 2, "length": 4, "words": 5}
SMALL_RESNET = {"batch": 2, "size": 8, "blocks": 1, "width": 2}

TRAINING = {
    "mlp": trained("MLP 784-512-256-10, batch 128, Adam", models.mlp, {"batch": 4, "widths": (6, 5, 4, 3)}),
    "small-mlp": trained("MLP 20-32-2, batch 32, SGD", models.mlp, {"batch": 4, "widths": (6, 5, 3)},
                         batch=32, widths=(20, 32, 2), rule="SGD", lr=0.01),
    "cnn": trained("CNN of 1-32-64 channels, batch 64, Adam", models.cnn, SMALL_IMAGES),
    "cnn-dropout": trained("the same with dropout", models.cnn, SMALL_IMAGES, None, dropout=True),
    "resnet": trained("ResNet-20, 32 x 32, batch 32, SGD", models.resnet, SMALL_RESNET, 5e-3),
    "rnn": trained("RNN 2 x 128, T = 100, batch 32, Adam", models.recurrent, SMALL_SEQUENCES, kind="RNN"),
    "gru": trained("GRU 2 x 128, T = 100, batch 32, Adam", models.recurrent, SMALL_SEQUENCES, kind="GRU"),
    "lstm": trained("LSTM 2 x 128, T = 100, batch 32, Adam", models.recurrent, SMALL_SEQUENCES, kind="LSTM"),
    "cell-loop": trained("GRUCell 128 in a loop, T = 100, batch 32, Adam", models.cell_loop, SMALL_SEQUENCES),
    "gpt": trained("GPT 4 x 128, T = 128, batch 16, AdamW", models.gpt, SMALL_TEXTS),
    "scanning-mlp": trained("scanning MLP, 1,024 frames, batch 16, SGD", models.scanning_mlp, {"batch": 2, "frames": 20, "widths": (4, 3)}),
    "scanning-cnn": trained("scanning CNN, 128 frames, batch 64, Adam", models.scanning_cnn, {"batch": 2, "frames": 24, "scale": 7}),
}
AUTOCAST = {
    "gpt-bf16": trained(TRAINING["gpt"].title + ", bfloat16", models.gpt, SMALL_TEXTS, 5e-2, True),
    "resnet-bf16": trained(TRAINING["resnet"].title + ", bfloat16", models.resnet, SMALL_RESNET, 0.2, True),
}
INFERENCE = {
    "mlp-inference": applied("MLP 784-512-256-10, one image", models.mlp, (1, 784), {"shape": (1, 6), "widths": (6, 5, 3)}),
    "cnn-inference": applied("CNN of 1-32-64 channels, one image", models.cnn, (1, 1, 28, 28), {"shape": (1, 1, 8, 8)} | SMALL_IMAGES),
    "resnet-inference": applied("ResNet-20, one image", models.resnet, (1, 3, 32, 32), {"shape": (1, 3, 8, 8)} | SMALL_RESNET),
}
LAYERS = {
    "small-gru": trained("GRU 1 x 32, T = 30, batch 8, Adam", models.recurrent, SMALL_SEQUENCES,
                         kind="GRU", layers=1, size=32, steps=30, batch=8),
    "wide-lstm": trained("LSTM 1 x 256, T = 50, batch 64, Adam", models.recurrent, SMALL_SEQUENCES,
                         kind="LSTM", layers=1, size=256, steps=50, batch=64),
}

FAMILIES: dict[str, dict[str, Work]] = {
    "training": TRAINING,
    "layers": LAYERS,
    "autocast": AUTOCAST,
    "inference": INFERENCE,
    "operations": OPERATIONS,
    "overhead": small_ops.WORKS,
    "vmap": vmap.WORKS,
    "program": mlp_mnist.WORKS,
}
WORKS: dict[str, Work] = {name: work for family in FAMILIES.values() for name, work in family.items()}
FLOAT32 = {"gpt-bf16": "gpt", "resnet-bf16": "resnet"}  # the same work without autocast
