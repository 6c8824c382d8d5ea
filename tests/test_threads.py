"""Backward in many threads at once: no gradient is lost, whatever they share."""

from __future__ import annotations

import sys
import threading

import pytest

import mytorch as torch
from mytorch.utils.checkpoint import checkpoint

THREADS = 8


@pytest.fixture(autouse=True)
def switch_often():
    """Let Python change threads every few microseconds, so that races show."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(work, count=THREADS):
    """Run work(0) ... work(count - 1), each in a thread, all started at once; the first error is raised here."""
    barrier, errors = threading.Barrier(count), []

    def run(i):
        try:
            barrier.wait()
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def whole_numbers(*shape):
    """Random integers as floats: their sums do not depend on the order."""
    return torch.randint(-4, 5, shape).float()


def test_shared_parameters_get_the_sum_that_one_thread_would_give():
    w, b = whole_numbers(6, 4).requires_grad_(), whole_numbers(4).requires_grad_()
    inputs = [[whole_numbers(5, 6) for _ in range(30)] for _ in range(THREADS)]

    def work(i):
        for x in inputs[i]:
            (x @ w + b).relu().sum().backward()

    for i in range(THREADS):
        work(i)
    expected = w.grad.clone(), b.grad.clone()
    w.grad = b.grad = None
    in_threads(work)
    assert torch.equal(w.grad, expected[0]) and torch.equal(b.grad, expected[1])


def test_the_first_gradient_of_a_leaf_is_not_overwritten():
    for _ in range(50):
        w = torch.zeros(3, requires_grad=True)
        in_threads(lambda i, w=w: (w * (i + 1)).sum().backward())
        assert w.grad.tolist() == [36.0] * 3  # 1 + 2 + ... + 8


def test_a_module_trains_in_threads_as_it_does_alone():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()
    inputs = [torch.randn(10, 4, dtype=torch.float64) for _ in range(THREADS)]
    for x in inputs:
        net(x).square().sum().backward()
    expected = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    in_threads(lambda i: net(inputs[i]).square().sum().backward())
    for p, e in zip(net.parameters(), expected):
        torch.testing.assert_close(p.grad, e)


def test_one_graph_may_be_walked_by_all_if_it_is_retained():
    w = whole_numbers(5).requires_grad_()
    shared = w * w
    middle = shared * 3
    middle.retain_grad()
    losses = [(middle * float(i)).sum() for i in range(THREADS)]
    in_threads(lambda i: losses[i].backward(retain_graph=True))
    assert torch.equal(w.grad, 28 * 6 * w.detach())  # d(3 w^2 i)/dw = 6 w i, 0 + 1 + ... + 7 = 28
    assert middle.grad.tolist() == [28.0] * 5


def test_hooks_run_once_per_backward_and_their_replacements_count():
    w = torch.ones(2, requires_grad=True)
    calls, after = [], []
    w.register_hook(lambda g: (calls.append(threading.get_ident()), g * 2)[1])
    w.register_post_accumulate_grad_hook(lambda p: after.append(threading.get_ident()))

    def work(i):
        for _ in range(20):
            (w * 3).sum().backward()

    in_threads(work)
    assert len(calls) == len(after) == THREADS * 20 and len(set(calls)) == THREADS
    assert w.grad.tolist() == [3.0 * 2 * 20 * THREADS] * 2


def test_multi_grad_hooks_keep_the_walks_of_threads_apart():
    a, b = torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)
    got = []
    with torch.autograd.graph.register_multi_grad_hook((a, b), lambda grads: got.append([g.item() for g in grads])):
        in_threads(lambda i: [(a * i + b * -i).sum().backward() for _ in range(20)])
    assert sorted(got) == sorted([float(i), float(-i)] for i in range(THREADS) for _ in range(20))


def test_autograd_grad_returns_each_thread_its_own():
    w = torch.ones(3, requires_grad=True)
    found = {}

    def work(i):
        found[i] = [torch.autograd.grad((w ** 2 * i).sum(), w)[0].tolist() for _ in range(20)]

    in_threads(work)
    assert w.grad is None
    assert all(found[i] == [[2.0 * i] * 3] * 20 for i in range(THREADS))


def test_create_graph_accumulates_without_loss():
    w = torch.full((2,), 2.0, requires_grad=True)
    in_threads(lambda i: (w ** 3).sum().backward(create_graph=True))
    assert w.grad.tolist() == [12.0 * THREADS] * 2  # 3 w^2
    (second,) = torch.autograd.grad(w.grad.sum(), w)
    assert second.tolist() == [12.0 * THREADS] * 2  # 6 w


def test_modes_belong_to_their_thread():
    seen = {}

    def work(i):
        with torch.set_grad_enabled(i % 2 == 0):
            y = torch.ones(1, requires_grad=True) * 2
            seen[i] = y.requires_grad, torch.is_grad_enabled()

    with torch.no_grad():
        in_threads(work)
        assert not torch.is_grad_enabled()
    assert all(seen[i] == (i % 2 == 0, i % 2 == 0) for i in range(THREADS))


def test_checkpointed_functions_are_recomputed_in_each_thread():
    w = whole_numbers(4, 4).requires_grad_()
    inputs = [whole_numbers(3, 4) for _ in range(THREADS)]

    def loss(x, checkpointed):
        step = lambda v: (v @ w).relu()  # noqa: E731
        return (checkpoint(step, x, use_reentrant=False, preserve_rng_state=False) if checkpointed else step(x)).sum()

    for x in inputs:
        loss(x, False).backward()
    expected, w.grad = w.grad.clone(), None
    in_threads(lambda i: loss(inputs[i], True).backward())
    assert torch.equal(w.grad, expected)


def test_a_checkpointed_graph_may_be_walked_by_all_if_it_is_retained():
    w = torch.full((3,), 2.0, requires_grad=True)
    y = checkpoint(lambda v: ((v * v) * v).sum(), w, use_reentrant=False, preserve_rng_state=False)
    in_threads(lambda i: [y.backward(retain_graph=True) for _ in range(10)])
    assert w.grad.tolist() == [12.0 * 10 * THREADS] * 3  # 3 w^2


def test_saved_tensor_hooks_of_a_graph_that_threads_share():
    w = torch.full((3,), 2.0, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda x: x.tolist(), lambda v: torch.tensor(v)):
        y = (w * w).sum()
    in_threads(lambda i: [y.backward(retain_graph=True) for _ in range(10)])
    assert w.grad.tolist() == [4.0 * 10 * THREADS] * 3


def test_a_user_function_runs_backward_in_all_threads():
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 2 * (x == x)

    w = torch.ones(2, requires_grad=True)
    in_threads(lambda i: [Double.apply(w).sum().backward() for _ in range(10)])
    assert w.grad.tolist() == [2.0 * 10 * THREADS] * 2


def test_an_error_in_one_thread_leaves_the_others_alone():
    w = torch.ones(2, requires_grad=True)

    def work(i):
        y = (w * 2).exp()
        if i == 0:
            y.register_hook(lambda g: g[:1])
            with pytest.raises(RuntimeError, match="changed the size"):
                y.sum().backward()
        else:
            (w * 5).sum().backward()

    in_threads(work)
    assert w.grad.tolist() == [5.0 * (THREADS - 1)] * 2


def test_anomaly_detection_is_on_in_all_threads():
    with torch.autograd.set_detect_anomaly(True):
        def work(i):
            with pytest.raises(RuntimeError, match="returned nan"):
                (torch.zeros(1, requires_grad=True).sqrt() * 0).backward()

        in_threads(work, 2)


def test_batches_of_views_and_writes_in_place_in_threads():
    base = whole_numbers(8, 4).requires_grad_()

    def loss(i):
        y = base * 1
        y[i].mul_(2.0)
        return y[i:i + 1].sum() + y.sum()

    for i in range(THREADS):
        loss(i).backward()
    expected, base.grad = base.grad.clone(), None
    in_threads(lambda i: loss(i).backward())
    assert torch.equal(base.grad, expected)
