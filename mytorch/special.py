"""Special functions, under torch's names: `mytorch.special.erfcx(x)`. See ops/special_*.py."""
# ruff: noqa: I001 - a face: names are imported to be re-exported

from __future__ import annotations

from mytorch.ops.arithmetic import (
    erf as erf, erfc as erfc, exp2 as exp2, expm1 as expm1, log1p as log1p, logit as logit, round as round, sigmoid,
    sinc as sinc, xlogy as xlogy,
)
from mytorch.ops.softmax import log_softmax as log_softmax, softmax as softmax
from mytorch.ops.special_bessel import (
    airy_ai as airy_ai, bessel_j0 as bessel_j0, bessel_j1 as bessel_j1, bessel_y0 as bessel_y0, bessel_y1 as bessel_y1, i0 as i0,
    i0e as i0e, i1 as i1, i1e as i1e, modified_bessel_i0 as modified_bessel_i0, modified_bessel_i1 as modified_bessel_i1,
    modified_bessel_k0 as modified_bessel_k0, modified_bessel_k1 as modified_bessel_k1,
    scaled_modified_bessel_k0 as scaled_modified_bessel_k0, scaled_modified_bessel_k1 as scaled_modified_bessel_k1,
    spherical_bessel_j0 as spherical_bessel_j0,
)
from mytorch.ops.special_gamma import (
    digamma as digamma, lgamma, mvlgamma, polygamma as polygamma, zeta as zeta,
)
from mytorch.ops.special_incomplete import igamma, igammac
from mytorch.ops.special_normal import (
    entr as entr, erfcx as erfcx, erfinv as erfinv, log_ndtr as log_ndtr, ndtr as ndtr, ndtri as ndtri, xlog1py as xlog1py,
)
from mytorch.ops.special_polynomials import (
    chebyshev_polynomial_t as chebyshev_polynomial_t, chebyshev_polynomial_u as chebyshev_polynomial_u,
    chebyshev_polynomial_v as chebyshev_polynomial_v, chebyshev_polynomial_w as chebyshev_polynomial_w,
    hermite_polynomial_h as hermite_polynomial_h, hermite_polynomial_he as hermite_polynomial_he,
    laguerre_polynomial_l as laguerre_polynomial_l, legendre_polynomial_p as legendre_polynomial_p,
    shifted_chebyshev_polynomial_t as shifted_chebyshev_polynomial_t, shifted_chebyshev_polynomial_u as shifted_chebyshev_polynomial_u,
    shifted_chebyshev_polynomial_v as shifted_chebyshev_polynomial_v, shifted_chebyshev_polynomial_w as shifted_chebyshev_polynomial_w,
)
from mytorch.ops.statistics import logsumexp as logsumexp

__mytorch__ = True
expit = sigmoid
psi, gammaln, multigammaln = digamma, lgamma, mvlgamma
gammainc, gammaincc = igamma, igammac
