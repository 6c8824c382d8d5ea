"""extra/build_CNN.py: the widths, the refusals, and that the network learns."""

from __future__ import annotations

import re

import hypothesis.strategies as st
import pytest
from hypothesis import assume, given, settings

import mytorch as torch
from extra import build_CNN
from extra.build_CNN import LAYERS, Layer, build_cnn, output_widths
from mytorch import nn


def test_the_network_of_the_exercise():
    model = build_cnn(LAYERS, width=60, classes=10)
    kinds = [nn.Conv1d, nn.Tanh, nn.Conv1d, nn.ReLU, nn.Conv1d, nn.Sigmoid, nn.Flatten, nn.Linear]
    assert [type(part) for part in model] == kinds
    assert [tuple(model[i].weight.shape) for i in (0, 2, 4, 7)] == [(56, 24, 5), (28, 56, 6), (14, 28, 2), (10, 182)]
    assert [model[i].stride for i in (0, 2, 4)] == [(1,), (2,), (2,)]
    assert output_widths(LAYERS, 60) == [56, 26, 13]
    assert model(torch.randn(3, 24, 60)).shape == (3, 10)


ROWS = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 4), st.sampled_from(sorted(build_CNN.ACTIVATIONS)))


@settings(max_examples=30)
@given(st.lists(ROWS, min_size=1, max_size=4), st.integers(1, 40))
def test_the_widths_are_those_of_the_convolutions(rows, width):
    channels = 3
    layers = []
    for out_channels, kernel, stride, activation in rows:
        layers.append(Layer(channels, out_channels, kernel, stride, activation))
        channels = out_channels
    try:
        widths = output_widths(layers, width)
    except ValueError:
        assume(False)
    x = torch.zeros(2, 3, width)
    found = []
    for part in build_cnn(layers, width, 5)[:-2]:
        x = part(x)
        if isinstance(part, nn.Conv1d):
            found.append(x.shape[2])
    assert found == widths


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "needs one layer at least"),
        ([Layer(24, 56, 61, 1, "Tanh")], "layer 1: its kernel is 61 wide, but only 60 values reach it"),
        ([Layer(24, 8, 5, 20, "Tanh"), Layer(8, 8, 4, 1, "Tanh")], "layer 2: its kernel is 4 wide, but only 3 values reach it"),
        ([Layer(24, 56, 5, 1, "Tanh"), Layer(55, 8, 2, 1, "Tanh")], "layer 2 takes 55 channels, but layer 1 gives 56"),
        ([Layer(24, 56, 5, 1, "tanh")], "layer 1: no activation 'tanh'; there are Identity, ReLU, Sigmoid, Tanh"),
        ([Layer(24, 56, 5, 0, "Tanh")], r"layer 1: channels, kernel size and stride must be 1 or more, not \(24, 56, 5, 0\)"),
    ],
)
def test_layers_that_do_not_fit_are_refused(layers, message):
    with pytest.raises(ValueError, match=message):
        build_cnn(layers, width=60, classes=10)


def test_the_loss_falls():
    torch.manual_seed(0)
    losses = build_CNN.train(build_cnn(LAYERS, 60, 10), 24, 60, 10, steps=80)
    assert sum(losses[-10:]) < 0.4 * sum(losses[:10])


def test_the_program_prints_widths_losses_and_a_count(capsys):
    build_CNN.main(["--smoke"])
    printed = capsys.readouterr().out
    assert "Linear:   182 numbers -> 10 classes" in printed
    assert len(re.findall(r"^step +\d+  loss \d\.\d{3}", printed, re.MULTILINE)) == 10
    assert re.search(r"\d+ of 200 new signals told apart\n$", printed)


def test_layers_can_be_given(capsys):
    build_CNN.main(["--layer", "3,8,4,2,ReLU", "--layer", "8,4,2,1,Identity", "--width", "20", "--classes", "3", "--steps", "5"])
    printed = capsys.readouterr().out
    assert "Conv1d:   kernel 4, stride 2 -> 8 channels, 9 wide; ReLU" in printed
    assert "Linear:   32 numbers -> 3 classes" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layer", "24,56,5,1"], "expected IN,OUT,KERNEL,STRIDE,ACTIVATION such as 24,56,5,1,Tanh, not 24,56,5,1"),
        (["--layer", "24,56,five,1,Tanh"], "not 24,56,five,1,Tanh"),
        (["--steps", "0"], "--steps must be 1 or more, not 0"),
    ],
)
def test_a_bad_option_is_refused(capsys, arguments, message):
    with pytest.raises(SystemExit, match="2"):
        build_CNN.main(arguments)
    assert message in capsys.readouterr().err


def test_a_width_that_is_too_small_ends_the_program_with_the_reason():
    with pytest.raises(SystemExit, match=r"build_CNN\.py: layer 3: its kernel is 2 wide, but only 1 values reach it"):
        build_CNN.main(["--width", "10"])
