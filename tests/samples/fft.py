"""Rows of Fourier transforms and windows."""

from __future__ import annotations

from tests.samples.rows import Error, Sample

COMPLEX = [
    *[Sample(f"fft.{name}", lambda m: (m.complex(3, 5),)) for name in ("fft", "ifft", "fft2", "ifft2", "fftn", "ifftn")],
    Sample("fft.fft", lambda m: (m(3, 6),)),
    Sample("fft.fft", lambda m: (m.complex(4, 3), 6, 0, "ortho")),
    Sample("fft.fft", lambda m: (m.complex(7), 4), {"norm": "forward"}),
    Sample("fft.fft", lambda m: (m.ints(6),), grad=False),
    Sample("fft.ifft", lambda m: (m(3, 6), 4, 1), {"norm": "forward"}),
    Sample("fft.fft2", lambda m: (m.complex(3, 4, 2), (2, 5), (0, 1), "ortho")),
    Sample("fft.fftn", lambda m: (m(2, 3, 4), (4, -1))),
    Sample("fft.ifftn", lambda m: (m.complex(2, 3, 4),), {"dim": (0, 2), "norm": "ortho"}),
]

REAL = [
    *[Sample(f"fft.{name}", lambda m: (m(3, 5),)) for name in ("rfft", "rfft2", "rfftn", "ihfft", "ihfft2", "ihfftn")],
    *[Sample(f"fft.{name}", lambda m: (m(3, 6),), {"norm": "ortho"}) for name in ("rfft", "rfftn", "ihfft", "ihfftn")],
    *[Sample(f"fft.{name}", lambda m: (m.complex(3, 4),)) for name in ("irfft", "irfft2", "irfftn", "hfft", "hfft2", "hfftn")],
    *[Sample(f"fft.{name}", lambda m: (m.complex(3, 4), 5, 0, "forward")) for name in ("irfft", "hfft")],
    *[Sample(f"fft.{name}", lambda m: (m.complex(3, 4, 2), (5, 2), (0, 1), "ortho")) for name in ("irfftn", "hfftn", "irfft2", "hfft2")],
    *[Sample(f"fft.{name}", lambda m: (m(3, 4, 2), (5, 2), (0, 1), "forward")) for name in ("rfftn", "ihfftn", "rfft2", "ihfft2")],
    Sample("fft.rfft", lambda m: (m(4, 3), 6, 0, "forward")),
    Sample("fft.irfft", lambda m: (m(3, 4),)),
    Sample("fft.hfft", lambda m: (m(3, 4), 3)),
]

ORDER = [
    *[Sample(f"fft.{name}", lambda m: (m(4, 5),)) for name in ("fftshift", "ifftshift")],
    *[Sample(f"fft.{name}", lambda m: (m.complex(4, 5), 1)) for name in ("fftshift", "ifftshift")],
    *[Sample(f"fft.{name}", lambda m, n=n: (n,), {"d": 0.1}, grad=False) for name in ("fftfreq", "rfftfreq") for n in (6, 7)],
    Sample("fft.fftfreq", lambda m: (5,), lambda m: {"dtype": m.dt("float64")}, grad=False),
]

SHORT_TIME = [
    Sample("stft", lambda m: (m(2, 20), 8), lambda m: {"window": m.const(8), "return_complex": True}),
    Sample("stft", lambda m: (m(20), 7, 3, 5, m(5)), {"normalized": True, "return_complex": True, "pad_mode": "constant"}),
    Sample("stft", lambda m: (m(20), 8, 4), lambda m: {"center": False, "onesided": False, "return_complex": False}),
    Sample("stft", lambda m: (m.complex(20), 6), lambda m: {"window": m.const(6)}),
    Sample("stft", lambda m: (m(20), 8, 4, 4, m(4)), {"center": False, "align_to_window": True, "return_complex": True}),
    Sample("istft", lambda m: (m.complex(2, 5, 6), 8), lambda m: {"window": m.const(8, low=0.5)}),
    Sample("istft", lambda m: (m.complex(4, 6), 7, 2, 5, m(5, low=0.5)), {"normalized": True, "length": 9}),
    Sample("istft", lambda m: (m.complex(6, 4), 6, 3), {"center": False, "return_complex": True}),
    Sample("istft", lambda m: (m.complex(5, 3), 8), lambda m: {"window": m.const(8, low=0.5), "onesided": True, "length": 12}),
]

WINDOWS = [
    *[Sample(f"{name}_window", lambda m, n=n: (n,), grad=False) for name in ("bartlett", "blackman", "hamming", "hann", "kaiser") for n in (1, 7)],
    *[Sample(f"{name}_window", lambda m: (6, False), lambda m: {"dtype": m.dt("float64")}, grad=False)
      for name in ("bartlett", "blackman", "hamming", "hann", "kaiser")],
    Sample("hamming_window", lambda m: (6, True, 0.4, 0.5), grad=False),
    Sample("kaiser_window", lambda m: (6, True, 4.5), grad=False),
    *[Sample(f"signal.windows.{name}", lambda m: (6,), lambda m, sym=sym: {"sym": sym, "dtype": m.dt("float64")}, grad=False)
      for name in ("bartlett", "blackman", "cosine", "exponential", "gaussian", "general_hamming", "hamming", "hann", "kaiser", "nuttall")
      for sym in (True, False)],
    *[Sample(f"signal.windows.{name}", lambda m: (1,), {"sym": False}, grad=False) for name in ("cosine", "exponential", "gaussian", "kaiser")],
    Sample("signal.windows.general_cosine", lambda m: (7,), {"a": [0.4, 0.5, 0.1]}, grad=False),
    Sample("signal.windows.exponential", lambda m: (7,), {"center": 2.0, "tau": 3.0, "sym": False}, grad=False),
    Sample("signal.windows.gaussian", lambda m: (7,), {"std": 1.5}, grad=False),
    Sample("signal.windows.kaiser", lambda m: (7,), {"beta": 3.0}, grad=False),
]

ROWS = [*COMPLEX, *REAL, *ORDER, *SHORT_TIME, *WINDOWS]

ERRORS = [
    Error("fft.fft", lambda m: (m(),), IndexError, "Dimension specified as -1 but tensor has no dimensions"),
    Error("fft.fft", lambda m: (m(3), None, 1), IndexError, "Dimension out of range (expected to be in range of [-1, 0], but got 1)"),
    Error("fft.fft", lambda m: (m(3), 0), RuntimeError, "Invalid number of data points (0) specified"),
    Error("fft.fft", lambda m: (m(3),), RuntimeError, 'Invalid normalization mode: "both"', {"norm": "both"}),
    Error("fft.fft", lambda m: (m(3).half(),), RuntimeError, "Unsupported dtype Half"),
    Error("fft.fft", lambda m: ([1.0],), TypeError, "fft_fft(): argument 'input' (position 1) must be Tensor, not list"),
    Error("fft.fft", lambda m: (m.const(3),), RuntimeError, "fft expects a complex output tensor, but got Double", lambda m: {"out": m.const(3)}),
    Error("fft.fftn", lambda m: (m(3, 3), None, (0, -2)), RuntimeError, "FFT dims must be unique"),
    Error("fft.fftn", lambda m: (m(3, 3), (1, 2, 3)), RuntimeError, "Got shape with 3 values but input tensor only has 2 dimensions."),
    Error("fft.fftn", lambda m: (m(3, 3), (1, 2), (0,)), RuntimeError, "When given, dim and shape arguments must have the same length"),
    Error("fft.rfft", lambda m: (m.complex(3),), RuntimeError, "rfft expects a real input tensor, but got ComplexDouble"),
    Error("fft.rfftn", lambda m: (m(),), RuntimeError, "rfftn must transform at least one axis"),
    Error("fft.irfft", lambda m: (m.complex(1),), RuntimeError, "Invalid number of data points (0) specified"),
    Error("fft.fftfreq", lambda m: (5,), RuntimeError, "fftfreq requires a floating point or complex dtype", lambda m: {"dtype": m.dt("int64")}),
    Error("stft", lambda m: (m(20), 8), RuntimeError, "stft requires the return_complex parameter be given for real inputs"),
    Error("stft", lambda m: (m(5), 8), RuntimeError, "expected 0 < n_fft < 5, but got n_fft=8", {"center": False, "return_complex": True}),
    Error("stft", lambda m: (m(20), 8, 0), RuntimeError, "expected hop_length > 0, but got hop_length=0", {"return_complex": True}),
    Error("stft", lambda m: (m(20), 8, 2, 9), RuntimeError, "expected 0 < win_length <= n_fft, but got win_length=9", {"return_complex": True}),
    Error("stft", lambda m: (m(20), 8, 2, 8, m(3)), RuntimeError, "expected a 1D window tensor of size equal to win_length=8",
          {"return_complex": True}),
    Error("stft", lambda m: (m.complex(20), 8), RuntimeError, "Cannot have onesided output if window or input is complex", {"onesided": True}),
    Error("stft", lambda m: (m(2, 2, 20), 8), RuntimeError, "expected a 1D or 2D tensor", {"return_complex": True, "center": False}),
    Error("istft", lambda m: (m(5, 6), 8, 2, 8, m(8)), RuntimeError, "istft requires a complex-valued input tensor"),
    Error("istft", lambda m: (m.complex(3, 6), 8, 2, 8, m(8)), RuntimeError, "expected the frequency dimension"),
    Error("istft", lambda m: (m.complex(5, 6), 8, 9, 8, m(8)), RuntimeError, "expected 0 < hop_length <= win_length"),
    Error("istft", lambda m: (m.complex(5, 6), 8, 8, 8, m.const(8) * 0), RuntimeError, "window overlap add min: 1"),
    Error("istft", lambda m: (m.complex(5, 6), 8, 2, 8, m.complex(8)), RuntimeError, "Complex windows are incompatible with return_complex=False"),
    Error("hann_window", lambda m: (-1,), RuntimeError, "hann_window requires non-negative window_length, got window_length=-1"),
    Error("hann_window", lambda m: (3,), RuntimeError, "hann_window expects floating point dtypes, got: ", lambda m: {"dtype": m.dt("int64")}),
    Error("signal.windows.hann", lambda m: (-1,), ValueError, "requires non-negative window length, got M=-1"),
    Error("signal.windows.gaussian", lambda m: (3,), ValueError, "Standard deviation must be positive, got: 0.0 instead.", {"std": 0.0}),
    Error("signal.windows.exponential", lambda m: (3,), ValueError, "Tau must be positive, got: -1.0 instead.", {"tau": -1.0}),
    Error("signal.windows.exponential", lambda m: (3,), ValueError, "Center must be None for symmetric windows", {"center": 1.0}),
    Error("signal.windows.kaiser", lambda m: (3,), ValueError, "beta must be non-negative, got: -1.0 instead.", {"beta": -1.0}),
    Error("signal.windows.general_cosine", lambda m: (3,), ValueError, "Coefficients cannot be empty", {"a": []}),
    Error("signal.windows.cosine", lambda m: (3,), ValueError, "expects float32 or float64 dtypes, got: torch.float16",
          lambda m: {"dtype": m.dt("float16")}),
]
