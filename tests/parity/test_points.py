"""What torch's tables leave out of grid_sample, CTC, fractional pooling and antialiased resizing: far points, draws, layers, warnings."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import mytorch
import mytorch.nn

torch = pytest.importorskip("torch")

from tests.parity.outcome import assert_same  # noqa: E402

LIBS = (mytorch, torch)


def compare(run, arrays, tolerance=1e-10):
    """Results and gradients of `run(lib, *tensors)`."""
    found = []
    for T in LIBS:
        T.manual_seed(5)
        leaves = [T.tensor(a).requires_grad_() for a in arrays]
        y = run(T, *leaves)
        y = y if isinstance(y, tuple) else (y,)
        weights = np.linspace(0.5, 1.5, y[0].numel()).reshape(tuple(y[0].shape))
        found.append([*y, *T.autograd.grad(y[0], leaves, T.tensor(weights).to(y[0].dtype))])
    for ours, theirs in zip(*found, strict=True):
        ours, theirs = np.asarray(ours.detach()), theirs.detach().numpy()
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align_corners", [False, True])
def test_points_far_outside_and_on_the_borders_are_read_as_torch_reads_them(mode, padding_mode, align_corners):
    rng = np.random.default_rng(0)
    grid = rng.uniform(-9, 9, (2, 20, 5, 2))
    grid[0, 0] = [[-1, -1], [1, 1], [0, 0], [-1, 1], [0.5, -0.5]]
    for size in ((4, 5), (1, 3)):
        compare(lambda T, x, g: T.nn.functional.grid_sample(x, g, mode, padding_mode, align_corners), [rng.standard_normal((2, 3, *size)), grid])


def test_grids_without_align_corners_warn_as_torch_does():
    assert_same(lambda T: T.nn.functional.grid_sample(T.ones(1, 1, 2, 2), T.zeros(1, 1, 1, 2)))
    assert_same(lambda T: T.nn.functional.affine_grid(T.ones(1, 2, 3), (1, 1, 2, 2)))


@pytest.mark.parametrize("seed", range(6))
def test_the_ctc_loss_of_random_batches_is_torchs(seed):
    rng = np.random.default_rng(seed)
    steps, batch, classes = int(rng.integers(6, 12)), int(rng.integers(1, 4)), int(rng.integers(2, 6))
    lengths = rng.integers(0, 5, batch)
    frames = rng.integers(1, steps + 1, batch)
    blank = int(rng.integers(0, classes))
    labels = (blank + rng.integers(1, classes, (batch, 5))) % classes
    for reduction in ("mean", "sum", "none"):
        compare(lambda T, x: T.nn.CTCLoss(blank, reduction, zero_infinity=True)(  # noqa: B023 - runs at once
            x.log_softmax(2), T.tensor(labels), T.tensor(frames), T.tensor(lengths)), [rng.standard_normal((steps, batch, classes))])


@pytest.mark.parametrize("dims", [2, 3])
def test_fractional_pooling_draws_as_torch_draws(dims):
    x = np.random.default_rng(1).standard_normal((2, 3, *(9, 8, 7)[:dims]))
    for options in ({"output_size": 4}, {"output_ratio": 0.5}):
        compare(lambda T, t: getattr(T.nn, f"FractionalMaxPool{dims}d")(2, return_indices=True, **options)(t), [x])  # noqa: B023


def test_fractional_layers_look_and_refuse_as_torchs():
    for name in ("FractionalMaxPool2d", "FractionalMaxPool3d"):
        for options in ({"output_size": 2}, {}, {"output_size": 2, "output_ratio": 0.5}, {"output_ratio": 1.5}):
            assert_same(lambda T: getattr(T.nn, name)(3, **options))  # noqa: B023 - runs at once
    assert_same(lambda T: T.nn.CTCLoss(blank=2))


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("options", [{"size": (3, 4)}, {"size": (12, 5)}, {"size": (1, 2)}, {"scale_factor": (0.5, 1.7)},
                                     {"scale_factor": 0.3, "recompute_scale_factor": True}])
def test_antialiased_images_are_torchs(mode, align_corners, options):
    x = np.random.default_rng(2).standard_normal((2, 3, 7, 9))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compare(lambda T, t: T.nn.functional.interpolate(t, mode=mode, align_corners=align_corners, antialias=True, **options), [x])


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0, 2.0, 3.0, float("inf")])
def test_distances_of_equal_rows_and_ties_are_torchs(p):
    compare(lambda T, x: T.nn.functional.pdist(x, p), [np.array([[1.0, 2.0], [1.0, 2.0], [2.0, 3.0], [0.0, 5.0]])])


def test_native_names_give_the_statistics_that_torch_gives():
    x, w, b = (np.random.default_rng(i).standard_normal(s) for i, s in enumerate([(2, 4, 3), (4,), (4,)]))
    compare(lambda T, x, w, b: T.native_group_norm(x, w, b, 2, 4, 3, 2, 1e-5)[:1], [x, w, b])
    ours, theirs = (T.native_group_norm(T.tensor(x), None, None, 2, 4, 3, 2, 1e-5) for T in LIBS)
    for a, e in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(np.asarray(a), e.numpy(), rtol=1e-12)
    running = [(T.zeros(4, dtype=T.float64), T.ones(4, dtype=T.float64)) for T in LIBS]
    for T, (mean, var) in zip(LIBS, running, strict=True):
        T.native_batch_norm(T.tensor(x), None, None, mean, var, True, 0.3, 1e-5)
    for a, e in zip(*running, strict=True):
        np.testing.assert_allclose(np.asarray(a), e.numpy(), rtol=1e-12)
    for train in (True, False):
        for T in LIBS:
            T.manual_seed(0)
        a, e = (T.native_dropout(T.ones(50), 0.3, train) for T in LIBS)
        np.testing.assert_array_equal(np.asarray(a[0]), e[0].numpy())
        np.testing.assert_array_equal(np.asarray(a[1]), e[1].numpy())
