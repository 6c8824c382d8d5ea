"""Decompositions give back their matrix, derivatives along symmetric directions are slopes, and failures are named."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import mytorch
from tests.gradients import gradcheck, gradgradcheck


def matrices(*shape, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    data = rng.normal(size=shape)
    if dtype.startswith("complex"):
        data = data + 1j * rng.normal(size=shape)
    return mytorch.from_numpy(data.astype(dtype))


def close(a, b, tolerance=1e-9):
    np.testing.assert_allclose(a.numpy(), b.numpy(), tolerance, tolerance)


DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])


def tolerance_of(dtype):
    return 1e-3 if dtype in ("float32", "complex64") else 1e-8


# ---- factors multiply to the matrix -------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("shape", [(2, 5, 5), (5, 3), (3, 5), (90, 70), (70, 90), (0, 3), (2, 0, 0)])
def test_p_times_l_times_u_is_the_matrix(shape, dtype):
    a = matrices(*shape, dtype=dtype)
    p, low, up = mytorch.linalg.lu(a)
    close(p @ low @ up, a, tolerance_of(dtype))
    assert low.abs().max() <= 1 + 1e-6 or dtype.startswith("complex") if a.numel() else True


@DTYPES
@pytest.mark.parametrize("shape", [(2, 5, 5), (5, 3), (3, 5), (4, 0)])
def test_svd_and_qr_give_the_matrix_back(shape, dtype):
    a = matrices(*shape, dtype=dtype)
    for full in (True, False):
        u, s, vh = mytorch.linalg.svd(a, full_matrices=full)
        k = s.shape[-1]
        close((u[..., :, :k] * s.unsqueeze(-2)) @ vh[..., :k, :], a, tolerance_of(dtype))
    for mode in ("reduced", "complete"):
        q, r = mytorch.linalg.qr(a, mode)
        close(q @ r, a, tolerance_of(dtype))
        close(q.mH @ q, mytorch.eye(q.shape[-1], dtype=q.dtype).expand(*q.shape[:-2], -1, -1), tolerance_of(dtype))


@DTYPES
@pytest.mark.parametrize("n", [1, 5, 40])
@pytest.mark.parametrize("hermitian", [False, True])
def test_ldl_solves_indefinite_systems(n, hermitian, dtype):
    a = matrices(3, n, n, dtype=dtype)
    a = a + (a.mH if hermitian else a.mT)
    a[0].fill_diagonal_(0) if n > 1 else None  # every step then needs a block of two rows
    b = matrices(n, 2, dtype=dtype, seed=1)
    factors, pivots = mytorch.linalg.ldl_factor(a, hermitian=hermitian)
    x = mytorch.linalg.ldl_solve(factors, pivots, b, hermitian=hermitian)
    close(a @ x, b.expand(3, -1, -1), tolerance_of(dtype) * 100)
    assert n == 1 or bool((pivots[0] < 0).any())


@DTYPES
@pytest.mark.parametrize("size", [3, 100])
def test_triangular_systems_read_one_triangle(size, dtype):
    a = matrices(2, size, size, dtype=dtype) / size + 2 * mytorch.eye(size, dtype=getattr(mytorch, dtype))
    b = matrices(size, 3, dtype=dtype, seed=1)
    for up, part in ((True, a.triu()), (False, a.tril())):
        close(part @ mytorch.linalg.solve_triangular(a, b, upper=up), b.expand(2, -1, -1), tolerance_of(dtype))
        close(mytorch.linalg.solve_triangular(a, b.mT, upper=up, left=False) @ part, b.mT.expand(2, -1, -1), tolerance_of(dtype))


def test_reflections_of_geqrf_multiply_to_q():
    a = matrices(2, 60, 40)
    packed, tau = mytorch.geqrf(a)
    q = mytorch.linalg.householder_product(packed, tau)
    close(q @ packed.triu()[..., :40, :], a)
    close(mytorch.ormqr(packed, tau, a, True, True)[..., :40, :], packed.triu()[..., :40, :])


def test_exponential_of_a_rotation():
    for angle in (0.1, 3.0, 200.0):
        a = mytorch.tensor([[0.0, -angle], [angle, 0.0]], dtype=mytorch.float64)
        turn = mytorch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        close(mytorch.matrix_exp(a), turn, 1e-11)


def test_least_squares_is_orthogonal_to_the_columns():
    a, b = matrices(3, 6, 4), matrices(3, 6, 2, seed=1)
    found = mytorch.linalg.lstsq(a, b, driver="gelsd")
    rest = b - a @ found.solution
    assert (a.mT @ rest).abs().max() < 1e-12
    close(found.residuals, (rest * rest).sum(-2))
    assert found.rank.tolist() == [4, 4, 4]


def test_multi_dot_takes_the_cheapest_order():
    xs = [matrices(2, 300), matrices(300, 1), matrices(1, 300), matrices(300, 2)]
    close(mytorch.linalg.multi_dot(xs), xs[0] @ xs[1] @ xs[2] @ xs[3], 1e-9)


# ---- derivatives along symmetric directions -----------------------------------------------------------------------------------


def hermitian_part(x):
    return (x + x.mH) / 2


def definite_part(x):
    return hermitian_part(x) + 6 * mytorch.eye(3, dtype=x.dtype)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("function", [
    lambda x: mytorch.linalg.cholesky(definite_part(x)),
    lambda x: mytorch.linalg.cholesky(definite_part(x), upper=True).real,
    lambda x: mytorch.linalg.eigvalsh(hermitian_part(x), "U"),
    lambda x: mytorch.linalg.eigh(hermitian_part(x)).eigenvectors.abs(),
    lambda x: mytorch.linalg.pinv(hermitian_part(x), hermitian=True),
    lambda x: mytorch.cholesky_solve(mytorch.ones(3, 1, dtype=x.dtype), mytorch.linalg.cholesky(definite_part(x))),
    lambda x: mytorch.cholesky_inverse(mytorch.linalg.cholesky(definite_part(x))),
    lambda x: mytorch.linalg.eig(x).eigenvectors.abs(),
    lambda x: mytorch.linalg.eig(x).eigenvalues,
    lambda x: mytorch.linalg.svd(x)[0].abs(),
    lambda x: mytorch.linalg.matrix_exp(x),
    lambda x: mytorch.linalg.det(x),
    lambda x: mytorch.linalg.qr(x).R.abs(),
], ids=["cholesky", "upper", "eigvalsh", "eigh", "pinv", "cholesky_solve", "cholesky_inverse", "eig", "eigenvalues", "svd", "matrix_exp",
        "det", "qr"])
def test_derivatives_are_slopes(function, dtype):
    x = matrices(3, 3, dtype=dtype).requires_grad_()
    gradcheck(function, [x])
    gradgradcheck(function, [x], atol=1e-4)


def test_what_depends_on_the_phase_is_refused():
    x = matrices(3, 3, dtype="complex128").requires_grad_()
    weight = matrices(3, 3, dtype="complex128", seed=1)
    for vectors in (mytorch.linalg.eigh(x + x.mH).eigenvectors, mytorch.linalg.eig(x).eigenvectors, mytorch.linalg.svd(x).U):
        with pytest.raises(RuntimeError, match="specified up to multiplication by e"):
            (vectors * weight).sum().abs().backward()


def test_determinant_of_a_singular_matrix_has_the_cofactors_as_gradient():
    x = mytorch.tensor([[1.0, 2.0], [2.0, 4.0]], requires_grad=True)
    mytorch.linalg.det(x).backward()
    close(x.grad, mytorch.tensor([[4.0, -2.0], [-2.0, 1.0]]), 1e-5)


# ---- what fails says so -------------------------------------------------------------------------------------------------------


def test_singular_matrices_raise_their_own_error():
    singular = mytorch.zeros(2, 2, 2)
    singular[0] = mytorch.eye(2)
    for function in (mytorch.linalg.inv, mytorch.linalg.cholesky, lambda x: mytorch.linalg.solve(x, x)):
        with pytest.raises(mytorch.linalg.LinAlgError, match="Batch element 1"):
            function(singular)
    assert mytorch.linalg.inv_ex(singular).info.tolist() == [0, 1]
    assert mytorch.linalg.cholesky_ex(singular).info.tolist() == [0, 1]
    close(mytorch.linalg.inv_ex(singular).inverse[0], mytorch.eye(2))


def test_one_matrix_that_is_not_finite_leaves_the_others_of_its_batch():
    a = matrices(3, 4, 4)
    a[1, 2, 2] = np.inf
    s = mytorch.linalg.svdvals(a)
    assert s[1].isnan().all()
    close(s[0], mytorch.linalg.svdvals(a[0]))
    with pytest.raises(mytorch.linalg.LinAlgError, match="non-finite"):
        mytorch.linalg.svdvals(a * np.nan)


def test_results_have_names():
    y = mytorch.linalg.svd(matrices(2, 3))
    assert isinstance(y, mytorch.return_types.linalg_svd)
    assert y.S is y[1]
    assert repr(y).startswith("torch.return_types.linalg_svd(\nU=")


def test_the_family_loads_when_it_is_first_touched():
    code = "import sys, mytorch; assert 'mytorch.ops.decompositions' not in sys.modules; mytorch.eye(2).det(); " \
           "assert 'mytorch.ops.solvers' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_forward_mode_and_vmap_reach_decompositions():
    import mytorch.func as func
    turned = mytorch.tensor([[0.0, -1.0, 0.3], [1.0, 0.0, 0.1], [0.2, 0.4, 1.0]], dtype=mytorch.float64)
    step = matrices(3, 3, seed=2)
    for function in (lambda x: mytorch.linalg.eigvals(x).abs(), lambda x: mytorch.linalg.lu(x).U, mytorch.linalg.svdvals, mytorch.linalg.inv):
        _, slope = func.jvp(function, (turned,), (step,))
        measured = (function(turned + 1e-6 * step) - function(turned - 1e-6 * step)) / 2e-6
        close(slope, measured, 1e-6)
        several = matrices(4, 3, 3)
        close(func.vmap(function)(several), mytorch.stack([function(x) for x in several]))
