"""Ready parametrizations: weight normalisation, spectral normalisation, orthogonal matrices."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from mytorch import linalg
from mytorch.grad_mode import no_grad
from mytorch.nn.module import Module
from mytorch.nn.utils.parametrize import register_parametrization
from mytorch.nn.utils.spectral_norm import as_matrix, output_dim
from mytorch.ops.create import eye, zeros_like
from mytorch.ops.least_squares import geqrf
from mytorch.ops.norm import normalize
from mytorch.ops.random import randn
from mytorch.ops.second_names import norm_except_dim
from mytorch.ops.shape import cat
from mytorch.tensor import Tensor

if TYPE_CHECKING:
    from typing import Any

__mytorch__ = True

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


# ---- orthogonal ---------------------------------------------------------------------------------------------------------------


def _is_orthogonal(q: Any, eps: float | None = None) -> bool:
    """Are the columns orthonormal, up to rounding?"""
    from mytorch.dtypes import finfo
    from mytorch.ops.comparison import allclose

    n, k = q.shape[-2:]
    tolerance = 10.0 * n * finfo(q.dtype).eps if eps is None else eps
    return bool(allclose(q.mH @ q, eye(k, dtype=q.dtype).expand(*q.shape[:-2], k, k), atol=tolerance))


def _make_orthogonal(a: Any) -> Any:
    """The nearest-by-columns orthonormal matrix: Q of A = QR, with the signs that make R's diagonal positive."""
    packed, tau = geqrf(a)
    q = linalg.householder_product(packed, tau)
    return q * packed.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)


class _OrthMaps(Enum):
    matrix_exp = auto()
    cayley = auto()
    householder = auto()


class _Orthogonal(Module):
    """A square of any numbers to an orthogonal matrix, by one of three maps."""

    base: Any

    def __init__(self, weight: Tensor, orthogonal_map: _OrthMaps, *, use_trivialization: bool = True) -> None:
        super().__init__()
        if weight.is_complex() and orthogonal_map is _OrthMaps.householder:
            raise ValueError("The householder parametrization does not support complex tensors.")
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Any) -> Any:  # noqa: N803
        n, k = X.shape[-2:]
        wide = n < k
        if wide:
            X, n, k = X.mT, k, n  # noqa: N806
        q = self._by_reflections(X) if self.orthogonal_map is _OrthMaps.householder else self._by_skew_matrix(X, n, k)
        if hasattr(self, "base"):
            q = self.base @ q
        return q.mT if wide else q

    def _by_skew_matrix(self, x: Any, n: int, k: int) -> Any:
        """exp(A), or the Cayley transform (I - A/2)^-1 (I + A/2), of the skew-Hermitian A = tril(X) - tril(X)^H; its first k columns."""
        x = x.tril()
        if n != k:
            x = cat([x, x.new_zeros((*x.shape[:-2], n, n - k))], -1)  # (..., n, n)
        skew = x - x.mH
        if self.orthogonal_map is _OrthMaps.matrix_exp:
            q = linalg.matrix_exp(skew)
        else:
            one = eye(n, dtype=skew.dtype, device=skew.device)
            q = linalg.solve(one - skew * 0.5, one + skew * 0.5)
        return q if n == k else q[..., :k]

    def _by_reflections(self, x: Any) -> Any:
        """A product of the Householder reflections I - tau v v^T, tau = 2 / (v^T v), whose v are the columns of X below the diagonal."""
        below = x.tril(-1)
        tau = 2.0 / (1.0 + (below * below).sum(-2))
        q = linalg.householder_product(below, tau)
        return q * x.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)  # the diagonal holds signs: integers pass no gradient

    def right_inverse(self, Q: Any) -> Any:  # noqa: N803
        if Q.shape != self.shape:
            raise ValueError(f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of shape {Q.shape}.")
        n, k = Q.shape[-2:]
        wide = n < k
        q, n, k = (Q.mT, k, n) if wide else (Q, n, k)
        start = self._start_from_base(q, n, k) if hasattr(self, "base") else self._reflections_of(q)
        return start.mT if wide else start

    def _reflections_of(self, q: Any) -> Any:
        """What `_by_reflections` maps to Q: possible for any Q with orthonormal columns; for others, to the Q of its QR."""
        if self.orthogonal_map is not _OrthMaps.householder:
            raise NotImplementedError("It is not possible to assign to the matrix exponential or the Cayley parametrizations when "
                                      "use_trivialization=False.")
        packed, tau = geqrf(q)
        diagonal = packed.diagonal(dim1=-2, dim2=-1)
        diagonal.sign_()
        diagonal[tau == 0.0] *= -1  # no reflection was needed there; the map's has tau = 2
        return packed

    def _start_from_base(self, q: Any, n: int, k: int) -> Any:
        """Remember Q as the base, and start at what each of the maps takes to the identity."""
        if n == k:
            base = q.clone() if _is_orthogonal(q) else _make_orthogonal(q)
        else:
            more = randn((*q.shape[:-2], n, n - k), dtype=q.dtype, device=q.device)
            base = _make_orthogonal(cat([q, more], -1))
        self.base = base
        start = zeros_like(base)
        start.diagonal(dim1=-2, dim2=-1).fill_(-1.0)  # n reflections of signs -1, and a skew part of 0
        return start[..., :k]


def orthogonal(module: Module, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True) -> Module:
    """Keep a matrix (or a batch of them) orthogonal: its columns, or its rows where there are fewer, are orthonormal.

    Args:
        name: the parameter, (..., n, k).
        orthogonal_map: how a free matrix becomes orthogonal. "matrix_exp": exp(A), "cayley": (I - A/2)^-1 (I + A/2), both of a
            skew-symmetric A; "householder": a product of reflections. None: the first for square and complex matrices, else the last.
        use_trivialization: multiply by a fixed base, so that the start is near the weight there was.
    Returns:
        The module.
    Raises:
        ValueError: if there is no such parameter, it has less than two dimensions, or the map is unknown or for real matrices only.
    Source: Lezcano-Casado 2019, arXiv:1909.09501; Mhammedi et al. 2017, arXiv:1612.00188
    """
    weight = _tensor_of(module, name)
    if weight.dim() < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.dim()} dimensions.")
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.shape[-2] == weight.shape[-1] or weight.is_complex() else "householder"
    if orthogonal_map not in _OrthMaps.__members__:
        raise ValueError(f'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: {orthogonal_map}')
    layer = _Orthogonal(weight, _OrthMaps[orthogonal_map], use_trivialization=use_trivialization)
    return register_parametrization(module, name, layer, unsafe=True)


def _tensor_of(module: Module, name: str) -> Tensor:
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    return weight


# ---- weight normalisation -----------------------------------------------------------------------------------------------------


class _WeightNorm(Module):
    """g * v / ||v||, the norm over all dimensions but `dim`."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Any, weight_v: Any) -> Any:
        return weight_v * (weight_g / norm_except_dim(weight_v, 2, self.dim))

    def right_inverse(self, weight: Any) -> Any:
        return norm_except_dim(weight, 2, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Train a parameter's length and direction apart: w = g * v / ||v||.

    Args:
        name: the parameter; `parametrizations.<name>.original0` is g, `original1` is v. Checkpoints of the older
            `nn.utils.weight_norm` load, too.
        dim: the dimension that keeps a length of its own for each index; None for one length in all.
    Returns:
        The module.
    Raises:
        ValueError: if there is no such parameter.
    Source: Salimans, Kingma 2016, eq. 2, arXiv:1602.07868
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        old = [f"{prefix}{name}_{part}" for part in ("g", "v")]
        if all(key in state_dict for key in old):
            for i, key in enumerate(old):
                state_dict[f"{prefix}parametrizations.{name}.original{i}"] = state_dict.pop(key)

    module._register_load_state_dict_pre_hook(rename)
    return module


# ---- spectral normalisation ---------------------------------------------------------------------------------------------------


class _SpectralNorm(Module):
    """W / sigma, sigma from the power method, whose vectors are buffers."""

    _u: Any
    _v: Any

    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        ndim = weight.dim()
        if not -ndim <= dim < ndim:
            raise IndexError(f"Dimension out of range (expected to be in range of [-{ndim}, {ndim - 1}] but got {dim})")
        if n_power_iterations <= 0:
            raise ValueError(f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}")
        self.dim = dim % ndim
        self.eps = eps
        if ndim > 1:  # of a vector, sigma is its norm
            self.n_power_iterations = n_power_iterations
            matrix = self._reshape_weight_to_matrix(weight)
            rows, columns = matrix.shape
            u = matrix.new_empty(rows).normal_(0, 1)
            v = matrix.new_empty(columns).normal_(0, 1)
            self.register_buffer("_u", normalize(u, dim=0, eps=eps))
            self.register_buffer("_v", normalize(v, dim=0, eps=eps))
            self._power_method(matrix, 15)

    def _reshape_weight_to_matrix(self, weight: Tensor) -> Any:
        return as_matrix(weight, self.dim)

    def _power_method(self, weight_mat: Any, n_power_iterations: int) -> None:
        with no_grad():
            for _ in range(n_power_iterations):
                self._u.copy_(normalize(weight_mat.mv(self._v), dim=0, eps=self.eps))
                self._v.copy_(normalize(weight_mat.mH.mv(self._u), dim=0, eps=self.eps))

    def forward(self, weight: Any) -> Any:
        if weight.dim() == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = self._reshape_weight_to_matrix(weight)
        if self.training:
            self._power_method(matrix, self.n_power_iterations)
        # backward of this pass must not see the next pass write to the buffers
        u, v = self._u.clone(), self._v.clone()
        return weight / u.vdot(matrix.mv(v))

    def right_inverse(self, value: Any) -> Any:
        return value  # normalising a normalised weight changes nothing


def spectral_norm(module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None) -> Module:
    """Divide a parameter by its largest singular value, found by the power method.

    W / sigma,  sigma = u^T W v;  per reading in training: u <- W v / ||W v||, v <- W^T u / ||W^T u||

    Args:
        name: the parameter.
        n_power_iterations: steps of the power method each time the weight is read in training.
        eps: the least norm that u and v are divided by.
        dim: the dimension of outputs; 1 for transposed convolutions, else 0.
    Returns:
        The module.
    Raises:
        ValueError: if there is no such parameter, or n_power_iterations is not positive. IndexError: if there is no dimension `dim`.
    Source: Miyato et al. 2018, algorithm 1, arXiv:1802.05957
    """
    weight = _tensor_of(module, name)
    layer = _SpectralNorm(weight, n_power_iterations, output_dim(module) if dim is None else dim, eps)
    return register_parametrization(module, name, layer)
