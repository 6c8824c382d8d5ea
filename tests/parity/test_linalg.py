"""torch.linalg beside torch: errors, what is not finite, empty or singular, types of results, and larger matrices than op_db has."""

from __future__ import annotations

import numpy as np
import pytest

import mytorch

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

REFUSED = [
    "t.linalg.inv(t.zeros(3, 3))", "t.linalg.inv(t.zeros(2, 3, 3))", "t.linalg.inv(t.ones(2, 3))", "t.linalg.inv(t.ones(3))",
    "t.linalg.inv(t.ones(3, 3).long())", "t.linalg.inv(t.ones(3, 3).half())", "t.linalg.solve(t.zeros(3, 3), t.ones(3))",
    "t.linalg.solve(t.zeros(2, 3, 3), t.ones(2, 3))", "t.linalg.solve(t.eye(3), t.ones(4))",
    "t.linalg.solve(t.eye(3), t.ones(3).double())", "t.linalg.cholesky(t.zeros(3, 3))", "t.linalg.cholesky(t.zeros(2, 3, 3))",
    "t.linalg.det(t.ones(3, 2))", "t.linalg.det(t.ones(3))", "t.linalg.svd(t.ones(3))", "t.linalg.svd(t.ones(3, 3).long())",
    "t.linalg.svd(t.full((2, 2), float('nan')))", "t.linalg.svd(t.ones(2, 2), driver='gesvd')", "t.linalg.eigh(t.ones(3))",
    "t.linalg.eigh(t.eye(2), UPLO='X')", "t.linalg.eig(t.full((2, 2), float('nan')))", "t.linalg.qr(t.eye(2), mode='x')",
    "t.qr(t.ones(3))", "t.linalg.lu_factor(t.zeros(3, 3))", "t.linalg.lu_factor(t.eye(3), pivot=False)",
    "t.linalg.matrix_power(t.zeros(3, 3), -1)", "t.linalg.matrix_power(t.eye(3), 1.5)", "t.linalg.matrix_power(t.ones(3), 2)",
    "t.linalg.pinv(t.ones(3))", "t.linalg.pinv(t.ones(2, 3), hermitian=True)", "t.linalg.lstsq(t.ones(3, 2), t.ones(4, 1))",
    "t.linalg.lstsq(t.ones(3, 2), t.ones(3, 1), driver='x')", "t.linalg.lstsq(t.rand(3, 2), t.rand(3, 1).double())",
    "t.linalg.lstsq(t.ones(2, 3), t.ones(2), driver='gels')", "t.linalg.multi_dot([t.ones(2)])",
    "t.linalg.multi_dot([t.ones(2), t.ones(3, 2)])", "t.linalg.multi_dot([t.ones(2, 2, 2), t.ones(3, 2)])",
    "t.linalg.matrix_norm(t.ones(3))", "t.linalg.matrix_norm(t.eye(3), ord=3)", "t.linalg.matrix_norm(t.eye(3), ord='x')",
    "t.linalg.matrix_norm(t.ones(2, 3), dim=(0, 0))", "t.linalg.matrix_norm(t.ones(2, 3), dim=(0, 1, 1))",
    "t.linalg.matrix_norm(t.ones(2, 3).long())", "t.linalg.matrix_norm(t.ones(2, 3).half(), ord=2)",
    "t.linalg.norm(t.ones(2, 3, 4), ord=2)", "t.linalg.norm(t.ones(2, 3, 4), dim=(0, 1, 2))",
    "t.linalg.norm(t.ones(3), ord='fro')", "t.linalg.norm(t.ones(2, 3).long())", "t.linalg.vector_norm(t.ones(3), ord='fro')",
    "t.norm(t.ones(3), p='nuc')", "t.norm(t.ones(2, 3, 4), p='nuc')", "t.linalg.cond(t.ones(3))",
    "t.linalg.cond(t.ones(2, 3), p=1)", "t.linalg.cond(t.eye(3), p='x')", "t.linalg.vecdot(t.ones(3), t.ones(4))",
    "t.linalg.vecdot(t.ones(3), t.ones(3).double())", "t.linalg.vecdot(t.ones(3).long(), t.ones(3).long())",
    "t.linalg.cross(t.ones(4), t.ones(4))", "t.linalg.cross(t.ones(3), t.ones(2, 3))",
    "t.linalg.cross(t.ones(3), t.ones(3).long())", "t.linalg.solve_triangular(t.eye(3), t.ones(3), upper=True)",
    "t.linalg.tensorinv(t.ones(2, 3))", "t.linalg.tensorinv(t.ones(4, 2, 2), ind=0)",
    "t.linalg.tensorsolve(t.ones(2, 3), t.ones(2))", "t.linalg.vander(t.tensor(1.0))", "t.linalg.vander(t.ones(3), N=0)",
    "t.linalg.householder_product(t.ones(2, 3), t.ones(2))", "t.linalg.householder_product(t.ones(3, 2), t.ones(3))",
    "t.linalg.matrix_rank(t.ones(3))", "t.linalg.diagonal(t.ones(3))", "t.matrix_exp(t.ones(3))",
    "t.matrix_exp(t.ones(3, 3).long())", "t.cholesky_solve(t.ones(3), t.eye(3))", "t.renorm(t.ones(3), 2, 0, 1.0)",
    "t.renorm(t.ones(3, 3), -1, 0, 1.0)", "t.renorm(t.ones(3, 3), 2, 0, -1.0)", "t.cov(t.ones(2, 3, 4))",
    "t.cov(t.tensor([True, False]))", "t.corrcoef(t.ones(2, 3, 4))", "t.ormqr(t.ones(3), t.ones(2), t.eye(3))",
    "t.ormqr(t.ones(3, 2), t.ones(3), t.eye(3))", "t.ormqr(t.ones(3, 2), t.ones(2), t.ones(2, 2))", "t.geqrf(t.ones(3))",
    "t.geqrf(t.ones(2, 2).long())", "t.lu_unpack(t.eye(3), t.ones(3))", "t.svd_lowrank(t.ones(3))",
    "t.linalg.lu_solve(t.eye(3), t.ones(3), t.ones(3, 1))", "t.pca_lowrank(t.ones(2, 3), q=5)", "t.eye(3).det(1)",
]


def refusal(lib, call):
    """Class (torch's private names without their underscore) and message of the exception that a call raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is, it is compared
        eval(call, {"t": lib, "float": float})
    return type(caught.value).__name__.lstrip("_"), str(caught.value).split("\n")[0]


@pytest.mark.parametrize("call", REFUSED)
def test_refused_as_torch_refuses(call):
    mine, theirs = refusal(mytorch, call), refusal(torch, call)
    assert mine[0] == theirs[0]
    assert mine[0] == "TypeError" or mine[1][:45] == theirs[1][:45]


GIVEN = [
    "t.linalg.inv_ex(t.zeros(3, 3))", "t.linalg.solve_ex(t.zeros(3, 3), t.ones(3))", "t.linalg.cholesky_ex(-t.eye(3))",
    "t.linalg.slogdet(t.zeros(3, 3))", "t.logdet(-t.eye(3))", "t.linalg.det(t.ones(0, 0))", "t.linalg.inv(t.ones(2, 0, 0))",
    "t.linalg.cond(t.zeros(3, 3), p=1)", "t.linalg.cond(t.zeros(3, 3))", "t.linalg.cond(t.ones(0, 0))",
    "t.linalg.matrix_norm(t.ones(0, 3), ord=2)", "t.linalg.matrix_norm(t.ones(0, 3), ord='nuc')",
    "t.linalg.matrix_norm(t.ones(0, 3), ord=1)", "t.linalg.matrix_rank(t.ones(0, 3))",
    "t.linalg.matrix_rank(t.eye(3), tol=1.0)", "t.linalg.matrix_rank(t.eye(3), atol=0.5, rtol=t.tensor(0.1))",
    "t.linalg.pinv(t.eye(3), rcond=t.tensor([0.1]))", "t.linalg.svdvals(t.ones(2, 0, 3))",
    "t.linalg.svdvals(t.tensor([[1.0, float('inf')], [0.0, 1.0]]))",
    "t.linalg.eigvalsh(t.tensor([[1.0, float('nan')], [1.0, 1.0]]))",
    "t.linalg.solve_triangular(t.zeros(3, 3), t.ones(3, 1), upper=True)", "t.linalg.qr(t.ones(3, 0), mode='complete')",
    "t.linalg.lstsq(t.ones(3, 2), t.ones(3), rcond=1e-3)", "t.linalg.lstsq(t.eye(3)[:, :2], t.ones(3, 1), driver='gels')",
    "t.linalg.lu_factor_ex(t.zeros(3, 3))", "t.lu(t.eye(2), get_infos=True)", "t.lu(t.eye(2))",
    "t.lu_unpack(*t.lu(t.eye(2)), unpack_data=False)", "t.svd(t.ones(3, 2), compute_uv=False)",
    "t.linalg.matrix_power(t.ones(2, 2), 0)", "t.linalg.vander(t.tensor([1, 2], dtype=t.int8), N=3)",
    "t.linalg.multi_dot([t.tensor([1, 2]), t.tensor([[3, 4], [5, 6]])])", "t.cov(t.tensor([1, 2, 3]))", "t.cov(t.tensor(1.0))",
    "t.cov(t.ones(3, 4), correction=5)", "t.corrcoef(t.tensor(1.0))", "t.matrix_exp(t.zeros(2, 0, 0))",
    "t.triangular_solve(t.ones(2, 3, 1), t.eye(3))", "t.geqrf(t.eye(3)[:, :2] + 1)",
    "t.linalg.norm(t.ones(2, 3).half(), ord=1)", "t.norm(t.ones(2, 3, 4), p='nuc', dim=(0, 1))",
    "t.linalg.vector_norm(t.ones(3, 4), dtype=t.float64)", "t.linalg.norm(t.tensor([[1.0, 2.0], [3.0, 4.0]]), 2, keepdim=True)",
    "t.linalg.ldl_factor_ex(t.zeros(2, 2))", "t.linalg.eigh(t.eye(2), 'l').eigenvalues",
]


def parts(result):
    return list(result) if isinstance(result, tuple) else [result]


@pytest.mark.parametrize("call", GIVEN)
def test_given_as_torch_gives(call):
    mine, theirs = (eval(call, {"t": lib, "float": float}) for lib in (mytorch, torch))
    assert type(mine).__name__ == type(theirs).__name__
    assert len(parts(mine)) == len(parts(theirs))
    for a, b in zip(parts(mine), parts(theirs), strict=True):
        assert str(a.dtype) == str(b.dtype)
        np.testing.assert_allclose(a.numpy(), b.numpy(), 1e-4, 1e-5)


@pytest.mark.parametrize("name", [n for n in dir(torch.return_types) if n.startswith("linalg_") and not n.endswith("_out")] + ["svd", "qr", "geqrf"])
def test_types_of_results_have_torchs_names_and_fields(name):
    mine, theirs = getattr(mytorch.return_types, name), getattr(torch.return_types, name)
    filled = theirs(range(theirs.n_sequence_fields))
    assert [getattr(filled, field) for field in mine._fields] == list(range(len(mine._fields)))


def test_every_public_name_of_torch_linalg_is_here():
    skipped = {"Tensor", "common_notes"}
    assert [n for n in dir(torch.linalg) if not n.startswith("_") and n not in skipped and not hasattr(mytorch.linalg, n)] == []


@pytest.mark.parametrize("function", [
    lambda t, x: t.linalg.solve(x, x.mT), lambda t, x: t.linalg.lu_factor(x), lambda t, x: t.linalg.svdvals(x), lambda t, x: t.linalg.qr(x),
    lambda t, x: t.linalg.cholesky(x @ x.mT + t.eye(120)), lambda t, x: t.linalg.slogdet(x), lambda t, x: t.linalg.matrix_exp(x / 10),
    lambda t, x: t.linalg.ldl_factor(x + x.mT), lambda t, x: t.linalg.householder_product(*t.geqrf(x)), lambda t, x: t.linalg.pinv(x[:, :50]),
    lambda t, x: t.linalg.solve_triangular(x + 20 * t.eye(120), x, upper=False),
], ids=["solve", "lu_factor", "svdvals", "qr", "cholesky", "slogdet", "matrix_exp", "ldl", "householder", "pinv", "triangular"])
def test_matrices_of_some_size(function):
    data = np.random.default_rng(0).normal(size=(120, 120))
    found = []
    for lib in (mytorch, torch):
        lib.set_default_dtype(lib.float64)
        try:
            x = lib.from_numpy(data.copy()).requires_grad_("ldl" not in str(function.__code__.co_names) and "geqrf" not in function.__code__.co_names)
            outputs = parts(function(lib, x))
            floats = [y for y in outputs if y.requires_grad]
            grads = [] if not floats else [lib.autograd.grad([(y * y).sum() for y in floats], [x])[0]]
            found.append([y.detach().numpy() for y in [*outputs, *grads]])
        finally:
            lib.set_default_dtype(lib.float32)
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, 1e-6, 1e-6 * np.abs(b).max())


@pytest.mark.parametrize("name", ["svd_lowrank", "pca_lowrank"])
def test_low_rank_draws_as_torch_draws(name):
    """The random start is torch's: a rank too small to be exact gives the same inexact answer."""
    data = np.random.default_rng(0).normal(size=(30, 20))
    found = []
    for lib in (mytorch, torch):
        lib.manual_seed(3)
        u, s, v = getattr(lib, name)(lib.from_numpy(data), q=4, niter=1)
        found.append([u.abs().numpy(), s.numpy(), v.abs().numpy()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, 1e-6, 1e-6)
