"""The programs of extra/ run on torch when their imports say so, and the same seed gives the same run."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

torch = pytest.importorskip("torch")

EXTRA = Path(__file__).resolve().parents[2] / "extra"


def program(name, library):
    """A file of extra/ as a module, with that library in its imports."""
    path = EXTRA / name
    module = ModuleType(path.stem)
    module.__dict__["__file__"] = str(path)
    exec(compile(path.read_text(encoding="utf-8").replace("mytorch", library), str(path), "exec"), module.__dict__)
    return module


def losses_of_mnist(library, model, capsys):
    mnist = program("mnist.py", library)
    (images, labels), _ = mnist.load(mnist.parse(["--smoke"]))
    mnist.torch.manual_seed(3)
    losses = mnist.train(mnist.MODELS[model](), images[:320], labels[:320], epochs=2, batch_size=64, lr=0.003)
    return losses, capsys.readouterr().out


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_mnist_has_the_losses_of_torch(model, capsys):
    ours, printed = losses_of_mnist("mytorch", model, capsys)
    theirs, printed_by_torch = losses_of_mnist("torch", model, capsys)
    assert len(ours) == 10
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)
    assert numbers(printed) == pytest.approx(numbers(printed_by_torch), abs=2e-3)


def numbers(text):
    return [float(found) for found in re.findall(r"\d+\.\d+", text)]


@pytest.mark.parametrize(("name", "shown"), [("build_CNN.py", r"loss \d\.\d{3}"), ("mlp_scan.py", "multiplications")])
def test_the_program_prints_what_it_prints_on_torch(name, shown, capsys):
    printed = []
    for library in ("mytorch", "torch"):
        program(name, library).main(["--smoke"])
        printed.append(capsys.readouterr().out)
    assert re.search(shown, printed[0])
    words = [re.sub(r"\d+\.\d+(e-\d+)?|#+|^\d+ of", "", text, flags=re.MULTILINE) for text in printed]
    assert words[0].split() == words[1].split()
    assert numbers(printed[0]) == pytest.approx(numbers(printed[1]), abs=5e-3)


def test_weights_saved_by_one_are_read_by_the_other(tmp_path, capsys):
    for writer, reader in (("torch", "mytorch"), ("mytorch", "torch")):
        path = str(tmp_path / f"{writer}.pth")
        program("mlp_scan.py", writer).main(["--save", path])
        program("mlp_scan.py", reader).main(["--weights", path])
    assert capsys.readouterr().out.count("all three agree") == 4


@pytest.mark.parametrize("name", ["char_rnn", "gan", "gpt", "reinforce", "resnet", "seq2seq", "time_sequence", "utterances", "vae"])
def test_the_program_learns_as_it_learns_on_torch(name, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(EXTRA))  # what lies beside a program that is started
    reached, losses = [], []
    for library in ("mytorch", "torch"):
        reached.append(program(f"{name}.py", library).main(["--smoke"]))
        lines = capsys.readouterr().out.splitlines()
        losses.append(numbers("\n".join(line for line in lines if re.match(r"(epoch|step|round) +\d+ ", line))))
    assert losses[0]
    assert losses[0] == pytest.approx(losses[1], rel=2e-3, abs=2e-3)
    assert reached[0] == pytest.approx(reached[1], rel=2e-2, abs=2e-2)
