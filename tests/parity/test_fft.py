"""Fourier transforms and short-time transforms with random arguments give torch's values, dtypes, gradients and refusals."""

from __future__ import annotations

import numpy as np
import pytest

import mytorch

torch = pytest.importorskip("torch")

ONE = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
NEEDS_REAL = ("rfft", "ihfft")
DTYPES = ("float32", "float64", "complex64", "complex128", "int64", "bool", "uint8")
NORMS = (None, "backward", "ortho", "forward")


def array(rng, shape, dtype):
    values = rng.standard_normal(shape) * 3
    if dtype.startswith("complex"):
        values = values + 1j * rng.standard_normal(shape)
    return values.astype(dtype)


def outcome(lib, name, values, args, kwargs):
    """The result of a call, as an array, and the gradient that reaches its input; or the class of the error."""
    x = lib.from_numpy(values.copy())
    x.requires_grad_(values.dtype.kind in "fc")
    try:
        y = getattr(lib.fft, name)(x, *args, **kwargs)
    except Exception as error:
        return type(error), None
    found = y.detach().resolve_conj().numpy()
    if not x.requires_grad:
        return found, None
    weight = np.arange(1, y.numel() + 1).reshape(tuple(y.shape)) / y.numel()
    y.backward(lib.from_numpy((weight * (1 - 2j) if y.is_complex() else weight).astype(found.dtype)))
    return found, x.grad.resolve_conj().numpy()


def assert_same(found, expected, what):
    for a, b in zip(found, expected, strict=True):
        if isinstance(b, type) or isinstance(a, type):
            assert a is b, what
        elif b is not None:
            assert (a.dtype, a.shape) == (b.dtype, b.shape), what
            tolerance = 1e-4 if b.dtype in (np.float32, np.complex64) else 1e-10
            np.testing.assert_allclose(a, b, tolerance, tolerance, err_msg=str(what))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ONE)
def test_transforms_of_one_dimension_are_torchs(name, seed):
    rng = np.random.default_rng([seed, ONE.index(name)])
    for _ in range(25):
        shape = tuple(int(n) for n in rng.integers(1, 7, rng.integers(1, 4)))
        values = array(rng, shape, str(rng.choice(DTYPES)))
        args = (None if rng.random() < 0.4 else int(rng.integers(-1, 9)), int(rng.integers(-len(shape) - 1, len(shape) + 1)),
                NORMS[rng.integers(4)])
        what = (name, shape, values.dtype, args)
        assert_same(outcome(mytorch, name, values, args, {}), outcome(torch, name, values, args, {}), what)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", [base + suffix for base in ONE for suffix in ("2", "n")])
def test_transforms_of_several_dimensions_are_torchs(name, seed):
    rng = np.random.default_rng([seed, len(name), ord(name[0])])
    for _ in range(20):
        shape = tuple(int(n) for n in rng.integers(1, 6, rng.integers(1, 5)))
        values = array(rng, shape, str(rng.choice(DTYPES)))
        kwargs = {"norm": NORMS[rng.integers(4)]}
        count = int(rng.integers(1, 3))
        if rng.random() < 0.6:
            kwargs["s"] = tuple(int(n) for n in rng.choice([-1, 1, 2, 3, 5], count))
        if rng.random() < 0.6:
            kwargs["dim"] = tuple(int(d) for d in rng.integers(-len(shape), len(shape), count))
        what = (name, shape, values.dtype, kwargs)
        assert_same(outcome(mytorch, name, values, (), kwargs), outcome(torch, name, values, (), kwargs), what)


@pytest.mark.parametrize("name", ["fft", "ifft", "irfft", "hfft", "rfft", "ihfft"])
def test_second_derivatives_are_torchs_through_a_nonlinear_use(name):
    rng = np.random.default_rng(3)
    values = array(rng, (3, 6), "float64" if name in NEEDS_REAL else "complex128")

    def second(lib):
        x = lib.from_numpy(values.copy()).requires_grad_()
        y = getattr(lib.fft, name)(x, norm="ortho")
        (g,) = lib.autograd.grad((y * y * y).abs().sum(), x, create_graph=True)
        (h,) = lib.autograd.grad((g * g.conj()).real.sum(), x)
        return h.resolve_conj().numpy()

    np.testing.assert_allclose(second(mytorch), second(torch), 1e-9, 1e-9)


@pytest.mark.parametrize("n", [0, 1, 2, 7, 8])
def test_frequencies_are_torchs(n):
    for name in ("fftfreq", "rfftfreq"):
        for d in (1.0, 0.25, 3.0):
            if n == 0 and name == "rfftfreq":
                continue
            np.testing.assert_allclose(getattr(mytorch.fft, name)(n, d).numpy(), getattr(torch.fft, name)(n, d).numpy(), 1e-6)


def test_out_is_resized_and_must_be_complex_where_the_result_is():
    x = mytorch.arange(6.0)
    out = mytorch.empty(0, dtype=mytorch.complex64)
    assert mytorch.fft.rfft(x, out=out) is out
    np.testing.assert_allclose(out.numpy(), torch.fft.rfft(torch.arange(6.0)).numpy(), 1e-6, 1e-6)
    with pytest.raises(RuntimeError, match="expects a floating point output tensor, but got ComplexFloat"):
        mytorch.fft.irfft(out, out=mytorch.empty(0, dtype=mytorch.complex64))


# ---- short-time transforms ----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(8))
def test_stft_with_random_settings_is_torchs(seed):
    rng = np.random.default_rng(seed)
    for _ in range(12):
        n_fft = int(rng.integers(1, 12))
        width = int(rng.integers(1, n_fft + 1))
        shape = (int(rng.integers(12, 40)),) if rng.random() < 0.5 else (2, int(rng.integers(12, 40)))
        values = array(rng, shape, "complex128" if rng.random() < 0.3 else "float64")
        window = None if rng.random() < 0.4 else array(rng, (width,), "float64")
        settings = {"hop_length": int(rng.integers(1, 6)), "win_length": width, "center": bool(rng.random() < 0.5),
                    "pad_mode": str(rng.choice(["reflect", "constant", "replicate"])), "normalized": bool(rng.random() < 0.5),
                    "onesided": [None, True, False][rng.integers(3)], "return_complex": bool(rng.random() < 0.7)}
        results = []
        for lib in (mytorch, torch):
            try:
                y = lib.stft(lib.from_numpy(values), n_fft, window=None if window is None else lib.from_numpy(window), **settings)
                results.append((y.numpy(),))
            except Exception as error:
                results.append((type(error),))
        assert_same(*results, (n_fft, shape, settings))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(8))
def test_istft_undoes_stft_as_torchs_does(seed):
    rng = np.random.default_rng(seed)
    for _ in range(8):
        n_fft = int(rng.integers(4, 12))
        width = int(rng.integers(3, n_fft + 1))
        window = rng.uniform(0.3, 1.0, width)
        signal = rng.standard_normal(int(rng.integers(24, 40)))
        shared = {"hop_length": max(width // 3, 1), "win_length": width, "normalized": bool(rng.random() < 0.5), "center": True}
        spectrum = torch.stft(torch.from_numpy(signal), n_fft, window=torch.from_numpy(window), return_complex=True, **shared).numpy()
        length = None if rng.random() < 0.5 else int(rng.integers(5, signal.size))
        expected = torch.istft(torch.from_numpy(spectrum), n_fft, window=torch.from_numpy(window), length=length, **shared).numpy()
        found = mytorch.istft(mytorch.from_numpy(spectrum), n_fft, window=mytorch.from_numpy(window), length=length, **shared).numpy()
        np.testing.assert_allclose(found, expected, 1e-10, 1e-12)
        np.testing.assert_allclose(found, signal[:found.size], 1e-9, 1e-9)


def test_istft_pads_a_signal_that_is_too_short_and_says_so():
    spectrum = mytorch.stft(mytorch.arange(20.0), 8, window=mytorch.ones(8), return_complex=True)
    with pytest.warns(UserWarning, match="length of signal is shorter"):
        y = mytorch.istft(spectrum, 8, window=mytorch.ones(8), length=30)
    assert y.shape == (30,)
    assert not y[24:].any()
