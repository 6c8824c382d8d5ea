"""Special functions over wide ranges: against mpmath in many digits, and torch's values at the odd places and for derivatives."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import mytorch

torch = pytest.importorskip("torch")
mp = pytest.importorskip("mpmath")

from mytorch.ops import special_tables  # noqa: E402
from tests.parity import special_fits  # noqa: E402

TINY = 1e-290  # below, float64 has fewer digits


def values(rng, *parts):
    """Numbers from uniform ranges (low, high) and, for low = '10^', from powers of ten."""
    drawn = [10 ** rng.uniform(*part[1:], 40) if part[0] == "10^" else rng.uniform(*part, 40) for part in parts]
    return np.concatenate(drawn)


def function(name):
    """A function of mytorch.special on float64 arrays."""
    run = getattr(mytorch.special, name)
    return lambda *xs: run(*[mytorch.from_numpy(x) for x in xs]).numpy()


def check(found, exact, xs, tolerance, floor):
    """Every value within `tolerance` of the exact one, relative to its size, or to `floor` near a zero of the function."""
    with mp.workdps(40):
        for y, *x in zip(found, *xs, strict=True):
            wanted = float(exact(*[mp.mpf(float(v)) for v in x]))
            if TINY < abs(wanted) < 1e300:
                assert abs(y - wanted) <= tolerance * max(abs(wanted), floor), (x, y, wanted)


def log_gamma(x):
    return mp.log(abs(mp.gamma(x))) if abs(x) < 150 else mp.re(mp.loggamma(x))


def normal(x):
    return mp.erfc(-x / mp.sqrt(2)) / 2


# name -> exact function, ranges, tolerance, what counts as zero
EXACT = {
    "gammaln": (log_gamma, [(-0.5, 3), (3, 30), ("10^", -300, 300), (0.99, 1.01), (1.99, 2.01)], 2e-14, 0),
    "psi": (mp.digamma, [(0, 2), (2, 30), ("10^", -200, 300)], 1e-14, 0.1),
    "i0": (lambda x: mp.besseli(0, x), [(-9, 9), (9, 600), (-600, -9)], 1e-13, 0),
    "i1": (lambda x: mp.besseli(1, x), [(-9, 9), (9, 600), (-600, -9)], 1e-13, 0),
    "i0e": (lambda x: mp.exp(-abs(x)) * mp.besseli(0, x), [(-9, 9), (9, 600)], 1e-14, 0),
    "i1e": (lambda x: mp.exp(-abs(x)) * mp.besseli(1, x), [(-9, 9), (9, 600)], 1e-14, 0),
    "modified_bessel_k0": (lambda x: mp.besselk(0, x), [(0, 2), (2, 9), (9, 300), ("10^", -300, 0)], 1e-13, 0),
    "modified_bessel_k1": (lambda x: mp.besselk(1, x), [(0, 2), (2, 9), (9, 300), ("10^", -290, 0)], 1e-13, 0),
    "scaled_modified_bessel_k0": (lambda x: mp.exp(x) * mp.besselk(0, x), [(0, 2), (2, 9), (9, 300)], 1e-14, 0),
    "scaled_modified_bessel_k1": (lambda x: mp.exp(x) * mp.besselk(1, x), [(0, 2), (2, 9), (9, 300)], 1e-14, 0),
    "bessel_j0": (lambda x: mp.besselj(0, x), [(-8, 8), (8, 100)], 1e-14, 0.3),
    "bessel_j1": (lambda x: mp.besselj(1, x), [(-8, 8), (8, 100)], 1e-14, 0.3),
    "bessel_y0": (lambda x: mp.bessely(0, x), [(0, 8), (8, 100)], 1e-14, 0.3),
    "bessel_y1": (lambda x: mp.bessely(1, x), [(0, 8), (8, 100), ("10^", -200, 0)], 1e-14, 0.3),
    "spherical_bessel_j0": (lambda x: mp.sin(x) / x, [(-8, 8), (8, 100)], 1e-14, 0.01),
    "airy_ai": (mp.airyai, [(-4, 4), (4, 60), (-60, -4)], 1e-12, 0.1),
    "erfinv": (mp.erfinv, [(-0.99, 0.99), (0.99, 1)], 1e-14, 0),
    "ndtr": (normal, [(-5, 5), (-37, -5), (5, 37)], 1e-12, 0),
    "log_ndtr": (lambda x: mp.log(normal(x)) if x < 0 else mp.log1p(-normal(-x)), [(-5, 5), (-1000, -5), (5, 35)], 1e-12, 0),
    "erfcx": (lambda x: mp.exp(x * x) * mp.erfc(x), [(-5, 5), (-26, -5), (5, 1000)], 1e-13, 0),
    "erf": (mp.erf, [(-0.5, 0.5), (-6, 6)], 1e-14, 0),
    "erfc": (mp.erfc, [(-0.5, 0.5), (-6, 6), (6, 26)], 1e-13, 0),
    "entr": (lambda x: -x * mp.log(x), [(0, 5), ("10^", -300, 300)], 1e-13, 0.01),
}


@pytest.mark.parametrize("name", EXACT)
def test_function_is_exact_over_its_range(name):
    exact, ranges, tolerance, floor = EXACT[name]
    x = values(np.random.default_rng(1), *ranges)
    check(function(name)(x), exact, (x,), tolerance, floor)


def test_airy_function_decays_with_all_its_digits():
    x = values(np.random.default_rng(1), (0, 4), (4, 60))
    check(function("airy_ai")(x), mp.airyai, (x,), 1e-12, 0)


@pytest.mark.parametrize("name", ["gammaln", "psi"])
def test_reflection_left_of_zero_is_exact(name):
    x = values(np.random.default_rng(2), (-0.5, 0), (-10, -0.5), (-200, -10))
    check(function(name)(x), log_gamma if name == "gammaln" else mp.digamma, (x,), 1e-13, 0.1)


def test_ndtri_undoes_ndtr_however_small_the_probability():
    p = np.concatenate([10 ** np.linspace(-307, -1, 80), np.linspace(0.1, 0.9, 30), 1 - 10 ** np.linspace(-15, -1, 30)])
    x = function("ndtri")(p)
    with mp.workdps(40):
        for a, b in zip(x, p, strict=True):
            a, b = mp.mpf(float(a)), mp.mpf(float(b))
            density = mp.exp(-a * a / 2) / mp.sqrt(2 * mp.pi)
            step = (mp.log(normal(a)) - mp.log(b)) * normal(a) / density  # Newton's next step: the distance to the exact value
            assert abs(step) <= 1e-14 * max(abs(a), 0.1), (a, b)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 25, 60])
def test_polygamma_is_exact(n):
    x = values(np.random.default_rng(n), (0, 2), (2, 40), ("10^", -3, 5), (-8, -0.1))
    found = mytorch.polygamma(n, mytorch.from_numpy(x)).numpy()
    check(found, lambda v: mp.polygamma(n, v), (x,), 1e-12, 0)


def test_zeta_is_exact():
    rng = np.random.default_rng(0)
    s, q = values(rng, (1.001, 8), (8, 40), (1.001, 3)), values(rng, (0, 5), (0, 5), ("10^", -3, 1.5))

    def exact(a, b):  # mpmath's own zeta loses digits for larger q
        with mp.workdps(60):
            return mp.zeta(a, b)

    check(function("zeta")(s, q), exact, (s, q), 1e-12, 0)


@pytest.mark.parametrize("upper", [False, True])
def test_incomplete_gamma_is_exact(upper):
    rng = np.random.default_rng(0)
    a = values(rng, (0, 20), ("10^", -3, 2), ("10^", -3, 2), (90, 300), (0, 3))
    x = values(rng, (0, 30), ("10^", -3, 2), ("10^", -1, 2.5), (60, 400), (0, 3))
    found = function("gammaincc" if upper else "gammainc")(a, x)
    check(found, lambda a, x: mp.gammainc(a, x, regularized=True) if upper else mp.gammainc(a, 0, x, regularized=True), (a, x), 1e-12, 0)


def test_incomplete_gamma_of_large_a_is_exact():
    rng = np.random.default_rng(0)
    a = 10 ** rng.uniform(2.5, 5, 12)
    x = a + np.sqrt(a) * rng.uniform(-4, 4, 12)

    def series(a, x):
        total = term = mp.mpf(1)
        n = 0
        while term > total * mp.mpf(10) ** -30:
            n += 1
            term *= x / (a + n)
            total += term
        return total * mp.exp(a * mp.log(x) - x - mp.loggamma(a + 1))

    check(function("gammainc")(a, x), series, (a, x), 1e-12, 0)


def test_tables_are_the_fits_that_the_script_makes():
    for name, _, *row in special_fits.ROWS:
        np.testing.assert_allclose(getattr(special_tables, name), special_fits.fit(*row), 1e-12, 1e-20, err_msg=name)


# ---- torch at the odd places --------------------------------------------------------------------------------------------------

ODD = [0.0, -0.0, np.inf, -np.inf, np.nan, -1.0, 1.0, 0.5, -0.5, 2.0, -2.0, -2.5, 1e-300, -1e-300, 5e-324, 1e5, -40.0, 40.0, 700.0, 720.0, -720.0]
ONE = ["gammaln", "psi", "erfinv", "ndtri", "erfcx", "ndtr", "log_ndtr", "entr", "i0", "i0e", "i1", "i1e", "modified_bessel_k0",
       "modified_bessel_k1", "scaled_modified_bessel_k0", "scaled_modified_bessel_k1", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1",
       "spherical_bessel_j0", "airy_ai", "sinc", "logit", "expit", "erf", "erfc", "round", "exp2", "expm1", "log1p"]
# where torch says NaN of I0 and I1, which are infinite at infinity
BETTER = {"i0": [np.inf, -np.inf], "i1": [np.inf, -np.inf]}


@pytest.mark.parametrize("name", ONE)
def test_odd_values_are_torchs(name):
    x = np.array([v for v in ODD if v not in BETTER.get(name, [])])
    found, expected = function(name)(x), getattr(torch.special, name)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, expected, 1e-5, 1e-15)


@pytest.mark.parametrize("name", ["xlog1py", "xlogy", "gammainc", "gammaincc"])
def test_odd_pairs_are_torchs(name):
    # torch: igamma(NaN, 0) = 0, igamma(5e-324, 1) = 0
    odd = [v for v in ODD if not (np.isnan(v) or v == 5e-324)] if name.startswith("gamma") else ODD
    a, b = (m.reshape(-1) for m in np.meshgrid(odd, odd))
    found, expected = function(name)(a, b), getattr(torch.special, name)(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_allclose(found, expected, 1e-9, 1e-15)


def test_infinity_of_the_modified_functions_is_kept():
    assert function("i0")(np.array([np.inf, -np.inf])).tolist() == [np.inf, np.inf]
    assert function("i1")(np.array([np.inf, -np.inf])).tolist() == [np.inf, -np.inf]


@pytest.mark.parametrize(("name", "exact"), [("bessel_j0", lambda x: mp.besselj(0, x)), ("bessel_y1", lambda x: mp.bessely(1, x))])
def test_torchs_own_error_is_what_separates_the_bessel_functions(name, exact):
    """The reason for the entries of these two in GAPS of test_op_db.py; the docs name it too."""
    x = np.linspace(5.01, 5.1, 20)
    wanted = np.array([float(exact(mp.mpf(float(v)))) for v in x])
    assert np.abs(getattr(torch.special, name)(torch.from_numpy(x)).numpy() - wanted).max() > 1e-7
    assert np.abs(function(name)(x) - wanted).max() < 1e-15


DEGREES = ["chebyshev_polynomial_t", "chebyshev_polynomial_u", "chebyshev_polynomial_v", "chebyshev_polynomial_w", "hermite_polynomial_h",
           "hermite_polynomial_he", "laguerre_polynomial_l", "legendre_polynomial_p", "shifted_chebyshev_polynomial_t",
           "shifted_chebyshev_polynomial_u", "shifted_chebyshev_polynomial_v", "shifted_chebyshev_polynomial_w"]


@pytest.mark.parametrize("name", DEGREES)
def test_polynomials_of_every_degree_are_torchs(name):
    x = np.concatenate([np.linspace(-1.5, 1.5, 31), [0.0, 1.0, -1.0, 3.0, -3.0, 1e10]])
    n = np.array([-1.0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 21, 100, 2.7, -0.5, 600])
    x, n = (m.reshape(-1) for m in np.meshgrid(x, n))
    found, expected = function(name)(x, n), getattr(torch.special, name)(torch.from_numpy(x), torch.from_numpy(n)).numpy()
    np.testing.assert_allclose(found, expected, 1e-9, 1e-12)


# ---- derivatives and names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["igamma", "igammac", "special.zeta"])
def test_derivative_that_torch_lacks_is_refused_in_its_words(name):
    messages = []
    for lib in (mytorch, torch):
        run = lib
        for part in name.split("."):
            run = getattr(run, part)
        a = lib.tensor([1.5, 2.5], requires_grad=True)
        b = lib.tensor([1.0, 2.0], requires_grad=True)
        y = run(a, b).sum()
        lib.autograd.grad(y, b, retain_graph=True)
        with pytest.raises(NotImplementedError) as caught:
            lib.autograd.grad(y, a)
        messages.append(str(caught.value))
    assert messages[0].startswith(messages[1])


@pytest.mark.parametrize("name", [*DEGREES, "airy_ai", "bessel_j0", "bessel_y1", "modified_bessel_i0", "modified_bessel_k0",
                                  "scaled_modified_bessel_k1", "spherical_bessel_j0"])
def test_result_without_a_derivative_requires_no_gradient_in_both(name):
    for lib in (mytorch, torch):
        x = lib.tensor([0.5, 2.5], requires_grad=True)
        y = getattr(lib.special, name)(x, lib.tensor([2, 3])) if name in DEGREES else getattr(lib.special, name)(x)
        assert not y.requires_grad
        assert y.dtype is lib.float32


@pytest.mark.parametrize("module", ["special", "fft", "signal.windows"])
def test_namespace_has_every_function_of_torchs(module):
    theirs = importlib.import_module(f"torch.{module}")
    mine = importlib.import_module(f"mytorch.{module}")
    named = {name for name, value in vars(theirs).items() if callable(value) and not name.startswith("_") and name != "Tensor"}
    assert {name for name in named if not callable(getattr(mine, name, None))} == set()
