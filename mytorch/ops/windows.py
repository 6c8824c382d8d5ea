"""Windows: tapered weights for the pieces of a signal, `mytorch.signal.windows` and the older `hann_window` and its like.

Every function gives w_0 ... w_(M-1) of a shape that is symmetric about its middle. A periodic window (sym=False, or periodic=True of the
older names) is the symmetric one of M + 1 points without its last, so that copies of it join smoothly.
Source: Harris 1978, On the use of windows for harmonic analysis with the discrete Fourier transform, Proc. IEEE 66.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from mytorch.dtypes import FLOATING, cast, get_default_dtype
from mytorch.ops.create import as_dtype, finished

__mytorch__ = True


# ---- mytorch.signal.windows ---------------------------------------------------------------------------------------------------


def _checked(name: str, M: int, dtype: Any, layout: Any) -> Any:  # noqa: N803 - torch's name
    """The dtype of the window, once all is found in order."""
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if layout not in (None, "torch.strided"):
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
    kind = get_default_dtype() if dtype is None else as_dtype(dtype)
    if kind.name not in ("float32", "float64"):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {kind}")
    return kind


def _places(M: int, sym: bool) -> tuple[Any, int]:  # noqa: N803
    """0 ... M - 1, and the place of the last point of the symmetric window (at least 1, to divide by)."""
    return np.arange(M, dtype=np.float64), max(M - 1 if sym else M, 1)


def _made(weights: Any, kind: Any, device: Any, requires_grad: bool) -> Any:
    return finished(cast(np.asarray(weights), kind.np), requires_grad, device)


def _cosine_sum(M: int, a: Iterable[float], sym: bool) -> Any:  # noqa: N803
    if M == 1:
        return np.ones(1)
    k, last = _places(M, sym)
    y = np.zeros(M)
    for i, coefficient in enumerate(a):
        y += (-1) ** i * coefficient * np.cos(2 * math.pi * i * k / last)
    return y


def bartlett(M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None,  # noqa: N803
             requires_grad: bool = False) -> Any:
    """A triangle: w_n = 1 - |2 n / (M - 1) - 1|.

    Raises:
        ValueError: for a negative M, or a dtype other than float32 and float64.
    """
    kind = _checked("bartlett", M, dtype, layout)
    k, last = _places(M, sym)
    return _made(np.ones(M) if M == 1 else 1 - np.abs(2 * k / last - 1), kind, device, requires_grad)


def general_cosine(M: int, *, a: Iterable[float], sym: bool = True, dtype: Any = None, layout: Any = None,  # noqa: N803
                   device: Any = None, requires_grad: bool = False) -> Any:
    """A sum of cosines: w_n = sum_i (-1)^i a_i cos(2 pi i n / (M - 1)).

    Raises:
        TypeError: if `a` is not iterable.
        ValueError: for an empty `a`, a negative M, or a dtype other than float32 and float64.
    """
    kind = _checked("general_cosine", M, dtype, layout)
    if not isinstance(a, Iterable):
        raise TypeError("Coefficients must be a list/tuple")
    coefficients = list(a)
    if not coefficients:
        raise ValueError("Coefficients cannot be empty")
    return _made(_cosine_sum(M, coefficients, sym), kind, device, requires_grad)


def general_hamming(M: int, *, alpha: float = 0.54, sym: bool = True, dtype: Any = None, layout: Any = None,  # noqa: N803
                    device: Any = None, requires_grad: bool = False) -> Any:
    """alpha - (1 - alpha) cos(2 pi n / (M - 1)): a cosine on a pedestal."""
    return general_cosine(M, a=[alpha, 1.0 - alpha], sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def hamming(M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None,  # noqa: N803
            requires_grad: bool = False) -> Any:
    """0.54 - 0.46 cos(2 pi n / (M - 1))."""
    return general_hamming(M, alpha=0.54, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def hann(M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None,  # noqa: N803
         requires_grad: bool = False) -> Any:
    """(1 - cos(2 pi n / (M - 1))) / 2, zero at its ends."""
    return general_hamming(M, alpha=0.5, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def blackman(M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None,  # noqa: N803
             requires_grad: bool = False) -> Any:
    """0.42 - 0.5 cos(2 pi n / (M - 1)) + 0.08 cos(4 pi n / (M - 1))."""
    return general_cosine(M, a=[0.42, 0.5, 0.08], sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def nuttall(M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None,  # noqa: N803
            requires_grad: bool = False) -> Any:
    """Four cosines with the least side lobes. Source: Nuttall 1981, Some windows with very good sidelobe behavior, IEEE Trans. ASSP 29."""
    return general_cosine(M, a=[0.3635819, 0.4891775, 0.1365995, 0.0106411], sym=sym, dtype=dtype, layout=layout, device=device,
                          requires_grad=requires_grad)


def cosine(M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None,  # noqa: N803
           requires_grad: bool = False) -> Any:
    """Half a period of a sine: w_n = sin(pi (n + 1/2) / M)."""
    kind = _checked("cosine", M, dtype, layout)
    k, last = _places(M, sym)
    return _made(np.sin(math.pi * (k + 0.5) / (last + 1 if M > 1 else 1)), kind, device, requires_grad)


def exponential(M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, dtype: Any = None,  # noqa: N803
                layout: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """w_n = e^(-|n - center| / tau); the centre is the middle.

    Raises:
        ValueError: for a tau that is not positive, or a centre given for a symmetric window.
    """
    kind = _checked("exponential", M, dtype, layout)
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    k, last = _places(M, sym)
    middle = last / 2 if center is None else center
    return _made(np.ones(M) if M == 1 and center is None else np.exp(-np.abs(k - middle) / tau), kind, device, requires_grad)


def gaussian(M: int, *, std: float = 1.0, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None,  # noqa: N803
             requires_grad: bool = False) -> Any:
    """w_n = e^(-((n - (M - 1) / 2) / std)^2 / 2).

    Raises:
        ValueError: for a standard deviation that is not positive.
    """
    kind = _checked("gaussian", M, dtype, layout)
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    k, last = _places(M, sym)
    return _made(np.ones(M) if M == 1 else np.exp(-0.5 * ((k - last / 2) / std) ** 2), kind, device, requires_grad)


def _kaiser(M: int, beta: float, sym: bool) -> Any:  # noqa: N803
    from mytorch.ops.special_bessel import i0_array
    if M <= 1:
        return np.ones(M)
    k, last = _places(M, sym)
    return i0_array(beta * np.sqrt(np.maximum(1 - (2 * k / last - 1) ** 2, 0))) / i0_array(np.asarray(float(beta)))


def kaiser(M: int, *, beta: float = 12.0, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None,  # noqa: N803
           requires_grad: bool = False) -> Any:
    """w_n = I_0(beta sqrt(1 - (2 n / (M - 1) - 1)^2)) / I_0(beta): nearly all its energy in the main lobe.

    Raises:
        ValueError: for a negative beta.
    Source: Kaiser, Schafer 1980, On the use of the I0-sinh window for spectrum analysis, IEEE Trans. ASSP 28.
    """
    kind = _checked("kaiser", M, dtype, layout)
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    return _made(_kaiser(M, beta, sym), kind, device, requires_grad)


# ---- the older names ----------------------------------------------------------------------------------------------------------


def _old(name: str, window_length: int, dtype: Any, layout: Any, make: Any, device: Any, requires_grad: bool) -> Any:
    kind = get_default_dtype() if dtype is None else as_dtype(dtype)
    if layout not in (None, "torch.strided"):
        raise RuntimeError(f"{name} is not implemented for sparse types, got: {layout}")
    if kind.category != FLOATING:
        raise RuntimeError(f"{name} expects floating point dtypes, got: {kind}")
    if window_length < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got window_length={window_length}")
    return _made(make() if window_length > 1 else np.ones(window_length), kind, device, requires_grad)


def bartlett_window(window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None, device: Any = None,
                    requires_grad: bool = False, pin_memory: bool = False) -> Any:
    """A triangle, `signal.windows.bartlett`; periodic by default.

    Raises:
        RuntimeError: for a negative length, or a dtype that is not floating.
    """
    def weights() -> Any:
        k, last = _places(window_length, not periodic)
        return 1 - np.abs(2 * k / last - 1)
    return _old("bartlett_window", window_length, dtype, layout, weights, device, requires_grad)


def _cosine_window(name: str, a: tuple[float, ...], what: str) -> Any:
    def window(window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None, device: Any = None,
               requires_grad: bool = False, pin_memory: bool = False) -> Any:
        return _old(name, window_length, dtype, layout, lambda: _cosine_sum(window_length, a, not periodic), device, requires_grad)

    window.__name__ = window.__qualname__ = name
    window.__doc__ = (f"{what}; periodic by default.\n\nRaises:\n    RuntimeError: for a negative length, or a dtype that is not floating.")
    return window


blackman_window = _cosine_window("blackman_window", (0.42, 0.5, 0.08), "0.42 - 0.5 cos(2 pi n / N) + 0.08 cos(4 pi n / N)")
hann_window = _cosine_window("hann_window", (0.5, 0.5), "(1 - cos(2 pi n / N)) / 2")


def hamming_window(window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, *, dtype: Any = None,
                   layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Any:
    """alpha - beta cos(2 pi n / N); periodic by default.

    Raises:
        RuntimeError: for a negative length, or a dtype that is not floating.
    """
    return _old("hamming_window", window_length, dtype, layout, lambda: _cosine_sum(window_length, (alpha, beta), not periodic),
                device, requires_grad)


def kaiser_window(window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: Any = None, layout: Any = None, device: Any = None,
                  requires_grad: bool = False, pin_memory: bool = False) -> Any:
    """`signal.windows.kaiser`; periodic by default.

    Raises:
        RuntimeError: for a negative length, or a dtype that is not floating.
    """
    return _old("kaiser_window", window_length, dtype, layout, lambda: _kaiser(window_length, beta, not periodic), device, requires_grad)
