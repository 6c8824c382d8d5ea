"""Where the coefficients of mytorch/ops/special_tables.py come from: fits by interpolation at Chebyshev's points, in 50 digits.

    PYTHONPATH=. python tests/parity/special_fits.py > mytorch/ops/special_tables.py

writes the tables anew; it needs mpmath. Each row is a function on an interval, given as a polynomial in t, which runs from -1 to 1 over
the interval.
"""

from __future__ import annotations

import mpmath as mp

# Trefethen, Approximation Theory and Approximation Practice (2013), chapter 3: interpolation at the points cos(pi (j + 1/2) / n).
DIGITS = 50
SMALL = 1e-17  # what the neglected coefficients may add up to, in units of the largest value


def chebyshev(function, low, high, count):
    """The coefficients of T_0 ... T_(count - 1) of the interpolating polynomial."""
    values = []
    for j in range(count):
        t = mp.cos(mp.pi * (j + mp.mpf(1) / 2) / count)
        values.append(function((low + high) / 2 + t * (high - low) / 2))
    return [(2 if k else 1) * mp.fsum(v * mp.cos(mp.pi * k * (j + mp.mpf(1) / 2) / count) for j, v in enumerate(values)) / count
            for k in range(count)]


def powers(c):
    """The same polynomial in powers of t, highest first."""
    total = [mp.mpf(0)] * len(c)
    before, now = [mp.mpf(1)], [mp.mpf(0), mp.mpf(1)]  # T_0, T_1
    for k, coefficient in enumerate(c):
        term = before if k == 0 else now
        if k > 1:
            term = [mp.mpf(0), *[2 * a for a in now]]
            for i, b in enumerate(before):
                term[i] -= b
            before, now = now, term
        for i, a in enumerate(term):
            total[i] += coefficient * a
    return [float(a) for a in reversed(total)]


def fit(function, low, high, count=48):
    """The shortest polynomial that is as exact as float64 needs."""
    with mp.workdps(DIGITS):
        low, high = mp.mpf(low), mp.mpf(high)
        c = chebyshev(function, low, high, count)
        largest = max(abs(a) for a in c)
        keep = count
        while keep > 1 and mp.fsum(abs(a) for a in c[keep - 1:]) < SMALL * largest:
            keep -= 1
        if keep > count - 2:
            raise ValueError(f"{count} points are not enough")
        return powers(c[:keep])


# ---- the functions ------------------------------------------------------------------------------------------------------------


def lgamma_over_distance(d):
    """log Gamma(2 + d) / d."""
    return mp.loggamma(2 + d) / d if d else 1 - mp.euler


def inverse_erf(w):
    """erfinv(x) / x where (1 - x)(1 + x) = e^-w."""
    q = mp.exp(-w) / (1 + mp.sqrt(1 - mp.exp(-w)))  # 1 - x, without cancellation
    if q > mp.mpf("0.01"):
        return mp.erfinv(1 - q) / (1 - q)
    y = mp.sqrt(-mp.log(q * mp.sqrt(-mp.pi * mp.log(q))))  # erfc(y) is about e^(-y^2) / (y sqrt(pi))
    for _ in range(60):  # Newton's method for log erfc(y) = log q
        e = mp.erfc(y)
        step = (mp.log(e) - mp.log(q)) * e * mp.sqrt(mp.pi) / 2 * mp.exp(y * y)
        y += step
        if abs(step) < mp.mpf(10) ** (8 - DIGITS):
            break
    return y / (1 - q)


def hankel(order, part):
    """P and Q of the asymptotic form: J + i Y = sqrt(2 / (pi x)) (P + i Q) e^(i (x - (order / 2 + 1 / 4) pi)), of v = (1 / x)^2."""
    def value(v):
        x = 1 / mp.sqrt(v)
        turn = mp.exp(-1j * (x - (mp.mpf(order) / 2 + mp.mpf(1) / 4) * mp.pi))
        h = (mp.besselj(order, x) + 1j * mp.bessely(order, x)) * turn * mp.sqrt(mp.pi * x / 2)
        return h.real if part == "P" else h.imag * x
    return value


def y0_regular(z):
    """Y0(x) - 2 / pi log(x) J0(x), of z = x^2."""
    x = mp.sqrt(z)
    return mp.bessely(0, x) - 2 / mp.pi * mp.log(x) * mp.besselj(0, x)


def y1_regular(z):
    """(Y1(x) - 2 / pi (log(x) J1(x) - 1 / x)) / x, of z = x^2."""
    x = mp.sqrt(z)
    return (mp.bessely(1, x) - 2 / mp.pi * (mp.log(x) * mp.besselj(1, x) - 1 / x)) / x


def airy_decay(v):
    """Ai(x) 2 sqrt(pi) x^(1/4) e^zeta, of v = 1 / zeta, zeta = 2/3 x^(3/2)."""
    zeta = 1 / v
    x = (3 * zeta / 2) ** (mp.mpf(2) / 3)
    return mp.airyai(x) * 2 * mp.sqrt(mp.pi) * x ** mp.mpf("0.25") * mp.exp(zeta)


def airy_wave(part):
    """P and Q zeta of Ai(-x) = (P sin(zeta + pi / 4) - Q cos(zeta + pi / 4)) / (sqrt(pi) x^(1/4)), of v = 1 / zeta^2."""
    def value(v):
        zeta = 1 / mp.sqrt(v)
        x = (3 * zeta / 2) ** (mp.mpf(2) / 3)
        turn = mp.exp(-1j * (zeta + mp.pi / 4)) * mp.sqrt(mp.pi) * x ** mp.mpf("0.25")
        h = (mp.airybi(-x) + 1j * mp.airyai(-x)) * turn  # Bi(-x) = P cos + Q sin, Ai(-x) = P sin - Q cos
        return h.real if part == "P" else -h.imag * zeta
    return value


ROWS = [
    ("LGAMMA", "log Gamma(2 + d) / d,  -0.5 <= d <= 1", lgamma_over_distance, "-0.5", "1"),
    ("ERFINV_CENTRE", "erfinv(x) / x of w = -log(1 - x^2),  0 <= w <= 6.25", inverse_erf, "0", "6.25"),
    ("ERFINV_MIDDLE", "the same of sqrt(w),  2.5 <= sqrt(w) <= 4", lambda s: inverse_erf(s * s), "2.5", "4"),
    ("ERFINV_TAIL", "the same,  4 <= sqrt(w) <= 6.25", lambda s: inverse_erf(s * s), "4", "6.25"),
    ("ERFINV_FAR", "the same,  6.25 <= sqrt(w) <= 12.5", lambda s: inverse_erf(s * s), "6.25", "12.5"),
    ("ERFINV_FARTHEST", "the same,  12.5 <= sqrt(w) <= 27.5", lambda s: inverse_erf(s * s), "12.5", "27.5"),
    ("I0_FAR", "sqrt(x) e^-x I0(x) of 1 / x,  x >= 8", lambda u: mp.sqrt(1 / u) * mp.exp(-1 / u) * mp.besseli(0, 1 / u), "0", "0.125"),
    ("I1_FAR", "sqrt(x) e^-x I1(x) of 1 / x,  x >= 8", lambda u: mp.sqrt(1 / u) * mp.exp(-1 / u) * mp.besseli(1, 1 / u), "0", "0.125"),
    ("K0_FAR", "sqrt(x) e^x K0(x) of 1 / x,  x >= 2", lambda u: mp.sqrt(1 / u) * mp.exp(1 / u) * mp.besselk(0, 1 / u), "0", "0.5"),
    ("K1_FAR", "sqrt(x) e^x K1(x) of 1 / x,  x >= 2", lambda u: mp.sqrt(1 / u) * mp.exp(1 / u) * mp.besselk(1, 1 / u), "0", "0.5"),
    ("J0_NEAR", "J0(x) of x^2,  x <= 8", lambda z: mp.besselj(0, mp.sqrt(z)), "0", "64"),
    ("J1_NEAR", "J1(x) / x of x^2,  x <= 8", lambda z: mp.besselj(1, mp.sqrt(z)) / mp.sqrt(z), "0", "64"),
    ("Y0_NEAR", "Y0(x) - 2 / pi log(x) J0(x) of x^2,  x <= 8", y0_regular, "0", "64"),
    ("Y1_NEAR", "(Y1(x) - 2 / pi (log(x) J1(x) - 1 / x)) / x of x^2,  x <= 8", y1_regular, "0", "64"),
    ("P0", "P of order 0 of 1 / x^2,  x >= 8", hankel(0, "P"), "0", "0.015625"),
    ("Q0", "x Q of order 0 of 1 / x^2,  x >= 8", hankel(0, "Q"), "0", "0.015625"),
    ("P1", "P of order 1 of 1 / x^2,  x >= 8", hankel(1, "P"), "0", "0.015625"),
    ("Q1", "x Q of order 1 of 1 / x^2,  x >= 8", hankel(1, "Q"), "0", "0.015625"),
    ("AIRY_RIGHT", "Ai(x),  0 <= x <= 2", mp.airyai, "0", "2"),
    ("AIRY_RIGHTER", "Ai(x),  2 <= x <= 4", mp.airyai, "2", "4"),
    ("AIRY_LEFT", "Ai(x),  -4 <= x <= 0", mp.airyai, "-4", "0"),
    ("AIRY_FAR", "Ai(x) 2 sqrt(pi) x^(1/4) e^zeta of 1 / zeta,  zeta = 2/3 x^(3/2) >= 16/3", airy_decay, "0", "0.1875"),
    ("AIRY_P", "P of Ai(-x) of 1 / zeta^2,  zeta >= 16/3", airy_wave("P"), "0", "0.03515625"),
    ("AIRY_Q", "zeta Q of Ai(-x) of 1 / zeta^2,  zeta >= 16/3", airy_wave("Q"), "0", "0.03515625"),
]


def table(name, what, function, low, high):
    """One row as Python text."""
    found = fit(function, low, high)
    lines = [f"{name} = (  # {what}"]
    for i in range(0, len(found), 5):
        lines.append("    " + ", ".join(repr(a) for a in found[i:i + 5]) + ",")
    return "\n".join([*lines, ")"])


def main():
    """Print the module of tables."""
    print('"""Polynomials for special functions, highest power first, in t from -1 to 1 over the interval named; see special_functions.interval.\n')
    print("Fits by interpolation at Chebyshev's points in 50 digits, made by tests/parity/special_fits.py, where a test makes them again.\n\"\"\"\n")
    print("from __future__ import annotations\n\n__mytorch__ = True\n")
    print("\n".join(table(*row) for row in ROWS))


if __name__ == "__main__":
    main()
