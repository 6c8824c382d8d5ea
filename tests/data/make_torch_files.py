"""Writes the files in this folder with a real torch: python tests/data/make_torch_files.py

They stay as they are: what one version of torch wrote must load for ever. A new case gets a new file.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import torch

HERE = Path(__file__).parent
NUMBERS = torch.arange(12.0).reshape(3, 4)
DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64", "float16", "bfloat16", "float32",
          "float64", "complex64", "complex128")


def views() -> dict[str, object]:
    """Five tensors over one storage, and some that have layouts of their own."""
    base = NUMBERS.clone()
    return {"base": base, "transposed": base.t(), "row": base[1], "column": base[:, 2], "steps": base[::2, 1::2], "again": base,
            "expanded": torch.tensor([7.0]).expand(5), "scalar": torch.tensor(3.0), "empty": torch.empty(0, 3),
            "conj": torch.tensor([1 + 2j, 3 - 4j]).conj()}


def model() -> OrderedDict[str, torch.Tensor]:
    """A state_dict with its _metadata."""
    layer = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    with torch.no_grad():
        layer[0].weight.copy_(NUMBERS)
        layer[0].bias.copy_(torch.arange(3.0))
    return layer.state_dict()


def training() -> dict[str, object]:
    """What a training script keeps: model, optimizer after a step, counters."""
    weight = torch.nn.Parameter(NUMBERS.clone())
    optimizer = torch.optim.Adam([weight], lr=0.5)
    weight.grad = torch.ones(3, 4)
    optimizer.step()
    return {"optimizer": optimizer.state_dict(), "weight": weight, "epoch": 7, "loss": 0.25, "name": "run é", "best": None,
            "done": True, "classes": ["a", "b"], "shape": torch.Size([3, 4]), "device": torch.device("cpu"),
            "dtype": torch.bfloat16, "raw": b"\x00\xff", "big": 2**100, "members": {1, 2},
            "pair": (1, (2, 3, 4, 5)), "rng": torch.arange(16, dtype=torch.uint8)}


def main() -> None:
    """Write all files."""
    torch.save(views(), HERE / "torch_views.pt")
    torch.save(model(), HERE / "torch_state_dict.pt")
    torch.save(training(), HERE / "torch_training.pt")
    torch.save({name: torch.tensor([0, 1, 1]).to(getattr(torch, name)) for name in DTYPES}, HERE / "torch_dtypes.pt")
    old = {name: value for name, value in {**views(), **training()}.items() if name != "conj"}
    torch.save(old, HERE / "torch_legacy.pt", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
