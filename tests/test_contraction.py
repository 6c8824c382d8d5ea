"""Sums of products on arrays give what NumPy's einsum gives, whatever the order of the letters."""

from __future__ import annotations

import numpy as np
import pytest

from mytorch.ops import contraction
from mytorch.ops.contraction import contract

SIZES = {"a": 3, "b": 4, "c": 5, "d": 2, "e": 6, "f": 1}
EQUATIONS = ["ab,bc->ac", "ab,bc->ca", "ba,bc->ac", "ab,cb->ac", "abc,abd->acd", "abc,abd->cad", "abc,bad->dca", "abde,acde->abc", "acde,abc->abde",
             "abc,abc->", "abc,abc->b", "ab,ab->ab", "ab,cd->abcd", "ab,cd->dbca", "ab,cd->", "a,b->ab", "a,a->", "abc,d->", "abcd,cbe->aed",
             "af,fb->ab", "fab,fbc->fac", "ab->ba", "ab->", "ab->a", ",ab->ba", "ab,bc,cd->ad", "ab,ac,ad->bcd", "abc,cd,de,b->ae", "ab,bc,ca->",
             "ab,b->a", "a,ab->b", "cab,dab->cd", "cab,dab->dc"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.int64])
@pytest.mark.parametrize("equation", EQUATIONS)
def test_contractions_are_numpys(equation, dtype):
    left, result = equation.split("->")
    terms = tuple(left.split(","))
    rng = np.random.default_rng(0)
    operands = [(rng.standard_normal([SIZES[letter] for letter in term]) * 9).astype(dtype) for term in terms]
    y = contract(*operands, terms=terms, result=result)
    wanted = np.einsum(equation, *[x.astype(np.complex128) for x in operands])
    assert y.shape == wanted.shape
    assert y.dtype == dtype
    assert y.flags.c_contiguous
    assert not any(np.may_share_memory(y, x) for x in operands)
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("equation", EQUATIONS)
def test_products_of_matrices_are_the_same_sums(equation, monkeypatch):
    monkeypatch.setattr(contraction, "_FEW", 1)
    test_contractions_are_numpys(equation, np.float32)


def test_operands_in_any_order_of_memory():
    a, b = (np.random.default_rng(i).standard_normal((7, 6, 5, 4)).astype(np.float32) for i in range(2))
    y = contract(a.transpose(3, 1, 0, 2), b.transpose(3, 0, 1, 2), terms=("abcd", "acbe"), result="aed")
    np.testing.assert_allclose(y, np.einsum("abcd,acbe->aed", a.transpose(3, 1, 0, 2), b.transpose(3, 0, 1, 2)), rtol=1e-4, atol=1e-4)


def test_empty_operands_sum_to_nothing():
    y = contract(np.zeros((3, 0), np.float32), np.zeros((0, 4), np.float32), terms=("ab", "bc"), result="ac")
    np.testing.assert_array_equal(y, np.zeros((3, 4), np.float32))
