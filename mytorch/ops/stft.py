"""The short-time Fourier transform and its inverse: the frequencies of a signal as they change over time."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from mytorch.dtypes import from_numpy_dtype, legacy_name
from mytorch.grad_mode import by_example
from mytorch.ops.autocast import full_precision
from mytorch.ops.common import BFLOAT16_NP, FLOAT16, TensorBase, apply, require_tensor
from mytorch.ops.complex_parts import view_as_real
from mytorch.ops.create import finished
from mytorch.ops.fourier import c2c_op, c2r_op, r2c_op
from mytorch.ops.shape import pad
from mytorch.ops.views import fold_op, narrow, reshape, transpose, unfold

__mytorch__ = True

_PARAMETER = ("stft requires the return_complex parameter be given for real inputs, and will further require that return_complex=True "
              "in a future PyTorch release.")
_DEPRECATED = ("stft with return_complex=False is deprecated. In a future pytorch release, stft will return complex tensors for all inputs, "
               "and return_complex=False will raise an error. Note: you can still call torch.view_as_real on the complex output to recover "
               "the old return format.")
_NO_WINDOW = ("A window was not provided. A rectangular window will be applied. Please provide the same window used by stft to make the "
              "inversion lossless. To suppress this warning and use a rectangular window, explicitly set "
              "`window=torch.ones(n_fft, device=<device>)`.")
_LONGER = ("The length of signal is shorter than the length parameter. Result is being padded with zeros in the tail. "
           "Please check your center and hop_length settings.")


def _is_complex(x: Any) -> bool:
    return x is not None and x._array.dtype.kind == "c"


def _described(name: str, x: Any, settings: dict[str, Any]) -> str:
    """The call in short: how the messages of errors begin."""
    kind = f"{legacy_name(from_numpy_dtype(x._array.dtype))}Tensor {list(x._array.shape)}"
    shown = {k: list(v._array.shape) if isinstance(v, TensorBase) else v for k, v in settings.items()}
    return f"{name}({kind}, {', '.join(f'{k}={v}' for k, v in shown.items())})"


def _centred(window: Any, win_length: int, n_fft: int) -> Any:
    """The window with zeros on both sides, n_fft long."""
    left = (n_fft - win_length) // 2
    return window if win_length == n_fft else pad(window, (left, n_fft - win_length - left))


def _ones(n: int, like: Any) -> Any:
    return finished(np.ones(n, like._array.real.dtype))


def _padded(x: Any, width: int, mode: str) -> Any:
    return pad(x, (width, width), mode) if width else x


# ---- forward ------------------------------------------------------------------------------------------------------------------


@full_precision
def stft(input: Any, n_fft: int, hop_length: int | None = None, win_length: int | None = None, window: Any = None,  # noqa: A002
         center: bool = True, pad_mode: str = "reflect", normalized: bool = False, onesided: bool | None = None,
         return_complex: bool | None = None, align_to_window: bool | None = None) -> Any:
    """The Fourier transform of overlapping windows of a signal.

    X[w, m] = sum_k window[k] * x[m * hop_length + k] * e^(-2 pi i w k / n_fft)

    Args:
        hop_length: from one window to the next; n_fft // 4 by default.
        win_length: of the window, which is padded with zeros to n_fft; n_fft by default.
        window: (win_length,); ones by default.
        center: pad the signal (as `pad_mode` says) so that window m is centred at m * hop_length.
        normalized: divide by sqrt(n_fft).
        onesided: leave out the half that is conjugate; the default where signal and window are real.
        return_complex: complex numbers, or (deprecated) pairs of real ones; must be given for a real signal.
        align_to_window: with center=False, as many windows as fit by win_length instead of n_fft.
    Shape:
        (B?, L) -> (B?, N, T): N frequencies, n_fft // 2 + 1 or n_fft; T = 1 + L // hop_length windows if centred.
    Raises:
        RuntimeError: for sizes that do not fit, onesided=True of complex numbers, return_complex not given for a real signal.
    Derivative: the transforms' and windows' own.
    Source: Allen, Rabiner 1977, A unified approach to short-time Fourier analysis and synthesis.
    """
    require_tensor("stft", input)
    hop = n_fft // 4 if hop_length is None else hop_length
    width = n_fft if win_length is None else win_length
    settings = {"n_fft": n_fft, "hop_length": hop, "win_length": width, "window": window, "normalized": normalized, "onesided": onesided,
                "return_complex": return_complex, "align_to_window": align_to_window}
    is_complex = _is_complex(input) or _is_complex(window)
    if return_complex is None:
        if not is_complex:
            raise RuntimeError(_PARAMETER)
        return_complex = True
    elif not return_complex:
        warnings.warn(_DEPRECATED, UserWarning, stacklevel=2)
    if center and align_to_window is not None:
        raise RuntimeError("stft align_to_window should only be set when center = false")
    dtype = input._array.dtype
    if dtype in (FLOAT16, BFLOAT16_NP):
        raise RuntimeError(f"Unsupported dtype {legacy_name(from_numpy_dtype(dtype))}: convert with .float() first")
    if dtype.kind not in "fc":
        raise RuntimeError(f"{_described('stft', input, settings)}: expected a tensor of floating point or complex values")
    batched = input._array.ndim == 2
    if input._array.ndim not in (1, 2) and not (center and input._array.ndim == 0):
        raise RuntimeError(f"{_described('stft', input, settings)}: expected a 1D or 2D tensor")
    x = input if batched else reshape(input, (1, -1))
    if center:
        x = _padded(x, n_fft // 2, pad_mode)
    elif align_to_window:
        x = _padded(x, (n_fft - width) // 2, "constant")
    _check_stft(x, n_fft, hop, width, window, settings)
    if onesided and is_complex:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    frames = unfold(x, 1, n_fft, hop)  # (B, T, n_fft)
    if window is not None or width < n_fft:
        frames = frames * _centred(_ones(width, x) if window is None else window, width, n_fft)
    norm = "ortho" if normalized else "backward"
    if is_complex or onesided is False:
        y = apply(c2c_op, (frames,), {"dim": (2,), "norm": norm, "inverse": False})
    else:
        y = apply(r2c_op, (frames,), {"dim": 2, "norm": norm})
    y = transpose(y, 1, 2)  # (B, N, T)
    y = y if batched else y.squeeze(0)
    return y if return_complex else view_as_real(y)


def _check_stft(x: Any, n_fft: int, hop: int, width: int, window: Any, settings: dict[str, Any]) -> None:
    length = x._array.shape[1]
    if not 0 < n_fft <= length:
        fault = f"expected 0 < n_fft < {length}, but got n_fft={n_fft}"
    elif hop <= 0:
        fault = f"expected hop_length > 0, but got hop_length={hop}"
    elif not 0 < width <= n_fft:
        fault = f"expected 0 < win_length <= n_fft, but got win_length={width}"
    elif window is not None and window._array.shape != (width,):
        fault = (f"expected a 1D window tensor of size equal to win_length={width}, "
                 f"but got window with size {list(window._array.shape)}")
    else:
        return
    raise RuntimeError(f"{_described('stft', x, settings)}: {fault}")


# ---- inverse ------------------------------------------------------------------------------------------------------------------


@by_example
def istft(input: Any, n_fft: int, hop_length: int | None = None, win_length: int | None = None, window: Any = None,  # noqa: A002
          center: bool = True, normalized: bool = False, onesided: bool | None = None, length: int | None = None,
          return_complex: bool = False) -> Any:
    """The signal whose `stft` comes closest to the input: overlapping windows, each weighed by the window, added and normalised.

    x[n] = sum_m window[n - m hop] * y_m[n - m hop] / sum_m window[n - m hop]^2,  y_m the inverse transform of column m

    Args:
        hop_length, win_length, window, center, normalized, onesided: as they were given to `stft`.
        length: cut the signal, or pad it with zeros, to this length.
        return_complex: the signal is complex.
    Shape:
        (B?, N, T) complex -> (B?, L).
    Raises:
        RuntimeError: for an input that is not complex, sizes that do not fit, windows that leave a point uncovered.
    Derivative: the transforms' and windows' own.
    Source: Griffin, Lim 1984, Signal estimation from modified short-time Fourier transform, eq. 6.
    """
    require_tensor("istft", input)
    if window is None:
        warnings.warn(_NO_WINDOW, UserWarning, stacklevel=2)
    hop = n_fft // 4 if hop_length is None else hop_length
    width = n_fft if win_length is None else win_length
    settings = {"n_fft": n_fft, "hop_length": hop, "win_length": width, "window": window, "center": center, "normalized": normalized,
                "onesided": onesided, "length": length, "return_complex": return_complex}
    _check_istft(input, n_fft, hop, width, window, onesided, settings)
    if return_complex and (input._array.shape[-2] != n_fft if onesided is None else onesided):
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    if not return_complex and _is_complex(window):
        raise RuntimeError("Complex windows are incompatible with return_complex=False")
    batched = input._array.ndim == 3
    x = transpose(input if batched else input.unsqueeze(0), 1, 2)  # (B, T, N)
    norm = "ortho" if normalized else "backward"
    if return_complex:
        frames = apply(c2c_op, (x,), {"dim": (2,), "norm": norm, "inverse": True})
    else:
        half = narrow(x, 2, 0, n_fft // 2 + 1)
        frames = apply(c2r_op, (half,), {"dim": 2, "norm": norm, "n": n_fft})
    weights = _centred(_ones(width, frames) if window is None else window, width, n_fft)
    y, cover = _overlapped(frames * weights, weights * weights, hop)
    whole = cover._array.shape[1]
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else whole - start
    stop = min(end, whole)
    y, cover = narrow(y, 1, start, max(stop - start, 0)), narrow(cover, 1, start, max(stop - start, 0))
    if cover._array.size == 0:
        raise RuntimeError(f"{_described('istft', input, settings)}: nothing is left of {whole} points between {start} and {end}")
    if not np.abs(cover._array).min() > 1e-11:
        raise RuntimeError(f"{_described('istft', input, settings)}: window overlap add min: 1; some points are covered by no window: "
                           "choose a smaller hop_length, center=True, or a window without zeros at its ends")
    y = y / cover
    if end > whole:
        warnings.warn(_LONGER, UserWarning, stacklevel=2)
        y = pad(y, (0, end - whole))
    return y if batched else y.squeeze(0)


def _overlapped(frames: Any, squares: Any, hop: int) -> tuple[Any, Any]:
    """The frames (B, T, n) added up where they lie, (B, L), and so the square of the window, (1, L)."""
    batch, count, size = frames._array.shape
    whole = size + hop * (count - 1)
    y = apply(fold_op, (frames,), {"shape": (batch, whole), "dim": 1, "size": size, "step": hop})
    tiles = reshape(squares, (1, 1, size)).expand(1, count, size)
    return y, apply(fold_op, (tiles,), {"shape": (1, whole), "dim": 1, "size": size, "step": hop})


def _check_istft(x: Any, n_fft: int, hop: int, width: int, window: Any, onesided: bool | None, settings: dict[str, Any]) -> None:
    if x._array.dtype.kind != "c":
        raise RuntimeError("istft requires a complex-valued input tensor matching the output from stft with return_complex=True.")
    ndim = x._array.ndim
    if ndim == 1:
        raise IndexError("istft expects (N, T) or (B, N, T): dimension out of range (expected to be in range of [-1, 0], but got -2)")
    points = x._array.shape[-2] if ndim else 0
    if x._array.size == 0:
        fault = "input tensor cannot be empty."
    elif ndim not in (2, 3):
        fault = f"expected a tensor of (N, T) or (B, N, T), but got {ndim} dimensions"
    elif (points != n_fft if onesided is None else onesided) and points != n_fft // 2 + 1:
        fault = f"expected the frequency dimension (2nd to the last) of the input to be n_fft / 2 + 1 when onesided=True, but got {points}"
    elif onesided is False and points != n_fft:
        fault = f"expected the frequency dimension (2nd to the last) of the input to be n_fft when onesided=False, but got {points}"
    elif not 0 < hop <= width:
        fault = "expected 0 < hop_length <= win_length"
    elif not 0 < width <= n_fft:
        fault = "expected 0 < win_length <= n_fft"
    elif window is not None and window._array.shape != (width,):
        fault = f"Invalid window shape. window has to be 1D and length of `win_length`, got {list(window._array.shape)}"
    else:
        return
    raise RuntimeError(f"{_described('istft', x, settings)}: {fault}")
