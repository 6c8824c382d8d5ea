"""Fourier transforms: their definition, their inverses, and where memory and types go."""

from __future__ import annotations

import numpy as np
import pytest

import mytorch

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_fft_is_the_sum_that_defines_it(n):
    x = RNG.standard_normal(n) + 1j * RNG.standard_normal(n)
    k = np.arange(n)
    expected = np.exp(-2j * np.pi * np.outer(k, k) / n) @ x
    np.testing.assert_allclose(mytorch.fft.fft(mytorch.from_numpy(x)).numpy(), expected, 1e-12, 1e-12)


@pytest.mark.parametrize("norm", [None, "backward", "ortho", "forward"])
@pytest.mark.parametrize("shape", [(6,), (3, 5), (2, 3, 4)])
def test_inverse_transforms_undo_the_others(shape, norm):
    x = mytorch.from_numpy(RNG.standard_normal(shape))
    z = x + 1j * mytorch.from_numpy(RNG.standard_normal(shape))
    fft, last = mytorch.fft, shape[-1]
    for forth, back in ((fft.fft, fft.ifft), (fft.fftn, fft.ifftn)):
        np.testing.assert_allclose(back(forth(z, norm=norm), norm=norm).numpy(), z.numpy(), 1e-12, 1e-12)
    np.testing.assert_allclose(fft.irfft(fft.rfft(x, norm=norm), last, norm=norm).numpy(), x.numpy(), 1e-12, 1e-12)
    np.testing.assert_allclose(fft.irfftn(fft.rfftn(x, norm=norm), shape, norm=norm).numpy(), x.numpy(), 1e-12, 1e-12)
    np.testing.assert_allclose(fft.hfft(fft.ihfft(x, norm=norm), last, norm=norm).numpy(), x.numpy(), 1e-12, 1e-12)


def test_ortho_keeps_the_length_of_a_vector():
    x = mytorch.from_numpy(RNG.standard_normal((4, 7)))
    assert abs(float(mytorch.fft.fft2(x, norm="ortho").abs().square().sum()) - float(x.square().sum())) < 1e-12


def test_shifts_undo_each_other_and_order_the_frequencies():
    for n in (6, 7):
        f = mytorch.fft.fftfreq(n)
        shifted = mytorch.fft.fftshift(f)
        assert (shifted[1:] > shifted[:-1]).all()
        assert mytorch.equal(mytorch.fft.ifftshift(shifted), f)


def test_types_follow_the_input():
    assert mytorch.fft.fft(mytorch.ones(4)).dtype is mytorch.complex64
    assert mytorch.fft.rfft(mytorch.ones(4, dtype=mytorch.float64)).dtype is mytorch.complex128
    assert mytorch.fft.irfft(mytorch.ones(4, dtype=mytorch.complex64)).dtype is mytorch.float32
    assert mytorch.fft.fft(mytorch.arange(4)).dtype is mytorch.complex64
    assert mytorch.fft.fft(mytorch.ones(4)).numpy().tolist() == [4, 0, 0, 0]


@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("normalized", [False, True])
def test_istft_undoes_stft(batch, normalized):
    x = mytorch.from_numpy(RNG.standard_normal((*batch, 64)))
    window = mytorch.hann_window(16, dtype=mytorch.float64)
    spectrum = mytorch.stft(x, 16, 4, window=window, normalized=normalized, return_complex=True)
    assert spectrum.shape == (*batch, 9, 17)
    back = mytorch.istft(spectrum, 16, 4, window=window, normalized=normalized, length=64)
    np.testing.assert_allclose(back.numpy(), x.numpy(), 1e-12, 1e-12)


def test_gradient_reaches_the_signal_and_the_window():
    x = mytorch.from_numpy(RNG.standard_normal(32)).requires_grad_()
    window = mytorch.hann_window(8, dtype=mytorch.float64, requires_grad=True)
    mytorch.stft(x, 8, window=window, return_complex=True).abs().sum().backward()
    assert x.grad.abs().sum() > 0
    assert window.grad.abs().sum() > 0


def test_windows_are_symmetric_and_periodic_ones_lack_the_last_point():
    for name in ("bartlett", "blackman", "cosine", "gaussian", "hamming", "hann", "kaiser", "nuttall"):
        make = getattr(mytorch.signal.windows, name)
        w = make(9, dtype=mytorch.float64).numpy()
        np.testing.assert_allclose(w, w[::-1], 1e-12, 1e-15)
        np.testing.assert_allclose(make(8, sym=False, dtype=mytorch.float64).numpy(), w[:-1], 1e-12, 1e-15)


def test_fourier_transforms_load_when_first_touched():
    import subprocess
    import sys

    code = ("import sys, mytorch\n"
            "late = ['mytorch.fft', 'mytorch.special', 'mytorch.signal', 'mytorch.ops.fourier', 'mytorch.ops.stft', 'mytorch.ops.special_gamma']\n"
            "assert not [name for name in late if name in sys.modules], sys.modules\n"
            "mytorch.fft.fft(mytorch.ones(2)), mytorch.lgamma(mytorch.ones(2)), mytorch.ones(2).digamma(), mytorch.signal.windows.hann(3)\n")
    subprocess.run([sys.executable, "-c", code], check=True)
