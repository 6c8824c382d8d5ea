"""Packed sequences: the layout, the way back, gradients at the right places, refusals."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mytorch as torch
from mytorch.autograd_engine import grad
from mytorch.nn import util
from mytorch.nn.util import (
    PackedSequence,
    invert_permutation,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    pad_sequence,
    unpack_sequence,
    unpad_sequence,
)


def sequences_of(lengths, width=2):
    return [torch.arange(float(n * width)).reshape(n, width) + 100 * i for i, n in enumerate(lengths)]


def test_rows_are_all_first_steps_then_all_second_steps():
    packed = pack_sequence([torch.tensor([1, 2, 3]), torch.tensor([4, 5]), torch.tensor([6])])
    assert packed.data.tolist() == [1, 4, 6, 2, 5, 3]
    assert packed.batch_sizes.tolist() == [3, 2, 1]
    assert packed.sorted_indices is None
    assert packed.unsorted_indices is None


def test_sequences_of_one_length_keep_their_order():
    packed = pack_sequence([torch.tensor([1]), torch.tensor([2, 3]), torch.tensor([4]), torch.tensor([5, 6])], enforce_sorted=False)
    assert packed.sorted_indices.tolist() == [1, 3, 0, 2]
    assert packed.unsorted_indices.tolist() == [2, 0, 3, 1]
    assert packed.data.tolist() == [2, 5, 1, 4, 3, 6]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.booleans())
def test_packing_and_padding_undo_each_other(lengths, batch_first):
    sequences = sequences_of(lengths)
    padded = pad_sequence(sequences, batch_first=batch_first, padding_value=-7.0)
    packed = pack_padded_sequence(padded, lengths, batch_first=batch_first, enforce_sorted=False)
    assert packed.data.shape == (sum(lengths), 2)
    again, found = pad_packed_sequence(packed, batch_first=batch_first, padding_value=-7.0)
    assert found.tolist() == lengths
    assert torch.equal(again, padded)
    for a, b in zip(unpack_sequence(packed), sequences, strict=True):
        assert torch.equal(a, b)
    for a, b in zip(unpad_sequence(padded, found, batch_first=batch_first), sequences, strict=True):
        assert torch.equal(a, b)


def test_padding_gets_no_gradient_and_every_step_its_own():
    x = torch.randn(4, 3, 2).requires_grad_()
    packed = pack_padded_sequence(x, [2, 4, 1], enforce_sorted=False)
    g = torch.arange(1.0, 15.0).reshape(7, 2)
    (found,) = grad(packed.data, x, g)
    assert not found[2:, 0].any()
    assert not found[1:, 2].any()
    order = [(0, 1), (0, 0), (0, 2), (1, 1), (1, 0), (2, 1), (3, 1)]
    for row, place in enumerate(order):
        assert torch.equal(found[place], g[row])


def test_padding_and_packing_are_twice_differentiable():
    x = torch.randn(3, 2, 2, dtype=torch.float64).requires_grad_()
    packed = pack_padded_sequence(x, [1, 3], enforce_sorted=False)
    padded, _ = pad_packed_sequence(packed, padding_value=2.0)
    (first,) = grad((padded**3).sum(), x, create_graph=True)
    (second,) = grad(first.sum(), x)
    inside = torch.tensor([[True, True], [False, True], [False, True]])[..., None]
    assert torch.allclose(first, torch.where(inside, 3 * x**2, x * 0))
    assert torch.allclose(second, torch.where(inside, 6 * x, x * 0))


def test_pad_sequence_hands_each_sequence_its_part_of_the_gradient():
    for side in ("left", "right"):
        a, b = torch.randn(2, 3).requires_grad_(), torch.randn(4, 3, dtype=torch.float64).requires_grad_()
        padded = pad_sequence([a, b], batch_first=True, padding_side=side)
        assert padded.dtype is torch.float32
        g = torch.randn(2, 4, 3)
        for_a, for_b = grad(padded, [a, b], g)
        assert torch.equal(for_a, g[0, 2:] if side == "left" else g[0, :2])
        assert for_b.dtype is torch.float64
        assert torch.equal(for_b, g[1].double())


def test_sixteen_bit_floats_are_padded_with_their_value():
    for dtype in (torch.float16, torch.bfloat16):
        x = torch.ones(2, 1, dtype=dtype).requires_grad_()
        padded = pad_sequence([x, torch.ones(3, 1, dtype=dtype)], padding_value=0.5)
        assert padded.dtype is dtype
        assert padded[:, 0, 0].tolist() == [1, 1, 0.5]
        padded.sum().backward()
        assert x.grad.tolist() == [[1], [1]]
        packed = pack_padded_sequence(padded, [2, 3], enforce_sorted=False)
        assert pad_packed_sequence(packed, padding_value=-2.0)[0][:, 0, 0].tolist() == [1, 1, -2]


def test_steps_behind_the_longest_sequence_are_cut_off():
    packed = pack_padded_sequence(torch.arange(8).reshape(4, 2), [2, 1])
    assert packed.data.tolist() == [0, 1, 2]
    assert packed.batch_sizes.tolist() == [2, 1]


def test_total_length_pads_further():
    padded, lengths = pad_packed_sequence(pack_sequence([torch.tensor([1, 2]), torch.tensor([3])]), batch_first=True, total_length=4)
    assert padded.tolist() == [[1, 2, 0, 0], [3, 0, 0, 0]]
    assert lengths.tolist() == [2, 1]


def test_unpadded_sequences_are_copies():
    padded = torch.zeros(3, 2)
    unpad_sequence(padded, torch.tensor([3, 2]))[0].add_(1)
    assert not padded.any()


def test_lengths_longer_than_the_input_are_refused():
    with pytest.raises(RuntimeError, match="at most 3, the steps of input"):
        pack_padded_sequence(torch.zeros(3, 2), [4, 1])


def test_trailing_sizes_that_differ_are_named():
    with pytest.raises(RuntimeError, match=r"sequence 1 \(2, 3\)"):
        pad_sequence([torch.zeros(2, 2), torch.zeros(2, 3)])


def test_a_packed_sequence_is_a_tuple_with_names():
    packed = pack_sequence(sequences_of([3, 1]))
    data, batch_sizes, order, inverse = packed
    assert data is packed.data
    assert batch_sizes is packed.batch_sizes
    assert order is None
    assert inverse is None
    assert repr(packed).startswith("PackedSequence(data=tensor(")


def test_a_packed_sequence_is_copied_and_pickled_whole():
    packed = pack_sequence(sequences_of([1, 3]), enforce_sorted=False)
    for twin in (copy.deepcopy(packed), pickle.loads(pickle.dumps(packed))):
        assert type(twin) is PackedSequence
        assert torch.equal(twin.data, packed.data)
        assert torch.equal(twin.unsorted_indices, packed.unsorted_indices)


def test_conversion_keeps_the_layout():
    packed = pack_sequence(sequences_of([1, 3]), enforce_sorted=False)
    for name, dtype in (("double", torch.float64), ("half", torch.float16), ("long", torch.int64), ("int", torch.int32),
                        ("short", torch.int16), ("char", torch.int8), ("byte", torch.uint8)):
        converted = getattr(packed, name)()
        assert converted.data.dtype is dtype
        assert converted.sorted_indices is packed.sorted_indices
        assert converted.batch_sizes is packed.batch_sizes
    assert packed.float() is packed
    assert packed.to(torch.float32) is packed
    assert packed.cpu() is packed


def test_invert_permutation_undoes_a_permutation():
    p = torch.randperm(20)
    assert torch.equal(p[invert_permutation(p)], torch.arange(20))


def test_torchs_path_has_the_same_names():
    from mytorch.nn.utils import rnn
    for name in util.__all__:
        assert getattr(rnn, name) is getattr(util, name)
    assert rnn.__all__ == util.__all__
