"""Shared memory, storages and thin modules do what torch's do: every scenario runs with both packages and must give the same."""

from __future__ import annotations

import importlib
import inspect
import os
import warnings

import numpy as np
import pytest

import mytorch

torch = pytest.importorskip("torch")


def plain(x):
    if isinstance(x, (torch.Tensor, mytorch.Tensor)):
        return str(x.dtype), tuple(x.shape), x.tolist()
    if isinstance(x, dict):
        return {key: plain(value) for key, value in x.items()}
    if isinstance(x, (list, tuple)):
        return [plain(value) for value in x]
    return x


def outcome(scenario, package):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return plain(scenario(package, importlib.import_module(f"{package.__name__}.multiprocessing")))
        except Exception as error:
            return type(error).__name__, str(error).splitlines()[0]


def assert_same(scenario):
    assert outcome(scenario, mytorch) == outcome(scenario, torch)


def sent(mp, *values):
    queue = mp.get_context("fork").SimpleQueue()
    queue.put(values)
    return queue.get()


def parameter(T):
    p = T.nn.Parameter(T.ones(3))
    p.grad = T.ones(3)
    return p


def of_aliases(T, mp):
    x = T.arange(6.0).reshape(2, 3)
    found = sent(mp, x, x[1], x.t(), x)
    x[1, 1] = 9
    return found, found[0] is found[3], [(y.stride(), y.storage_offset(), y.is_shared()) for y in found], x.is_shared()


def of_views(T, mp):
    x = T.zeros(4, 3)
    y, z = x[1:], x.detach()
    y.share_memory_()
    x.add_(1)
    return y, z, [t.is_shared() for t in (x, y, z, x.data, x.t(), x.clone(), x + 1)], y.storage_offset()


def of_a_child(T, mp):
    x = T.zeros(2, 3).share_memory_()
    process = mp.get_context("fork").Process(target=lambda: x.add_(2))
    process.start()
    process.join()
    return x, process.exitcode


def of_a_failure(act):
    def scenario(T, mp):
        with pytest.raises((mp.ProcessRaisedException, mp.ProcessExitedException)) as caught:
            mp.start_processes(lambda index: act(), nprocs=1, start_method="fork")
        error = caught.value
        text = str(error).splitlines()
        return type(error).__name__, text[:3], text[-1], error.error_index, getattr(error, "exit_code", None), getattr(error, "signal_name", None)

    return scenario


SHARED = {
    "aliases": of_aliases,
    "views": of_views,
    "child": of_a_child,
    "parameter": lambda T, mp: [(p, p.grad, p.requires_grad, type(p).__name__) for p in sent(mp, parameter(T))],
    "empty": lambda T, mp: [T.ones(0, 2).share_memory_().is_shared(), sent(mp, T.ones(0, 2))],
    "expanded": lambda T, mp: [(y, y.stride()) for y in sent(mp, T.ones(2, 1).expand(2, 5))],
    "graph": lambda T, mp: sent(mp, T.ones(2, requires_grad=True) * 2),
    "module": lambda T, mp: [sorted(m.state_dict()) for m in sent(mp, T.nn.BatchNorm1d(2))],
    "shared module": lambda T, mp: [t.is_shared() for t in T.nn.BatchNorm1d(2).share_memory().state_dict().values()],
    "strategies": lambda T, mp: [mp.get_sharing_strategy(), sorted(mp.get_all_sharing_strategies())],
    "names": lambda T, mp: sorted(mp.__all__),
    "raises": of_a_failure(lambda: 1 / 0),
    "exits": of_a_failure(lambda: os._exit(3)),
    "killed": of_a_failure(lambda: os.kill(os.getpid(), 9)),
    "interrupted": lambda T, mp: mp.start_processes(lambda index: (_ for _ in ()).throw(KeyboardInterrupt), nprocs=1, start_method="fork"),
}


@pytest.mark.parametrize("name", SHARED)
def test_sharing_is_that_of_torch(name):
    assert_same(SHARED[name])


def of_storages(T, mp):
    x = T.arange(6.0).reshape(2, 3)
    view = x[1:]
    u, s = view.untyped_storage(), view.storage()
    u[0:4].fill_(0)
    return (len(u), u.nbytes(), u.size(), u.element_size(), len(s), s.size(), s.nbytes(), s.element_size(), str(s.dtype), str(s.device), s.tolist(),
            u.tolist(), s[3], u[7], u.data_ptr() == s.data_ptr() == x.data_ptr(), str(s), str(u)[-60:], type(s).__name__, type(u).__name__)


STORAGES = {
    "of a view": of_storages,
    "set to bytes": lambda T, mp: T.empty(0, dtype=T.uint8).set_(T.arange(3).untyped_storage()),
    "set to a part": lambda T, mp: T.empty(0).set_(T.arange(9.0).storage(), 2, (2, 2), (3, 1)),
    "set to a tensor": lambda T, mp: [T.empty(0).set_(T.arange(9.0)), T.empty(0).set_(T.arange(9.0), 4, (3,), (2,)), T.ones(2).set_()],
    "set in order": lambda T, mp: [T.empty(0).set_(T.arange(9.0).storage(), 1, (2, 3)).stride(), T.empty(0).set_(T.arange(3.0).storage(), 1, ())],
    "new": lambda T, mp: [T.ones(1).new(T.ones(2).untyped_storage()), T.ones(1).new(T.arange(2.0).storage())],
    "shared": lambda T, mp: [T.ones(1).untyped_storage()._new_shared(8).is_shared(), T.ones(1)._typed_storage()._new_shared(3).size()],
    "sizes": lambda T, mp: [T.FloatStorage(3).size(), T.FloatStorage([1, 2]).tolist(), T.UntypedStorage(8).nbytes(), T.LongStorage([3]).tolist()],
    "kinds": lambda T, mp: [T.is_storage(x) for x in (T.ones(1).storage(), T.UntypedStorage(1), T.ones(1), 3)],
    "bool": lambda T, mp: T.tensor([True, False]).storage().tolist(),
}


@pytest.mark.parametrize("name", STORAGES)
def test_storage_is_that_of_torch(name):
    assert_same(STORAGES[name])


def of_triangles(T, mp):
    utils = importlib.import_module(f"{T.__name__}.distributions.utils")
    x = T.arange(32.0).reshape(2, 4, 4)
    vectors = [utils.tril_matrix_to_vec(x, d) for d in range(-3, 4)]
    return vectors, [utils.vec_to_tril_matrix(v, d) for v, d in zip(vectors[:4], range(-3, 1))]


def of_probabilities(T, mp):
    utils = importlib.import_module(f"{T.__name__}.distributions.utils")
    p = T.tensor([0.0, 0.25, 0.5, 1.0], dtype=T.float64)
    values = utils.clamp_probs(p), utils.probs_to_logits(p), utils.probs_to_logits(p, True), utils.logits_to_probs(p), utils.logits_to_probs(p, True)
    T.manual_seed(0)
    return [[round(v, 12) for v in x.tolist()] for x in values], utils._sum_rightmost(T.arange(8.0).reshape(2, 2, 2), 2), utils.euler_constant


@pytest.mark.parametrize("scenario", [of_triangles, of_probabilities])
def test_tools_of_distributions_are_those_of_torch(scenario):
    assert_same(scenario)


@pytest.mark.parametrize("path", ["hub.load", "hub.list", "hub.help", "hub.load_state_dict_from_url", "hub.download_url_to_file", "hub.set_dir",
                                  "multiprocessing.start_processes", "multiprocessing.spawn", "multiprocessing.set_sharing_strategy"])
def test_parameters_are_those_of_torch(path):
    def parameters(package):
        module, _, name = path.rpartition(".")
        signature = inspect.signature(getattr(importlib.import_module(f"{package}.{module}"), name))
        return [(p.name, p.kind, p.default) for p in signature.parameters.values()]

    assert parameters("mytorch") == parameters("torch")


@pytest.mark.parametrize("path", ["functional", "types", "storage", "hub", "multiprocessing", "distributions.utils"])
def test_public_names_are_those_of_torch(path):
    ours, theirs = (set(importlib.import_module(f"{package}.{path}").__all__) for package in ("mytorch", "torch"))
    assert ours == theirs


def test_arrays_of_numpy_keep_their_values():
    x = mytorch.from_numpy(np.arange(3.0))
    array = x.numpy()
    x.share_memory_().zero_()
    assert array.tolist() == [0, 1, 2]
