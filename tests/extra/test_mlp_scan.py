"""extra/mlp_scan.py: both convolutional forms are the scanning MLP, and what is not shared is refused."""

from __future__ import annotations

import numpy as np
import pytest

import mytorch as torch
from extra import mlp_scan
from mytorch import nn


def shared_mlp():
    mlp = mlp_scan.build_mlp()
    mlp_scan.share_neurons(mlp)
    return mlp


def scan_in_numpy(mlp, recording):
    """The definition once more, on arrays alone."""
    (w1, b1), (w2, b2), (w3, b3) = [(mlp[i].weight.detach().numpy(), mlp[i].bias.detach().numpy()) for i in (0, 2, 4)]
    columns = []
    for start in range(0, recording.shape[2] - 7, 4):
        window = np.concatenate([recording[:, :, frame] for frame in range(start, start + 8)], axis=1)  # (N, 192)
        hidden = np.maximum(window @ w1.T + b1, 0)
        columns.append(np.maximum(hidden @ w2.T + b2, 0) @ w3.T + b3)
    return np.stack(columns, axis=2)


def test_the_mlp_has_the_weights_of_the_exercise():
    assert [tuple(mlp_scan.build_mlp()[i].weight.shape) for i in (0, 2, 4)] == [(8, 192), (16, 8), (4, 16)]


def test_the_scan_puts_the_mlp_on_each_window():
    mlp = mlp_scan.build_mlp()
    recording = torch.randn(2, 24, 128)
    found = mlp_scan.scan(mlp, recording).detach().numpy()
    assert found.shape == (2, 4, 31)
    np.testing.assert_allclose(found, scan_in_numpy(mlp, recording.numpy()), atol=1e-5)


@pytest.mark.parametrize("length", [8, 11, 12, 128, 131])
def test_the_simple_form_equals_any_scanning_mlp(length):
    mlp = mlp_scan.build_mlp()
    cnn = mlp_scan.simple_cnn(mlp)
    assert [(conv.kernel_size, conv.stride) for conv in cnn[::2]] == [((8,), (4,)), ((1,), (1,)), ((1,), (1,))]
    recording = torch.randn(2, 24, length)
    np.testing.assert_allclose(cnn(recording).detach().numpy(), scan_in_numpy(mlp, recording.numpy()), atol=1e-5)


@pytest.mark.parametrize("length", [8, 11, 12, 128, 131])
def test_the_distributed_form_equals_an_mlp_with_shared_neurons(length):
    mlp = shared_mlp()
    cnn = mlp_scan.distributed_cnn(mlp)
    assert [(conv.kernel_size, conv.stride) for conv in cnn[::2]] == [((2,), (2,)), ((2,), (2,)), ((2,), (1,))]
    assert [tuple(conv.weight.shape) for conv in cnn[::2]] == [(2, 24, 2), (8, 2, 2), (4, 8, 2)]
    recording = torch.randn(2, 24, length)
    np.testing.assert_allclose(cnn(recording).detach().numpy(), scan_in_numpy(mlp, recording.numpy()), atol=1e-5)


def test_sharing_keeps_the_first_block_and_copies_it():
    torch.manual_seed(3)
    before = mlp_scan.build_mlp()
    torch.manual_seed(3)
    mlp = shared_mlp()
    weight = mlp[0].weight.detach().numpy()
    block = before[0].weight.detach().numpy()[:2, :48]
    for i in range(4):
        np.testing.assert_array_equal(weight[2 * i : 2 * i + 2, 48 * i : 48 * i + 48], block)
    assert np.count_nonzero(weight) == 4 * np.count_nonzero(block)
    assert torch.equal(mlp[4].weight, before[4].weight)
    assert mlp[2].bias[:8].tolist() == mlp[2].bias[8:].tolist()


@pytest.mark.parametrize(
    ("parameter", "index", "message"),
    [
        ("0.weight", (5, 3), r"layer 1: its neurons are not shared\. weight\[5, 3\] is 9; 4 copies of the first 2 rows"),
        ("2.weight", (9, 5), r"layer 2: its neurons are not shared\. weight\[9, 5\] is 9; 2 copies of the first 8 rows"),
        ("0.bias", (5,), r"layer 1: its neurons are not shared\. bias\[5\] is 9; "),
        ("2.weight", (9, 4), r"weight\[9, 4\] is nan"),
    ],
)
def test_weights_that_are_not_shared_have_no_distributed_form(parameter, index, message):
    mlp = shared_mlp()
    with torch.no_grad():
        mlp.get_parameter(parameter)[index] = float("nan") if "nan" in message else 9.0
    with pytest.raises(ValueError, match=message):
        mlp_scan.distributed_cnn(mlp)


def test_every_weight_of_the_last_layer_may_differ():
    mlp = shared_mlp()
    nn.init.normal_(mlp[4].weight)
    recording = torch.randn(1, 24, 20)
    found = mlp_scan.distributed_cnn(mlp)(recording).detach().numpy()
    np.testing.assert_allclose(found, scan_in_numpy(mlp, recording.numpy()), atol=1e-4)


def test_the_distributed_form_multiplies_less():
    mlp = shared_mlp()
    windows = 31
    assert mlp_scan.multiplications(mlp_scan.simple_cnn(mlp), 128) == windows * (192 * 8 + 8 * 16 + 16 * 4)
    assert mlp_scan.multiplications(mlp_scan.distributed_cnn(mlp), 128) == 64 * 48 * 2 + 32 * 4 * 8 + windows * 16 * 4


def test_the_program_compares_all_three(capsys):
    mlp_scan.main(["--smoke"])
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("simple       kernels/strides 8/4, 1/1, 1/1")
    assert printed[1].startswith("distributed  kernels/strides 2/2, 2/2, 2/1")
    assert printed[2] == "all three agree on every window"


def test_a_form_that_differs_ends_the_program(capsys):
    recording = torch.randn(1, 24, 20)
    with pytest.raises(SystemExit, match="the simple form and the scan are"):
        mlp_scan.compare("simple", mlp_scan.simple_cnn(shared_mlp()), recording, mlp_scan.scan(shared_mlp(), recording))


def test_weights_can_be_saved_and_given_back(capsys, tmp_path):
    path = tmp_path / "mlp.pth"
    mlp_scan.main(["--seed", "5", "--save", str(path)])
    mlp_scan.main(["--seed", "6", "--weights", str(path), "--length", "40"])
    assert capsys.readouterr().out.count("all three agree on every window") == 2


def test_weights_without_sharing_are_explained(capsys, tmp_path):
    torch.save(mlp_scan.build_mlp().state_dict(), tmp_path / "mlp.pth")
    with pytest.raises(SystemExit, match="no distributed form for this MLP: layer 1: its neurons are not shared"):
        mlp_scan.main(["--weights", str(tmp_path / "mlp.pth")])
    assert capsys.readouterr().out.startswith("simple ")


@pytest.mark.parametrize("content", ["another model", "text"])
def test_a_file_without_these_weights_is_refused(tmp_path, content):
    path = tmp_path / "file.pth"
    if content == "text":
        path.write_text("hello")
    else:
        torch.save(nn.Linear(3, 2).state_dict(), path)
    with pytest.raises(SystemExit, match=r"file\.pth is no state_dict of an MLP with the layers 192 -> 8 -> 16 -> 4"):
        mlp_scan.main(["--weights", str(path)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--length", "7"], "--length 7 is shorter than a window, which is 8 frames"),
        (["--weights", "nothing.pth"], "--weights: there is no file nothing.pth"),
        (["--save", "no/folder/x.pth"], "--save: there is no folder no/folder to write x.pth into"),
    ],
)
def test_a_bad_option_is_refused(capsys, arguments, message):
    with pytest.raises(SystemExit, match="2"):
        mlp_scan.main(arguments)
    assert message in capsys.readouterr().err
