"""The programs of extra/ that share extra/common: each runs, says what it reached, and does what its first lines promise."""

from __future__ import annotations

import importlib
import math
import random
import re
from pathlib import Path

import numpy as np
import pytest

import mytorch as torch

EXTRA = Path(__file__).resolve().parents[2] / "extra"
RESULTS = {
    "char_rnn": r"test \d\.\d\d bits per character",
    "gan": r"\d+\.\d % of 1,000 drawings are read as the digit that was asked for",
    "gpt": r"test \d\.\d\d bits per character",
    "reinforce": r"the poles stand for \d+\.\d of 500 pushes",
    "resnet": r"test accuracy \d+\.\d %",
    "seq2seq": r"test \d+\.\d % of 1,000 dates right",
    "time_sequence": r"the future of 20 points is off by \d\.\d{3} on average",
    "utterances": r"test accuracy \d+\.\d %",
    "vae": r"test \d+\.\d nats per digit",
}


@pytest.fixture(autouse=True)
def _beside_each_other(monkeypatch):
    """A program that is started finds what lies beside it; a test says so."""
    monkeypatch.syspath_prepend(str(EXTRA))


def program(name):
    return importlib.import_module(f"extra.{name}")


@pytest.mark.parametrize("name", RESULTS)
def test_the_program_runs_and_its_last_line_is_its_result(name, capsys):
    reached = program(name).main(["--smoke"])
    printed = capsys.readouterr().out
    assert isinstance(reached, float)
    assert math.isfinite(reached)
    assert re.fullmatch(RESULTS[name], printed.rstrip().splitlines()[-1])


@pytest.mark.parametrize("name", RESULTS)
def test_help_says_what_the_program_does_and_bad_numbers_are_refused(name, capsys):
    module = program(name)
    with pytest.raises(SystemExit, match="0"):
        module.main(["--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert module.__doc__.partition("\n")[0] in printed
    assert f"usage: {name}.py" in printed
    assert "--smoke" in printed
    with pytest.raises(SystemExit, match="2"):
        module.main(["--lr", "-1"])
    assert "--lr must be above 0, not -1.0" in capsys.readouterr().err


@pytest.mark.parametrize("name", RESULTS)
def test_the_program_is_short_and_says_what_it_reaches(name):
    text = (EXTRA / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert re.search(r"^Reaches .*\d", text, re.MULTILINE)
    reached = re.search(r"^Reaches (.*?\d[\d.,]*)", text, re.MULTILINE | re.DOTALL)[1].split()[-1].rstrip(".,")
    section = re.search(rf"^## {name}\.py.*?(?=^## |\Z)", (EXTRA / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[0]
    assert reached in section, "extra/README.md and the program say different things"


# ---- one by one ---------------------------------------------------------------------------------------------------------------


def test_a_residual_block_starts_from_its_input():
    block = program("resnet").Block(4, 4, stride=1)
    torch.nn.init.zeros_(block.norm2.weight)  # then f(x) is 0
    x = torch.rand(2, 4, 6, 6)
    assert torch.equal(block(x), x)
    assert program("resnet").Block(4, 8, stride=2)(x).shape == (2, 8, 3, 3)


def test_the_resnet_learns(capsys):
    assert program("resnet").main(["--epochs", "1", "--width", "4"]) > 0.5


def test_the_bound_of_the_vae_is_the_cost_of_pixels_and_code():
    vae = program("vae")
    model = vae.VAE(8)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)  # then each pixel costs log 2, and the code nothing
    assert vae.nats(torch.rand(3, 784), model).item() == pytest.approx(784 * math.log(2), rel=1e-5)
    model.encoder[2].bias.data[:1] = 2.0  # one mean of 2: KL = 2^2 / 2
    assert vae.nats(torch.rand(3, 784), model).item() == pytest.approx(784 * math.log(2) + 2, rel=1e-5)


def test_the_pieces_of_a_text_follow_each_other():
    char_rnn = program("char_rnn")
    text = np.arange(1000)
    inputs, targets = (torch.cat(parts).numpy() for parts in zip(*char_rnn.pieces(text, 3)))
    np.testing.assert_array_equal(targets, inputs + 1)
    np.testing.assert_array_equal(np.diff(inputs, axis=0), 1)
    assert inputs.shape == (320, 3)
    assert len(np.unique(inputs)) == inputs.size


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_reading_in_two_parts_is_reading_in_one(cell):
    char_rnn = program("char_rnn")
    model = char_rnn.Writer(cell, 10, 8)
    text = torch.randint(0, 10, (12, 2))
    whole, _ = model(text)
    first, state = model(text[:5])
    second, _ = model(text[5:], char_rnn.detached(state))
    assert torch.allclose(torch.cat([first, second]), whole, atol=1e-6)


def test_the_gpt_does_not_see_what_comes_later():
    model = program("gpt").GPT(alphabet=10, context=8, channels=16, heads=2, blocks=2)
    text = torch.randint(0, 10, (1, 8))
    other = text.clone()
    other[0, 5] = (text[0, 5] + 1) % 10
    same = (model(text) - model(other)).abs().amax(dim=2)[0] < 1e-6
    assert same.tolist() == [True] * 5 + [False] * 3


def test_dates_are_translated_by_the_pairs_and_the_test_has_its_own():
    seq2seq = program("seq2seq")
    learning = seq2seq.pairs(random.Random(0), 300, test=False)
    testing = seq2seq.pairs(random.Random(0), 300, test=True)
    assert not set(learning[1]) & set(testing[1])
    assert all(re.fullmatch(r"(19[5-9]|20[0-4])\d-\d\d-\d\d", answer) for answer in testing[1])
    seen = dict(zip(*learning))
    named = [(text, answer) for text, answer in seen.items() if "july" in text]
    assert named
    assert all(answer[5:7] == "07" for _, answer in named)


def test_attention_gives_no_weight_to_the_filling():
    seq2seq = program("seq2seq")
    _, looks = seq2seq.translate(seq2seq.Translator(8), ["1/2/1990", "wednesday, 26th of august 1970"])
    assert looks.shape == (2, 10, 30)
    assert looks[0, :, 8:].abs().max().item() == 0
    assert torch.allclose(looks.sum(dim=2), torch.ones(2, 10))


def test_waves_go_on_from_what_the_network_made_up():
    time_sequence = program("time_sequence")
    model = time_sequence.Foreteller(4).double()
    wave = time_sequence.waves(2, 30)
    told = model(wave, future=3)
    assert told.shape == (2, 33)
    again = model(torch.cat([wave, told[:, 29:32]], dim=1))  # the made-up points, read as if they were true
    assert torch.allclose(told, again)
    assert time_sequence.curve(torch.tensor([1.0, 0.0, -1.0]), 2).splitlines() == [".", "", "", "", " .", "", "", "", "  o"]


def test_the_physics_of_the_carts():
    carts = program("reinforce").Carts(2, np.random.default_rng(0))
    carts.state[:] = [[0, 0, 0, 0], [0, 0, 0.1, 0]]
    carts.push(np.array([True, False]))
    upright, leaning = carts.state
    # an upright pole of 0.1 kg: the force moves the cart, and the pole's end stays behind
    assert upright == pytest.approx([0, 0.02 * (10 / 1.1 + 0.05 * 14.6341463 / 1.1), 0, -0.02 * 14.6341463], rel=1e-6)
    assert leaning[3] > 0.02 * 14.6341463  # pushed to the left, away from under a pole that leans to the right
    carts.state[1, 2] = 0.21  # more than 12 degrees
    carts.push(np.array([True, True]))
    lying = carts.state[1].copy()
    carts.push(np.array([True, True]))
    assert carts.standing.tolist() == [True, False]
    np.testing.assert_array_equal(carts.state[1], lying)


def test_the_poles_stand_longer_after_learning(capsys):
    assert program("reinforce").main(["--rounds", "30"]) > 150


def test_the_loss_of_reinforce_is_the_policy_gradient():
    reinforce = program("reinforce")
    policy = torch.nn.Linear(4, 1)
    states, pushes, stood = reinforce.drive(policy, 3, np.random.default_rng(0))
    assert stood.sum(0).tolist() == [int(column.sum()) for column in stood.numpy().T]
    reinforce.loss_of(policy, states, pushes, stood).backward()
    # by hand: the sum of advantage * d log p / d score * state
    length = stood.numpy().sum(0)
    returns = np.maximum(length - np.arange(len(stood))[:, None], 0)
    advantage = (returns - returns.sum(1, keepdims=True) / stood.numpy().sum(1, keepdims=True)) * stood.numpy()
    advantage /= np.sqrt((advantage**2).sum() / stood.numpy().sum())
    slope = advantage * (pushes.numpy() - torch.sigmoid(policy(states)).squeeze(2).detach().numpy())
    expected = -(slope[:, :, None] * states.numpy()).sum((0, 1)) / stood.numpy().sum()
    np.testing.assert_allclose(policy.weight.grad.numpy()[0], expected, rtol=1e-4, atol=1e-6)


def test_no_utterance_is_twice_there():
    module = program("utterances")
    lines = module.utterances(random.Random(0))
    assert len(lines) == module.LINES * len(module.SPEAKERS)
    assert len({tuple(words) for words, _ in lines}) == len(lines)
    assert {speaker for _, speaker in lines[:200]} == set(range(len(module.SPEAKERS)))


def test_filling_does_not_change_what_is_heard():
    model = program("utterances").Listener(20, 8).eval()
    words = torch.randint(2, 20, (2, 6))
    words[1, 4:] = 0
    together = model(words, torch.tensor([6, 4]))
    alone = model(words[1:, :4], torch.tensor([4]))
    assert torch.allclose(together[1:], alone, atol=1e-6)


def test_the_drawing_of_images_has_light_and_dark():
    common = importlib.import_module("common")
    images = np.zeros((2, 1, 28, 28), np.float32)
    images[1, 0, 4:6] = 1
    rows = common.drawn(images).split("\n")
    assert [len(row) for row in rows] == [57] * 14
    assert rows[2] == " " * 29 + "@" * 28
    assert not rows[3].strip()
