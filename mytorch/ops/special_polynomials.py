"""Orthogonal polynomials of x, of a degree n that may differ from element to element.

All follow from a recurrence in three terms, p_(k+1) = (a_k x + b_k) p_k - c_k p_(k-1); Chebyshev's, inside their interval and of higher
degrees, also from cosines. A degree that is not whole is cut to one; a negative one gives 0, as in torch.
Source: Digital Library of Mathematical Functions, 18.9.1 (recurrences) and 18.5.1-4 (Chebyshev's), https://dlmf.nist.gov.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mytorch.ops.special_functions import in_blocks
from mytorch.ops.special_rows import constant_binary

__mytorch__ = True


def _recurrence(x: Any, n: Any, first: Any, step: Callable[[int, Any, Any, Any], Any]) -> Any:
    """p_n(x) from p_0 = 1, p_1 = first and p_(k+1) = step(k, x, p_k, p_(k-1)), each element up to its own degree."""
    y = np.where(n < 0, 0.0, np.where(n == 0, 1.0, first))
    before, now = np.ones_like(x), first
    for k in range(1, int(n.max()) if n.size else 0):
        before, now = now, step(k, x, now, before)
        there = n == k + 1
        y[there] = now[there]
        if np.isnan(now).all():
            y[n > k] = np.nan
            break
    return y


def _degrees(n: Any) -> Any:
    whole = np.trunc(n)
    return np.where(np.isnan(whole), -1, np.clip(whole, -1, 2 ** 31)).astype(np.int64)


def _made(first: Callable[[Any], Any], step: Callable[[int, Any, Any, Any], Any], most: int | None = None) -> Any:
    """A kernel from a recurrence; from the degree `most` on, the values would overflow and are NaN."""
    @in_blocks
    def run(x: Any, n: Any) -> Any:
        degree = _degrees(n)
        beyond = degree > most if most is not None else np.zeros(x.shape, bool)
        y = _recurrence(x, np.where(beyond, 0, degree), first(x), step)
        y[beyond] = np.nan
        return y
    return run


# ---- Chebyshev's --------------------------------------------------------------------------------------------------------------


def _chebyshev(first: Callable[[Any], Any], angles: Callable[[Any, Any], Any], right: Callable[[Any], Any], left: Callable[[Any], Any],
               low: int, shifted: bool) -> Any:
    """A kernel for one of the four kinds.

    Args:
        first: p_1.
        angles: p_n(cos t) of n and t, for |x| < 1 and degrees above `low`, where the recurrence would take long.
        right, left: the values at 1 and, but for the sign (-1)^n, at -1.
        shifted: the polynomial of 2 x - 1, on [0, 1].
    """
    @in_blocks
    def run(x: Any, n: Any) -> Any:
        if shifted:
            x = x + x - 1
        degree = _degrees(n)
        quick = (np.abs(x) < 1) & (degree > low)
        y = _recurrence(x, np.where(quick, 0, degree), first(x), lambda k, x, now, before: 2 * x * now - before)
        if quick.any():
            y[quick] = angles(degree[quick], np.arccos(x[quick]))
        ends = degree >= 0
        y = np.where(ends & (x == 1), right(degree), y)
        return np.where(ends & (x == -1), np.where(degree % 2 == 0, 1.0, -1.0) * left(degree), y)
    return run


def _one(n: Any) -> Any:
    return np.ones(n.shape)


_KINDS: dict[str, Any] = {
    "t": (lambda x: x, lambda n, t: np.cos(n * t), _one, _one, 6),
    "u": (lambda x: 2 * x, lambda n, t: np.sin((n + 1) * t) / np.sin(t), lambda n: n + 1.0, lambda n: n + 1.0, 8),
    "v": (lambda x: 2 * x - 1, lambda n, t: np.cos((n + 0.5) * t) / np.cos(0.5 * t), _one, lambda n: 2 * n + 1.0, 8),
    "w": (lambda x: 2 * x + 1, lambda n, t: np.sin((n + 0.5) * t) / np.sin(0.5 * t), lambda n: 2 * n + 1.0, _one, 8),
}
_TEXTS = {"t": "cos(n t)", "u": "sin((n + 1) t) / sin(t)", "v": "cos((n + 1/2) t) / cos(t / 2)", "w": "sin((n + 1/2) t) / sin(t / 2)"}


def _kind(letter: str, shifted: bool) -> Any:
    name = f"{'shifted_' if shifted else ''}chebyshev_polynomial_{letter}"
    of = "2 x - 1" if shifted else "x"
    doc = f"Chebyshev's polynomial {letter.upper()}_n({of}): {_TEXTS[letter]} where {of} = cos(t).\n\nSource: DLMF 18.5.1-4, 18.9.1."
    first, angles, right, left, low = _KINDS[letter]
    return constant_binary(name, _chebyshev(first, angles, right, left, low, shifted), doc)


chebyshev_polynomial_t, chebyshev_polynomial_u = _kind("t", False), _kind("u", False)
chebyshev_polynomial_v, chebyshev_polynomial_w = _kind("v", False), _kind("w", False)
shifted_chebyshev_polynomial_t, shifted_chebyshev_polynomial_u = _kind("t", True), _kind("u", True)
shifted_chebyshev_polynomial_v, shifted_chebyshev_polynomial_w = _kind("v", True), _kind("w", True)

# ---- Hermite's, Laguerre's, Legendre's ----------------------------------------------------------------------------------------

hermite_polynomial_h = constant_binary(
    "hermite_polynomial_h", _made(lambda x: 2 * x, lambda k, x, now, before: 2 * x * now - 2 * k * before, 512),
    "The physicists' Hermite polynomial H_n(x); NaN above degree 512.\n\nSource: DLMF 18.9.1.")
hermite_polynomial_he = constant_binary(
    "hermite_polynomial_he", _made(lambda x: x, lambda k, x, now, before: x * now - k * before, 512),
    "The probabilists' Hermite polynomial He_n(x); NaN above degree 512.\n\nSource: DLMF 18.9.1.")
laguerre_polynomial_l = constant_binary(
    "laguerre_polynomial_l", _made(lambda x: 1 - x, lambda k, x, now, before: ((2 * k + 1 - x) * now - k * before) / (k + 1)),
    "Laguerre's polynomial L_n(x).\n\nSource: DLMF 18.9.1.")
legendre_polynomial_p = constant_binary(
    "legendre_polynomial_p", _made(lambda x: x, lambda k, x, now, before: ((2 * k + 1) * x * now - k * before) / (k + 1)),
    "Legendre's polynomial P_n(x).\n\nSource: DLMF 18.9.1.")
