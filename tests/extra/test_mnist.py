"""extra/mnist.py: its files, options and pictures, and that it learns."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mytorch as torch
from extra import mnist


def run(capsys, *arguments):
    """What the program prints, line by line."""
    mnist.main([*map(str, arguments)])
    return capsys.readouterr().out.splitlines()


def refusal(capsys, *arguments):
    """What the program says when it refuses its arguments."""
    with pytest.raises(SystemExit) as refused:
        mnist.main([*map(str, arguments)])
    return capsys.readouterr().err if refused.value.code == 2 else str(refused.value)


def idx(array):
    """The bytes of an IDX file."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture(scope="module")
def arrays():
    draw = np.random.default_rng(0).integers
    return [draw(0, 256, (200, 28, 28)), np.arange(200) % 10, draw(0, 256, (30, 28, 28)), np.arange(30) % 10]


@pytest.fixture
def folder(tmp_path, arrays):
    """A folder as --data wants it: two files packed, two not, one spelt with a dot."""
    for name, array, pack in zip(mnist.FILES, arrays, [True, False, True, False]):
        (tmp_path / (name + ".gz" * pack)).write_bytes(gzip.compress(idx(array)) if pack else idx(array))
    (tmp_path / mnist.FILES[1]).rename(tmp_path / "train-labels.idx1-ubyte")
    return tmp_path


@pytest.fixture(autouse=True)
def threads():
    """The program sets the number of threads for its whole process, which here is the tests'."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


# ---- learning -----------------------------------------------------------------------------------------------------------------


def test_the_mlp_learns_the_digits(capsys):
    printed = run(capsys, "--epochs", 5)
    assert float(printed[-1].removeprefix("test accuracy ").removesuffix(" %")) > 90
    losses = [float(line.split("loss ")[1].split()[0]) for line in printed if line.startswith("epoch")]
    assert len(losses) == 5
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_a_smoke_run_ends_with_the_accuracy(capsys, model):
    printed = run(capsys, "--smoke", "--model", model)
    assert re.fullmatch(r"test accuracy \d{1,3}\.\d %", printed[-1])
    assert "640 images to learn from, 1,000 for the test" in printed[0] + printed[1]


def test_the_number_of_threads_is_set(capsys):
    run(capsys, "--smoke", "--threads", 2)
    assert torch.get_num_threads() == 2
    run(capsys, "--smoke")
    assert torch.get_num_threads() == 1


def test_the_same_seed_gives_the_same_run(capsys):
    first, again, other = (run(capsys, "--smoke", "--seed", seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_a_model_gives_ten_scores_for_each_image(model):
    assert mnist.MODELS[model]()(torch.rand(3, 1, 28, 28)).shape == (3, 10)


def test_shifted_moves_each_image_by_up_to_two_pixels():
    images = torch.zeros(500, 1, 28, 28)
    images[:, 0, 10, 15] = 1
    images[:, 0, 0, 0] = 1  # often moved out, and nothing comes back in on the other side
    moved = mnist.shifted(images)
    assert moved.shape == images.shape
    assert moved[:, 0, 8:13, 13:18].sum() == 500
    places = {tuple(place) for place in moved[:, 0, 8:13, 13:18].nonzero()[:, 1:].tolist()}
    assert len(places) == 25
    moved[:, 0, 8:13, 13:18] = 0
    assert moved[:, 0, :3, :3].sum() == moved.sum()
    assert 500 * (9 / 25 - 0.1) < moved.sum() < 500 * (9 / 25 + 0.1)


# ---- the images ---------------------------------------------------------------------------------------------------------------


def test_five_thousand_digits_ship_with_the_program():
    images, labels, test_images, test_labels = mnist.read_shipped()
    assert (images.shape, test_images.shape) == ((4000, 28, 28), (1000, 28, 28))
    assert np.bincount(np.concatenate([labels, test_labels])).tolist() == [500] * 10


def options(*arguments):
    return mnist.parse([*arguments])


def test_images_become_floats_from_0_to_1():
    (images, labels), (test_images, test_labels) = mnist.load(options())
    assert (images.shape, labels.shape) == ((4000, 1, 28, 28), (4000,))
    assert (test_images.shape, test_labels.shape) == ((1000, 1, 28, 28), (1000,))
    assert (images.dtype, labels.dtype, images.min(), images.max()) == (torch.float32, torch.int64, 0, 1)


def test_validation_takes_training_images_and_leaves_the_test_alone():
    (images, labels), (held_back, held_back_labels) = mnist.load(options("--validate"))
    (all_images, all_labels), _ = mnist.load(options())
    assert torch.equal(torch.cat([images, held_back]), all_images)
    assert torch.equal(torch.cat([labels, held_back_labels]), all_labels)
    assert len(held_back) == 500


def test_validation_wants_images_to_be_left(capsys, folder):
    message = "--validate holds back 500 of the training images, and there are only 200"
    assert message in refusal(capsys, "--data", folder, "--validate")


def test_a_validation_run_does_not_call_its_result_a_test(capsys):
    assert run(capsys, "--smoke", "--validate")[-1].startswith("validation accuracy ")


def test_idx_files_are_read_packed_or_not(folder, arrays):
    for found, expected in zip(mnist.read_folder(folder), arrays):
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected)


def test_a_folder_can_be_trained_on(capsys, folder):
    printed = run(capsys, "--data", folder, "--smoke")
    assert "200 images to learn from, 30 for the test" in printed[0] + printed[1]


def test_a_folder_that_is_not_there_is_named(capsys, tmp_path):
    assert f"{tmp_path / 'nothing'} is not a folder" in refusal(capsys, "--data", tmp_path / "nothing")


def test_a_file_that_is_not_there_is_named(capsys, folder):
    (folder / "t10k-labels-idx1-ubyte").unlink()
    assert "has no t10k-labels-idx1-ubyte (looked for " in refusal(capsys, "--data", folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing"),
        (b"\x89PNG\r\n", "is not an IDX file: it begins with 89 50 4e 47"),
        (struct.pack(">HBBI", 0, 0x0D, 1, 2) + bytes(8), "values of the type 0x0d; expected bytes"),
        (idx(np.zeros((2, 28, 28)))[:-1], r"is 1,583 bytes long \(unpacked\); its sizes \[2, 28, 28\] want 1,584"),
        (idx(np.zeros((2, 28, 28))) + b"\0", "is 1,585 bytes long"),
        (b"\0\0\x08\x03\0\0", r"6 bytes long \(unpacked\), which does not even hold its 3 sizes"),
        (gzip.compress(idx(np.zeros((2, 28, 28))))[:-9], "is damaged and cannot be unpacked"),
        (gzip.compress(b"a" * 99)[:12] + b"\xff" * 20, "is damaged and cannot be unpacked"),
    ],
)
def test_a_file_that_is_no_idx_file_is_refused(tmp_path, content, message):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        mnist.read_idx(path)


@pytest.mark.parametrize(
    ("number", "array"),
    [
        (0, np.zeros((200, 32, 32))),  # not 28 x 28
        (1, np.zeros(199)),  # a label too few
        (1, np.full(200, 10)),  # no such digit
        (1, np.zeros((200, 28, 28))),  # images where labels should be
    ],
)
def test_images_and_labels_that_do_not_fit_are_refused(capsys, folder, number, array):
    for path in folder.glob(f"{mnist.FILES[number][:12]}*"):
        path.write_bytes(idx(array))
    assert "expected N images of 28 x 28 and N labels from 0 to 9" in refusal(capsys, "--data", folder)


# ---- fetching them ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path, arrays, monkeypatch):
    """A folder that stands in for the server, with the checksums of its files."""
    there = tmp_path / "server"
    there.mkdir()
    for name, array in zip(mnist.FILES, arrays):
        (there / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
    monkeypatch.setitem(mnist.ADDRESSES, "mnist", there.as_uri())
    monkeypatch.setitem(mnist.CHECKSUMS, "mnist", tuple(hashlib.sha256(idx(array)).hexdigest() for array in arrays))
    return there


def test_files_are_fetched_once(capsys, server, tmp_path):
    arguments = ("--download", "mnist", "--data", tmp_path / "new" / "folder", "--smoke")
    assert sum(line.startswith("fetching file:") for line in run(capsys, *arguments)) == 4
    assert not any(line.startswith("fetching") for line in run(capsys, *arguments))


def test_a_damaged_file_is_fetched_again(capsys, server, tmp_path):
    here = tmp_path / "here"
    mnist.download("mnist", here)
    (here / f"{mnist.FILES[2]}.gz").write_bytes(b"\x1f\x8b broken")
    capsys.readouterr()
    mnist.download("mnist", here)
    assert capsys.readouterr().out.count("fetching") == 1
    assert len(mnist.read_folder(here)[2]) == 30


def test_a_file_with_another_checksum_is_not_kept(capsys, server, tmp_path):
    (server / f"{mnist.FILES[1]}.gz").write_bytes(gzip.compress(b"something else"))
    message = refusal(capsys, "--download", "mnist", "--data", tmp_path / "here")
    assert f"{mnist.FILES[1]}.gz is not the file that was published" in message
    assert [path.name for path in (tmp_path / "here").iterdir()] == [f"{mnist.FILES[0]}.gz"]


def test_without_a_network_the_message_says_what_to_do(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(mnist.ADDRESSES, "fashion", "http://127.0.0.1:1")  # nobody listens on this port
    message = refusal(capsys, "--download", "fashion", "--data", tmp_path)
    assert "cannot fetch http://127.0.0.1:1/train-images-idx3-ubyte.gz: " in message
    assert "copy the four files into" in message


def test_checksums_are_four_for_each_source():
    assert mnist.ADDRESSES.keys() == mnist.CHECKSUMS.keys()
    assert all(re.fullmatch("[0-9a-f]{64}", checksum) for checksums in mnist.CHECKSUMS.values() for checksum in checksums)
    assert len({checksum for checksums in mnist.CHECKSUMS.values() for checksum in checksums}) == 8


# ---- options, pictures, progress ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "rnn"], "invalid choice: 'rnn'"),
        (["--epochs", "0"], "expected a number above 0, not 0"),
        (["--batch-size", "-3"], "expected a number above 0, not -3"),
        (["--lr", "nan"], "expected a number above 0, not nan"),
        (["--lr", "fast"], "invalid float value: 'fast'"),
        (["--download", "mnist"], "--download needs --data FOLDER"),
        (["--save", "no/such/folder/x.pth"], "--save: there is no folder no/such/folder to write x.pth into"),
        (["--save", "."], "--save: . is a folder"),
        (["--plot", "curve.txt"], "should end in .png, .svg or .pdf"),
        (["--colour", "red"], "unrecognized arguments: --colour red"),
    ],
)
def test_a_bad_option_is_refused_before_any_work(capsys, arguments, message):
    assert message in refusal(capsys, *arguments)


def test_saved_weights_give_the_same_predictions(capsys, tmp_path):
    printed = run(capsys, "--smoke", "--save", tmp_path / "weights.pth")
    model = mnist.mlp()
    model.load_state_dict(torch.load(tmp_path / "weights.pth"))
    _, (images, labels) = mnist.load(options())
    accuracy = (mnist.predict(model, images) == labels).float().mean().item()
    assert printed[-1] == f"test accuracy {100 * accuracy:.1f} %"


def test_a_picture_is_drawn(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "picture.png"
    printed = run(capsys, "--smoke", "--plot", path)
    assert printed[-2] == f"drew the picture: {path}"
    assert path.read_bytes().startswith(b"\x89PNG")
    from matplotlib import image

    pixels = image.imread(path)
    assert pixels.shape[0] > 600
    assert pixels.shape[1] > 1200
    halves = pixels[:, : pixels.shape[1] // 2], pixels[:, pixels.shape[1] // 2 :]
    assert all(half[..., :3].std() > 0.05 for half in halves)  # a curve on the left, digits on the right


def test_a_picture_without_a_mistake_is_drawn_too(tmp_path):
    pytest.importorskip("matplotlib")
    labels = torch.arange(5)
    mnist.draw([2.0, 1.0], torch.rand(5, 1, 28, 28), labels, labels, tmp_path / "picture.svg")
    picture = (tmp_path / "picture.svg").read_text()  # it tells each text in a comment
    assert "<!-- 0 of 5 were taken for something else -->" in picture
    assert picture.count("<image") == 5


def without(monkeypatch, missing):
    find = mnist.find_spec
    monkeypatch.setattr(mnist, "find_spec", lambda name: None if name == missing else find(name))


def test_without_tqdm_plain_lines_come_and_the_way_to_get_it(capsys, monkeypatch):
    without(monkeypatch, "tqdm")
    printed = run(capsys, "--smoke", "--epochs", 3)
    assert printed[0].endswith("(pip install tqdm)")
    assert re.fullmatch(r"epoch  1/1  loss \d\.\d{3}  accuracy +\d+\.\d %", printed[2])


def test_without_matplotlib_a_picture_is_refused_with_the_way_to_get_it(capsys, monkeypatch):
    without(monkeypatch, "matplotlib")
    assert "pip install matplotlib" in refusal(capsys, "--plot", "x.png")


def test_in_a_terminal_a_bar_shows_loss_and_accuracy(capsys, monkeypatch):
    tqdm = pytest.importorskip("tqdm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert isinstance(mnist.progress([1, 2]), tqdm.tqdm)
    mnist.main(["--smoke"])
    printed = capsys.readouterr()
    assert re.search(r"epoch  1/1  loss \d\.\d{3}  accuracy +\d+\.\d %  \S+", printed.err)
    assert "epoch" not in printed.out


@pytest.mark.parametrize("program", ["mnist.py", "build_CNN.py", "mlp_scan.py"])
def test_help_tells_every_option_and_nothing_else_happens(program):
    path = Path(mnist.__file__).with_name(program)
    environment = {**os.environ, "PYTHONPATH": str(path.parents[1])}
    command = [sys.executable, path, "--help"]
    help_text = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
    options_in_source = re.findall(r'add\("(--[a-z-]+)"', path.read_text(encoding="utf-8"))
    assert len(options_in_source) >= 5
    for option in [*options_in_source, "--help"]:
        assert re.search(rf"^  (-h, )?{option}\b", help_text, re.MULTILINE), option
    assert "accuracy" not in help_text
