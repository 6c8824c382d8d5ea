"""Rows of special functions."""

from __future__ import annotations

from tests.samples.rows import Error, Sample, one

KINDS = "tuvw"
POLYNOMIALS = [*[f"chebyshev_polynomial_{kind}" for kind in KINDS], "hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l",
               "legendre_polynomial_p", *[f"shifted_chebyshev_polynomial_{kind}" for kind in KINDS]]

GAMMA = [
    *one("lgamma digamma", 0.3, 4.0),
    *one("special.gammaln special.digamma special.psi", -2.8, -2.2),
    *one("lgamma digamma", 8.5, 30.0),
    *[Sample("polygamma", lambda m, n=n: (n, m(2, 3, low=0.5, high=4.0)), pointwise=True) for n in (0, 1, 2, 3)],
    Sample("special.polygamma", lambda m: (2, m(2, 3, low=-1.8, high=-1.2))),
    Sample("Tensor.polygamma_", lambda m: (m(2, 3, low=0.5, high=4.0), 1)),
    Sample("mvlgamma", lambda m: (m(2, 3, low=1.5, high=4.0), 3)),
    Sample("special.multigammaln", lambda m: (m(2, 3, low=0.5, high=4.0), 1)),
    Sample("special.zeta", lambda m: (m.const(2, 3, low=1.5, high=5.0), m(3, low=0.3, high=4.0)), pointwise=True),
    Sample("special.zeta", lambda m: (2.5, m(3, low=0.3, high=4.0))),
    Sample("special.zeta", lambda m: (m.const(3, low=1.5, high=5.0), 2.0), grad=False),
    *[Sample(name, lambda m: (m.const(2, 3, low=0.3, high=9.0), m(3, low=0.3, high=9.0)), pointwise=True)
      for name in ("igamma", "igammac", "special.gammainc", "special.gammaincc")],
]

NORMAL = [
    *one("erfinv special.erfinv", -0.95, 0.95),
    *one("special.ndtri", 0.01, 0.99),
    *one("special.erfcx special.ndtr special.log_ndtr special.erf special.erfc special.expit special.exp2 special.expm1"),
    *one("special.log_ndtr special.erfcx", -6.0, -3.0),
    *one("special.entr special.log1p", 0.2, 3.0),
    *one("special.logit", 0.1, 0.9),
    *one("special.sinc", 0.2, 2.0),
    *one("special.round", twice=False),
    Sample("special.xlog1py", lambda m: (m(2, 3), m(3, low=-0.5)), pointwise=True),
    Sample("special.xlog1py", lambda m: (m(2, 3), 1.5)),
    Sample("special.xlog1py", lambda m: (1.5, m(2, 3, low=-0.5))),
    Sample("special.xlogy", lambda m: (m(2, 3), m(3, low=0.5)), pointwise=True),
    Sample("special.xlogy", lambda m: (m(2, 3), 1.5)),
    Sample("special.xlogy", lambda m: (1.5, m(2, 3, low=0.5))),
    Sample("special.softmax", lambda m: (m(2, 3), 1)),
    Sample("special.log_softmax", lambda m: (m(2, 3), 1)),
    Sample("special.logsumexp", lambda m: (m(2, 3), 1)),
    Sample("frexp", lambda m: (m(2, 3, low=0.6, high=0.9),), twice=False),
]

BESSEL = [
    *one("i0 special.i0 special.i0e special.i1 special.i1e", 0.3, 3.0),
    *one("i0 special.i0e special.i1 special.i1e", -12.0, -9.0),
    Sample("special.i1", lambda m: (m.values([0.0, 1.0]),), slopes=False, twice=False),
    *one("special.modified_bessel_i0 special.modified_bessel_i1 special.spherical_bessel_j0", grad=False),
    *one("special.bessel_j0 special.bessel_j1 special.airy_ai", -4.5, 4.5, grad=False),
    *one("special.modified_bessel_k0 special.modified_bessel_k1 special.scaled_modified_bessel_k0 special.scaled_modified_bessel_k1",
         0.3, 5.0, grad=False),
    *one("special.bessel_y0 special.bessel_y1", 0.3, 4.9, grad=False),
    *one("special.bessel_j0 special.bessel_j1 special.bessel_y0 special.bessel_y1", 12.0, 30.0, grad=False),
    *one("special.airy_ai", -20.0, -10.0, grad=False),
]

DEGREES = [
    # torch adds up Hermite's in float32, where the higher degrees cancel
    *[Sample(f"special.{name}", lambda m, high=high: (m(2, 3), m.ints(3, high=high)), grad=False, pointwise=True)
      for name in POLYNOMIALS for high in (5 if "hermite" in name else 12,)],
    *[Sample(f"special.{name}", lambda m: (m(4, low=0.0, high=1.0), 20), grad=False) for name in POLYNOMIALS],
    *[Sample(f"special.{name}", lambda m: (0.3, m.values([3.0, 7.0, 0.0])), grad=False) for name in POLYNOMIALS],
]

ROWS = [*GAMMA, *NORMAL, *BESSEL, *DEGREES]

ERRORS = [
    Error("polygamma", lambda m: (-1, m(3)), RuntimeError, "polygamma(n, x) does not support negative n."),
    Error("mvlgamma", lambda m: (m(3), 0), RuntimeError, "p has to be greater than or equal to 1"),
    Error("lgamma", lambda m: (m.complex(3),), NotImplementedError, "not implemented for 'ComplexDouble'"),
    Error("lgamma", lambda m: (1.0,), TypeError, "lgamma(): argument 'input' (position 1) must be Tensor, not float"),
    Error("special.airy_ai", lambda m: (m.complex(3),), NotImplementedError, "not implemented for 'ComplexDouble'"),
    Error("special.zeta", lambda m: (m(2), m(3)), RuntimeError, "must match the size of tensor b (3)"),
    Error("igamma", lambda m: (m(3), 2.0), TypeError, "igamma(): argument 'other' (position 2) must be Tensor, not float"),
    Error("igamma", lambda m: (m.ints(3), m.ints(3)), NotImplementedError, "not implemented for 'Long'"),
    Error("frexp", lambda m: (m.ints(3),), RuntimeError, "torch.frexp() only supports floating-point dtypes"),
]
