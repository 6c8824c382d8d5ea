"""Bessel functions of orders 0 and 1, and Airy's.

Near zero a series or a polynomial in x^2; far from it the asymptotic form (DLMF 10.17, 10.40, 9.7), whose slowly varying factor is a
polynomial in 1 / x: see special_tables. DLMF is the Digital Library of Mathematical Functions, https://dlmf.nist.gov.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mytorch.ops import special_tables as tables
from mytorch.ops.arithmetic import sign
from mytorch.ops.choices import where
from mytorch.ops.common import method_inplace
from mytorch.ops.pointwise import refusing, unary
from mytorch.ops.special_functions import by_region, horner, in_blocks, interval
from mytorch.ops.special_rows import constant_unary

__mytorch__ = True

_GAMMA = 0.57721566490153286061  # Euler's constant
_ROOT_HALF = math.sqrt(0.5)

# ---- modified functions of the first kind -------------------------------------------------------------------------------------

# DLMF 10.25.2: I_0(x) = sum_k z^k / k!^2 and I_1(x) = x / 2 * sum_k z^k / (k! (k + 1)!), z = x^2 / 4. All terms are positive: nothing
# cancels, and 26 of them are enough for |x| <= 8.
_I0 = tuple(1 / math.factorial(k) ** 2 for k in range(25, -1, -1))
_I1 = tuple(0.5 / (math.factorial(k) * math.factorial(k + 1)) for k in range(25, -1, -1))


def _i0_series(x: Any) -> Any:
    return horner(0.25 * x * x, _I0)


def _i1_series(x: Any) -> Any:
    return x * horner(0.25 * x * x, _I1)


def _scaled_far(table: tuple[float, ...], size: Any) -> Any:
    """e^-x I(x) for x > 8."""
    return horner(interval(1 / size, 0, 0.125), table) / np.sqrt(size)


def _grown(scaled: Any, size: Any) -> Any:
    """e^x times that, without overflow before the end."""
    half = np.exp(0.5 * size)
    return np.where(size == np.inf, np.inf, half * scaled * half)


@in_blocks
def i0_array(x: Any) -> Any:
    """I_0 of an array."""
    size = np.abs(x)
    return by_region(size, (size <= 8, _i0_series), (size > 8, lambda u: _grown(_scaled_far(tables.I0_FAR, u), u)))


@in_blocks
def i0e_array(x: Any) -> Any:
    """e^-|x| I_0(x) of an array."""
    size = np.abs(x)
    return by_region(size, (size <= 8, lambda u: np.exp(-u) * _i0_series(u)), (size > 8, lambda u: _scaled_far(tables.I0_FAR, u)))


@in_blocks
def i1_array(x: Any) -> Any:
    """I_1 of an array."""
    size = np.abs(x)
    y = by_region(size, (size <= 8, _i1_series), (size > 8, lambda u: _grown(_scaled_far(tables.I1_FAR, u), u)))
    return np.copysign(y, x)


@in_blocks
def i1e_array(x: Any) -> Any:
    """e^-|x| I_1(x) of an array."""
    size = np.abs(x)
    y = by_region(size, (size <= 8, lambda u: np.exp(-u) * _i1_series(u)), (size > 8, lambda u: _scaled_far(tables.I1_FAR, u)))
    return np.copysign(y, x)


def _i1_formula(g: Any, x: Any, y: Any) -> Any:
    safe = where(x == 0, 1.0, x)
    return g * where(x == 0, 0.5, i0(x) - y / safe)


def _i1e_formula(g: Any, x: Any, y: Any) -> Any:
    safe = where(x == 0, 1.0, x)
    return g * where(x == 0, 0.5, i0e(x) - y * (sign(x) + 1 / safe))


_SHAPE = "\n\nShape: any -> the same; integers give floats."
i0: Any = unary("i0", refusing("c", i0_array, "i0_vml_cpu"), lambda g, x: g * i1(x),
           f"The modified Bessel function I_0(x).{_SHAPE}\nDerivative: g * I_1(x).\nSource: DLMF 10.25.2, 10.40.1.", rule="float")
i0e: Any = unary("special_i0e", refusing("c", i0e_array, "i0e"), lambda g, x, y: g * (i1e(x) - sign(x) * y),
            f"e^-|x| I_0(x), which does not overflow.{_SHAPE}\nDerivative: g * (i1e(x) - sgn(x) i0e(x)).\nSource: DLMF 10.25.2, 10.40.1.",
            rule="float")
i1: Any = unary("special_i1", refusing("c", i1_array, "i1"), _i1_formula,
           f"The modified Bessel function I_1(x).{_SHAPE}\nDerivative: g * (I_0(x) - I_1(x) / x), half of g at 0.\n"
           "Source: DLMF 10.25.2, 10.40.1.", rule="float")
i1e: Any = unary("special_i1e", refusing("c", i1e_array, "i1e"), _i1e_formula,
            f"e^-|x| I_1(x), which does not overflow.{_SHAPE}\nDerivative: g * (i0e(x) - i1e(x) (sgn(x) + 1 / x)), half of g at 0.\n"
            "Source: DLMF 10.25.2, 10.40.1.", rule="float")
modified_bessel_i0 = constant_unary("modified_bessel_i0", i0_array, "The modified Bessel function I_0(x), see `i0`.")
modified_bessel_i1 = constant_unary("modified_bessel_i1", i1_array, "The modified Bessel function I_1(x), see `i1`.")
i0_ = method_inplace(i0.op, "i0_")

# ---- modified functions of the second kind ------------------------------------------------------------------------------------


def _harmonic(k: int) -> float:
    return math.fsum(1 / i for i in range(1, k + 1))


# DLMF 10.31.2 and 10.31.1, with psi(k + 1) = harmonic(k) - gamma: for x <= 2.
_K0 = tuple(_harmonic(k) / math.factorial(k) ** 2 for k in range(15, -1, -1))
_K1 = tuple((_harmonic(k) + _harmonic(k + 1)) / (4 * math.factorial(k) * math.factorial(k + 1)) for k in range(15, -1, -1))


def _k0_series(x: Any) -> Any:
    return horner(0.25 * x * x, _K0) - (np.log(0.5 * x) + _GAMMA) * _i0_series(x)


def _k1_series(x: Any) -> Any:
    return 1 / x + (np.log(0.5 * x) + _GAMMA) * _i1_series(x) - x * horner(0.25 * x * x, _K1)


def _k_far(table: tuple[float, ...], x: Any) -> Any:
    return horner(interval(1 / x, 0, 0.5), table) / np.sqrt(x)


def _second_kind(series: Any, table: tuple[float, ...], scaled: bool) -> Any:
    def near(x: Any) -> Any:
        return np.exp(x) * series(x) if scaled else series(x)

    def far(x: Any) -> Any:
        return _k_far(table, x) if scaled else np.exp(-x) * _k_far(table, x)

    return in_blocks(lambda x: by_region(x, ((x > 0) & (x <= 2), near), (x > 2, far), (x == 0, lambda u: u + np.inf)))


_K_DOC = "; inf at 0, NaN for x < 0.\n\nSource: DLMF 10.31, 10.40.2."
modified_bessel_k0 = constant_unary("modified_bessel_k0", _second_kind(_k0_series, tables.K0_FAR, False),
                                    "The modified Bessel function K_0(x)" + _K_DOC)
modified_bessel_k1 = constant_unary("modified_bessel_k1", _second_kind(_k1_series, tables.K1_FAR, False),
                                    "The modified Bessel function K_1(x)" + _K_DOC)
scaled_modified_bessel_k0 = constant_unary("scaled_modified_bessel_k0", _second_kind(_k0_series, tables.K0_FAR, True), "e^x K_0(x)" + _K_DOC)
scaled_modified_bessel_k1 = constant_unary("scaled_modified_bessel_k1", _second_kind(_k1_series, tables.K1_FAR, True), "e^x K_1(x)" + _K_DOC)

# ---- Bessel functions ---------------------------------------------------------------------------------------------------------


def _near(table: tuple[float, ...], x: Any) -> Any:
    return horner(interval(x * x, 0, 64), table)


def _waves(x: Any, order: int) -> tuple[Any, Any]:
    """J and Y for x > 8 (DLMF 10.17.3-4): J + i Y = sqrt(2 / (pi x)) (P + i Q) e^(i chi), chi = x - (order / 2 + 1 / 4) pi."""
    v = interval(1 / (x * x), 0, 1 / 64)
    p = horner(v, tables.P1 if order else tables.P0)
    q = horner(v, tables.Q1 if order else tables.Q0) / x
    c, s = np.cos(x), np.sin(x)
    plus, minus = (c + s) * _ROOT_HALF, (s - c) * _ROOT_HALF  # cos and sin of x - pi / 4, without rounding x - pi / 4
    cosine, sine = (minus, -plus) if order else (plus, minus)
    scale = np.sqrt(2 / (math.pi * x))
    return scale * (p * cosine - q * sine), scale * (p * sine + q * cosine)


@in_blocks
def _j0(x: Any) -> Any:
    size = np.abs(x)
    return by_region(size, (size <= 8, lambda u: _near(tables.J0_NEAR, u)), (size > 8, lambda u: _waves(u, 0)[0]))


@in_blocks
def _j1(x: Any) -> Any:
    size = np.abs(x)
    y = by_region(size, (size <= 8, lambda u: u * _near(tables.J1_NEAR, u)), (size > 8, lambda u: _waves(u, 1)[0]))
    return y * np.where(x < 0, -1.0, 1.0)


def _y0_near(x: Any) -> Any:
    return _near(tables.Y0_NEAR, x) + (2 / math.pi) * np.log(x) * _near(tables.J0_NEAR, x)


def _y1_near(x: Any) -> Any:
    return x * _near(tables.Y1_NEAR, x) + (2 / math.pi) * (np.log(x) * x * _near(tables.J1_NEAR, x) - 1 / x)


@in_blocks
def _y0(x: Any) -> Any:
    return by_region(x, ((x > 0) & (x <= 8), _y0_near), (x > 8, lambda u: _waves(u, 0)[1]), (x == 0, lambda u: u - np.inf))


@in_blocks
def _y1(x: Any) -> Any:
    return by_region(x, ((x > 0) & (x <= 8), _y1_near), (x > 8, lambda u: _waves(u, 1)[1]), (x == 0, lambda u: u - np.inf))


bessel_j0 = constant_unary("bessel_j0", _j0, "The Bessel function of the first kind J_0(x).\n\nSource: DLMF 10.2.2, 10.17.3.")
bessel_j1 = constant_unary("bessel_j1", _j1, "The Bessel function of the first kind J_1(x).\n\nSource: DLMF 10.2.2, 10.17.3.")
bessel_y0 = constant_unary("bessel_y0", _y0, "The Bessel function of the second kind Y_0(x); -inf at 0, NaN for x < 0.\n\n"
                           "Source: DLMF 10.8.2, 10.17.4.")
bessel_y1 = constant_unary("bessel_y1", _y1, "The Bessel function of the second kind Y_1(x); -inf at 0, NaN for x < 0.\n\n"
                           "Source: DLMF 10.8.1, 10.17.4.")


@in_blocks
def _spherical_j0(x: Any) -> Any:
    y = np.sin(x) / x
    y[x == 0] = 1.0
    y[np.isinf(x)] = 0.0
    return y


spherical_bessel_j0 = constant_unary("spherical_bessel_j0", _spherical_j0, "The spherical Bessel function j_0(x) = sin(x) / x, one at 0.\n\n"
                                     "Source: DLMF 10.49.3.")

# ---- Airy's function ----------------------------------------------------------------------------------------------------------


def _airy_decaying(x: Any) -> Any:
    """x > 4: DLMF 9.7.5."""
    root = np.sqrt(x)
    zeta = (2 / 3) * x * root
    return np.exp(-zeta) * horner(interval(1 / zeta, 0, 0.1875), tables.AIRY_FAR) / (2 * math.sqrt(math.pi) * np.sqrt(root))


def _airy_waves(x: Any) -> Any:
    """x < -4: DLMF 9.7.9."""
    root = np.sqrt(-x)
    zeta = (2 / 3) * -x * root
    v = interval(1 / (zeta * zeta), 0, 0.03515625)
    c, s = np.cos(zeta), np.sin(zeta)
    waves = horner(v, tables.AIRY_P) * (s + c) - horner(v, tables.AIRY_Q) / zeta * (c - s)  # of zeta + pi / 4, times sqrt(2)
    return waves * _ROOT_HALF / (math.sqrt(math.pi) * np.sqrt(root))


@in_blocks
def _airy(x: Any) -> Any:
    return by_region(x, ((x >= -4) & (x < 0), lambda u: horner(interval(u, -4, 0), tables.AIRY_LEFT)),
                     ((x >= 0) & (x < 2), lambda u: horner(interval(u, 0, 2), tables.AIRY_RIGHT)),
                     ((x >= 2) & (x < 4), lambda u: horner(interval(u, 2, 4), tables.AIRY_RIGHTER)),
                     ((x >= 4) & (x < np.inf), _airy_decaying), (x < -4, _airy_waves))


airy_ai = constant_unary("airy_ai", _airy, "Airy's function Ai(x), a solution of y'' = x y; NaN at infinity.\n\nSource: DLMF 9.2, 9.7.")
