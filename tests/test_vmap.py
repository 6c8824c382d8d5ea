"""vmap against the loop over examples, for every row of the table of operations; and what vmap itself promises."""

from __future__ import annotations

import numpy as np
import pytest

import mytorch
from mytorch.func import functional_call, grad, jvp, vjp, vmap
from mytorch.func.pytree import flatten, unflatten
from tests.gradients import tensors_of
from tests.samples import Maker, rows

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")

SIZE = 3
# What depends on values in its shape, calls Python with values, or exchanges memory, is refused; `x[mask]` where the mask is mapped.
REFUSED = {"unique", "unique_consecutive", "nonzero", "argwhere", "masked_select", "Tensor.__getitem__", "Tensor.resize_", "Tensor.resize_as_",
           "Tensor.resize", "Tensor.map_", "Tensor.map2_", "embedding_renorm_"}
# What looks at the memory behind a tensor: it differs where the batch is not the first dimension.
OF_MEMORY = {"as_strided", "as_strided_copy", "as_strided_scatter", "Tensor.as_strided_", "Tensor.view", "Tensor.view_as"}


def examples(sample):
    """The leaves of the arguments of some calls of a row that differ in their values alone, and the function of those leaves."""
    calls = []
    for i in range(SIZE):
        maker = Maker(mytorch, sample.name if i == 0 else f"{sample.name} {i}", grad=False)
        calls.append((sample.args(maker), sample.keywords(maker)))
    leaves = [flatten(call)[0] for call in calls]
    spec = flatten(calls[0])[1]

    def function(*values):
        args, kwargs = unflatten(spec, values)
        return tuple(tensors_of(sample.call(mytorch, args, kwargs)))

    return leaves, function


def mapped_places(leaves):
    """Which leaves are Tensors of one shape in all examples."""
    columns = enumerate(zip(*leaves, strict=True))
    return [i for i, column in columns if all(isinstance(x, mytorch.Tensor) and x.shape == column[0].shape for x in column)]


def float_places(leaves):
    return [i for i in mapped_places(leaves) if leaves[0][i].is_floating_point() or leaves[0][i].is_complex()]


def batch_of(leaves, places, dim=0):
    """One call's leaves, with those at `places` stacked along `dim` (the last, if they have fewer dimensions), and the in_dims."""
    first, dims = list(leaves[0]), [None] * len(leaves[0])
    for i in places:
        dims[i] = min(dim, first[i].dim())
        first[i] = mytorch.stack([row[i] for row in leaves], dims[i])
    return first, tuple(dims)


def loop(function, leaves, places):
    """The results of all examples, stacked; None where an example is refused, or shapes differ."""
    try:
        results = [function(*[row[i] if i in places else x for i, x in enumerate(leaves[0])]) for row in leaves]
        return [mytorch.stack([y.detach() for y in column]) for column in zip(*results, strict=True)]
    except (RuntimeError, IndexError, ValueError):
        return None


def assert_close(found, expected):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert (a.dtype, tuple(a.shape)) == (b.dtype, tuple(b.shape))
        if a.dtype == mytorch.bfloat16:
            a, b = a.float(), b.float()
        loose = {mytorch.bfloat16: 1e-2, mytorch.float16: 2e-3, mytorch.float32: 1e-5, mytorch.complex64: 1e-5}.get(a.dtype, 1e-9)
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), loose, loose)


def weights(y, seed=0):
    """Numbers of the shape and dtype of y."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(-1, 1, tuple(y.shape))
    if y.is_complex():
        values = values + 1j * rng.uniform(-1, 1, tuple(y.shape))
    return mytorch.from_numpy(np.asarray(values)).to(y.dtype)


def writes_in_place(sample):
    return sample.name.startswith("Tensor.") and sample.name.endswith("_") and not sample.name.endswith("__") and sample.name not in REFUSED


def refused(function, dims, batch):
    """Does vmap say no, in its own words?"""
    try:
        vmap(function, in_dims=dims)(*batch)
    except RuntimeError as error:
        return "vmap: " in str(error) or "view size is not compatible" in str(error)
    return False


# ---- every operation ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("sample", rows(lambda s: not s.random))
def test_vmap_equals_the_loop(sample, dim):
    if dim and sample.name in OF_MEMORY:
        pytest.skip("the memory of an example is another")
    leaves, function = examples(sample)
    places = mapped_places(leaves)
    for chosen in ([places, places[:1], places[1:]] if len(places) > 1 else [places] if places else []):
        batch, dims = batch_of(leaves, chosen, dim)
        expected = loop(function, leaves, chosen)
        if expected is None and sample.name not in REFUSED:
            continue
        if writes_in_place(sample) and places[0] not in chosen:
            with pytest.raises(RuntimeError, match="vmap: inplace arithmetic"):
                vmap(function, in_dims=dims)(*batch)
            continue
        if sample.name not in REFUSED or not refused(function, dims, batch):
            assert_close(vmap(function, in_dims=dims)(*batch), expected)


@pytest.mark.parametrize("sample", rows(lambda s: s.grad and not s.random))
def test_gradient_through_vmap_equals_that_of_the_loop(sample):
    leaves, function = examples(sample)
    places = float_places(leaves)
    batch, dims = batch_of(leaves, mapped_places(leaves))
    if not places or sample.name in REFUSED | OF_MEMORY:
        return
    inputs = [batch[i].requires_grad_() for i in places]
    one_by_one = [function(*[x if d is None else x.select(d, k) for x, d in zip(batch, dims, strict=True)]) for k in range(SIZE)]
    expected = [mytorch.stack(list(column)) for column in zip(*one_by_one, strict=True)]
    found = vmap(function, in_dims=dims)(*batch)
    gradients = []
    for outputs in (expected, found):
        outputs = [y for y in outputs if y.requires_grad]
        if not outputs:
            return
        try:
            gradients.append(mytorch.autograd.grad(outputs, inputs, [weights(y, n) for n, y in enumerate(outputs)], materialize_grads=True))
        except NotImplementedError:  # a derivative by one of the inputs is not known
            if outputs is found:
                raise
            return
    assert_close(*gradients)


@pytest.mark.parametrize("sample", rows(lambda s: s.grad and not s.random))
def test_a_batch_of_gradients_at_once_equals_one_by_one(sample):
    leaves, function = examples(sample)
    places = float_places(leaves)
    inputs = [leaves[0][i].requires_grad_() for i in places]
    outputs = [y for y in function(*leaves[0]) if y.requires_grad]
    if not outputs:
        return
    batches = [mytorch.stack([weights(y, 10 * n + k) for k in range(SIZE)]) for n, y in enumerate(outputs)]

    def gradients(given, **options):
        return mytorch.autograd.grad(outputs, inputs, given, retain_graph=True, allow_unused=True, **options)

    try:
        expected = [gradients([batch[k] for batch in batches]) for k in range(SIZE)]
    except NotImplementedError:  # a derivative by one of the inputs is not known
        return
    found = gradients(batches, is_grads_batched=True)
    pairs = [(d, mytorch.stack(list(column))) for d, column in zip(found, zip(*expected, strict=True), strict=True) if None not in (d, column[0])]
    assert_close([d for d, _ in pairs], [e for _, e in pairs])


@pytest.mark.parametrize("transform", ["jvp", "vjp"])
@pytest.mark.parametrize("sample", rows(lambda s: s.grad and s.twice and not s.random))
def test_vmap_of_a_derivative_equals_the_loop(sample, transform):
    leaves, function = examples(sample)
    places = float_places(leaves)
    if not places or sample.name in REFUSED:
        return
    count = len(leaves[0])
    rows_ = [[*row, *[weights(row[i], n) for n, i in enumerate(places)]] for row in leaves]

    def derivative(*values):
        def of_floats(*chosen):
            full = list(values[:count])
            for i, x in zip(places, chosen, strict=True):
                full[i] = x
            return tuple(y for y in function(*full) if y.is_floating_point() or y.is_complex())

        primals = tuple(values[i] for i in places)
        if transform == "jvp":
            return jvp(of_floats, primals, values[count:])[1]
        outputs, pull_back = vjp(of_floats, *primals)
        return pull_back(tuple(y.detach() for y in outputs))

    mapped = [*mapped_places(leaves), *range(count, len(rows_[0]))]
    expected = loop(derivative, rows_, mapped)
    if expected is None:
        return
    batch, dims = batch_of(rows_, mapped)
    assert_close(vmap(derivative, in_dims=dims)(*batch), expected)


def test_every_rule_is_that_of_an_operation():
    import gc
    import importlib
    import pkgutil

    from mytorch.autograd_engine import Op
    from mytorch.func.batching_rules import RULES

    for module in pkgutil.walk_packages(mytorch.ops.__path__, "mytorch.ops."):
        importlib.import_module(module.name)
    importlib.import_module("mytorch.autograd.forward_ad")
    assert set(RULES) <= {found.name for found in gc.get_objects() if isinstance(found, Op)}


# ---- levels -------------------------------------------------------------------------------------------------------------------


def test_vmap_of_vmap_is_an_outer_product():
    x, y = mytorch.randn(3, 4), mytorch.randn(5, 4)
    found = vmap(lambda a: vmap(lambda b: mytorch.dot(a, b))(y))(x)
    assert_close([found], [x @ y.T])
    assert_close([vmap(vmap(mytorch.dot, in_dims=(None, 0)), in_dims=(0, None), out_dims=1)(x, y)], [(x @ y.T).T])


def test_gradient_inside_vmap_is_one_of_each_example():
    x, w = mytorch.randn(5, 4), mytorch.randn(4)
    found = vmap(grad(lambda w, v: (w * v).sum().sin()), in_dims=(None, 0))(w, x)
    assert_close([found], [x * (x @ w).cos().unsqueeze(1)])


def test_gradient_of_what_closes_over_mapped_values():
    c, z = mytorch.randn(3, 4), mytorch.randn(4)
    assert_close([vmap(lambda c: grad(lambda z: (z * c).sin().sum())(z))(c)], [(z * c).cos() * c])
    inner = vmap(lambda a: vmap(lambda b: grad(lambda z: (z * a * b).sum())(z))(c))(c)
    assert_close([inner], [c.unsqueeze(1) * c.unsqueeze(0)])


def test_gradient_of_an_outside_tensor_asked_for_inside_is_one_of_each_example():
    w = mytorch.randn(4, requires_grad=True)
    x = mytorch.randn(3, 4)
    found = vmap(lambda v: mytorch.autograd.grad((w * v).sin().sum(), w)[0])(x)
    assert_close([found], [(w * x).cos() * x])


def test_gradients_flow_out_of_vmap_to_mapped_and_unmapped_arguments():
    x, w = mytorch.randn(3, 4, requires_grad=True), mytorch.randn(4, requires_grad=True)
    vmap(lambda v: (v * w).sum())(x).sum().backward()
    assert_close([x.grad, w.grad], [w.expand(3, 4), x.sum(0)])


def test_second_derivative_through_batched_gradients():
    x = mytorch.randn(4, dtype=mytorch.float64, requires_grad=True)
    d, = mytorch.autograd.grad(x ** 3, x, mytorch.eye(4, dtype=mytorch.float64), is_grads_batched=True, create_graph=True)
    assert_close([d], [mytorch.diag(3 * x ** 2)])
    d.sum().backward()
    assert_close([x.grad], [6 * x])


def test_batched_gradients_refuse_other_shapes():
    x = mytorch.randn(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="If `is_grads_batched=True`"):
        mytorch.autograd.grad(x * 2, x, mytorch.ones(5, 4), is_grads_batched=True)


LAYERS = {
    "Linear": (lambda nn: nn.Linear(4, 3), (2, 4)), "Conv1d": (lambda nn: nn.Conv1d(4, 6, 3, padding=1, groups=2), (2, 4, 9)),
    "Conv2d": (lambda nn: nn.Conv2d(2, 4, 3, stride=2), (1, 2, 9, 9)), "Conv3d": (lambda nn: nn.Conv3d(2, 2, 2), (1, 2, 4, 4, 4)),
    "ConvTranspose2d": (lambda nn: nn.ConvTranspose2d(2, 4, 3, stride=2, groups=2), (1, 2, 4, 4)),
    "LayerNorm": (lambda nn: nn.LayerNorm(5), (3, 5)), "RMSNorm": (lambda nn: nn.RMSNorm(5), (3, 5)),
    "GroupNorm": (lambda nn: nn.GroupNorm(2, 4), (2, 4, 5)),
    "InstanceNorm1d": (lambda nn: nn.InstanceNorm1d(4, affine=True), (2, 4, 5)), "BatchNorm1d": (lambda nn: nn.BatchNorm1d(4).eval(), (3, 4)),
    "BatchNorm2d": (lambda nn: nn.BatchNorm2d(4, track_running_stats=False), (3, 4, 2, 2)), "PReLU": (lambda nn: nn.PReLU(4), (2, 4, 3)),
    "RNN": (lambda nn: nn.RNN(4, 3), (5, 4)), "GRU": (lambda nn: nn.GRU(4, 3, bidirectional=True), (5, 2, 4)),
    "LSTM": (lambda nn: nn.LSTM(4, 3, 2, batch_first=True), (2, 5, 4)),
    "TransformerEncoderLayer": (lambda nn: nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), (2, 5, 8)),
    "convolutions and pooling": (lambda nn: nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)), (1, 1, 12, 12)),
}


@pytest.mark.parametrize("name", list(LAYERS))
def test_gradients_of_each_example_in_layers(name):
    make, shape = LAYERS[name]
    module = make(mytorch.nn).double()
    parameters = {key: p.detach() for key, p in module.named_parameters()}
    buffers = dict(module.named_buffers())
    x = mytorch.randn(SIZE, *shape, dtype=mytorch.float64)

    def loss(p, x):
        y = functional_call(module, (p, buffers), (x,))
        y = y[0] if isinstance(y, tuple) else y
        return (y * weights(y)).square().sum()

    found = vmap(grad(loss, argnums=(0, 1)), in_dims=(None, 0))(parameters, x)
    for i in range(SIZE):
        expected = grad(loss, argnums=(0, 1))(parameters, x[i])
        assert_close([*[found[0][key][i] for key in parameters], found[1][i]], [*expected[0].values(), expected[1]])


# ---- dims, chunks, randomness -------------------------------------------------------------------------------------------------


def test_nested_arguments_and_outputs_with_their_dims():
    x = mytorch.randn(3, 4)
    found = vmap(lambda d, k: {"sum": d["a"] + d["b"], "pair": (d["a"] * k, d["b"])}, in_dims=({"a": 0, "b": None}, None),
                 out_dims={"sum": 1, "pair": (0, None)})({"a": x, "b": x[0]}, 2)
    assert_close([found["sum"], *found["pair"]], [(x + x[0]).T, x * 2, x[0]])


def test_named_tuples_come_out_as_they_are():
    x = mytorch.randn(3, 4)
    found = vmap(lambda v: v.max(dim=0))(x)
    assert_close([found.values, found.indices], list(x.max(dim=1)))


@pytest.mark.parametrize("chunk_size", [1, 2, 5, 9])
def test_chunks_change_nothing(chunk_size):
    x = mytorch.randn(5, 4)
    assert_close(vmap(lambda v: (v.sum(), v * 2), out_dims=(0, 1), chunk_size=chunk_size)(x), [x.sum(1), (x * 2).T])


def test_an_empty_batch_gives_empty_results():
    assert vmap(lambda v: (v * 2).sum())(mytorch.zeros(0, 3)).shape == (0,)
    assert vmap(lambda v: v @ mytorch.ones(3, 2))(mytorch.zeros(0, 3)).shape == (0, 2)


DRAWS = {
    "rand": lambda v: v + mytorch.rand(4), "randn_like": mytorch.randn_like, "dropout": mytorch.nn.functional.dropout,
    "uniform_": lambda v: v.clone().uniform_(), "randperm": lambda v: v + mytorch.randperm(4), "bernoulli": lambda v: mytorch.bernoulli(v.sigmoid()),
    "multinomial": lambda v: mytorch.multinomial(v.abs() + 1, 2), "nested": lambda v: vmap(lambda z: z + mytorch.rand(3), randomness="different")(v),
}


@pytest.mark.parametrize("name", list(DRAWS))
def test_randomness_is_refused_the_same_or_different(name):
    x = mytorch.ones(64, 4)
    with pytest.raises(RuntimeError, match="random operation while in randomness error mode"):
        vmap(DRAWS[name])(x)
    assert (lambda y: bool((y == y[0]).all()))(vmap(DRAWS[name], randomness="same")(x))
    assert not (lambda y: bool((y == y[0]).all()))(vmap(DRAWS[name], randomness="different")(x))


@pytest.mark.parametrize("sample", rows(lambda s: s.random))
def test_the_same_draws_equal_the_loop_from_one_seed(sample):
    leaves, function = examples(sample)
    places = mapped_places(leaves)
    if not places:
        return
    batch, dims = batch_of(leaves, places)

    def seeded(*values):
        mytorch.manual_seed(0)
        return function(*values)

    with pytest.raises(RuntimeError, match="random operation while in randomness error mode"):
        vmap(function, in_dims=dims)(*[x.clone() if isinstance(x, mytorch.Tensor) else x for x in batch])
    assert_close(vmap(seeded, in_dims=dims, randomness="same")(*batch), loop(seeded, leaves, places))


def test_different_draws_are_those_of_the_whole_batch():
    x = mytorch.zeros(3, 4)
    mytorch.manual_seed(0)
    found = vmap(lambda v: v + mytorch.rand(4), randomness="different")(x)
    mytorch.manual_seed(0)
    assert_close([found], [mytorch.rand(3, 4)])


# ---- writing in place ---------------------------------------------------------------------------------------------------------


def test_writes_in_place_reach_the_argument():
    x = mytorch.arange(12.0).reshape(3, 4)
    expected = x.clone()
    expected[:, 1:] *= 2
    vmap(lambda v: v[1:].mul_(2))(x)
    assert_close([x], [expected])


def test_writes_in_place_carry_gradients():
    x = mytorch.ones(3, 4, requires_grad=True)
    y = x * 1
    vmap(lambda v: v[1:].mul_(3))(y)
    y.sum().backward()
    assert x.grad.tolist() == [[1, 3, 3, 3]] * 3


def test_shape_changes_in_place():
    def function(v):
        v = v.clone().unsqueeze_(0)
        v.mul_(2)
        return v.t_()

    x = mytorch.randn(3, 4)
    assert_close([vmap(function)(x)], [2 * x.unsqueeze(-1)])


def test_what_is_made_like_a_mapped_tensor_may_be_written_to():
    def function(v):
        z = mytorch.zeros_like(v)
        z[0] = v[1]
        return z + v.new_zeros(4).add_(v[0]) + mytorch.full_like(v, 2).mul_(v)

    x = mytorch.randn(3, 4)
    z = mytorch.zeros(3, 4)
    z[:, 0] = x[:, 1]
    assert_close([vmap(function)(x)], [z + x[:, :1] + 2 * x])


WRITES = [lambda u, v: u.add_(v), lambda u, v: u.copy_(v), lambda u, v: u.__setitem__(0, v[0]), lambda u, v: u[1:].mul_(v[1:])]


@pytest.mark.parametrize("write", WRITES)
def test_a_tensor_that_is_not_mapped_takes_no_mapped_values(write):
    u = mytorch.zeros(4)
    with pytest.raises(RuntimeError, match="vmap: inplace arithmetic"):
        vmap(lambda v: write(u, v))(mytorch.ones(3, 4))
    assert u.tolist() == [0, 0, 0, 0]


def test_running_statistics_need_an_example_of_their_own():
    norm = mytorch.nn.functional.batch_norm
    x, mean, var = mytorch.randn(2, 5, 3), mytorch.zeros(3), mytorch.ones(3)
    with pytest.raises(RuntimeError, match="running_mean or running_var, which will be updated in place, were not batched"):
        vmap(lambda v: norm(v, mean, var, training=True))(x)
    means, variances = mytorch.zeros(2, 3), mytorch.ones(2, 3)
    found = vmap(lambda v, m, s: norm(v, m, s, training=True))(x, means, variances)
    for i in range(2):
        one, m, s = x[i], mytorch.zeros(3), mytorch.ones(3)
        assert_close([found[i], means[i], variances[i]], [norm(one, m, s, training=True), m, s])


# ---- what each example decides for itself is refused --------------------------------------------------------------------------

VALUES = {
    "item": (lambda v: v[0].item(), "calling .item"),
    "float": (lambda v: float(v[0]), "calling .item"),
    "int": (lambda v: int(v[0]), "calling .item"),
    "bool": (lambda v: v if v[0] > 0 else -v, "data-dependent control flow"),
    "in": (lambda v: v if 1.0 in v else -v, "data-dependent"),
    "mask": (lambda v: v[v > 0], "dynamic shape"),
    "nonzero": (lambda v: v.nonzero(), "dynamic shape"),
    "unique": (mytorch.unique, "dynamic shape"),
    "tolist": (lambda v: v.tolist(), "Cannot access data"),
    "numpy": (lambda v: v.numpy(), "Cannot access data"),
    "equal": (lambda v: mytorch.equal(v, v), "values of a batched tensor"),
    "data": (lambda v: v.data, "accessing `data`"),
    "one_hot": (lambda v: mytorch.nn.functional.one_hot(v.long()), "explicit positive num_classes"),
    "backward": (lambda v: v.sum().backward(), r"backward\(\) called inside"),
}


@pytest.mark.parametrize("name", list(VALUES))
def test_values_in_python_are_refused(name):
    function, message = VALUES[name]
    with pytest.raises(RuntimeError, match=message):
        vmap(function)(mytorch.rand(3, 4, requires_grad=name == "backward"))


def test_checks_of_values_look_at_all_examples():
    table = mytorch.randn(4, 2)
    with pytest.raises(IndexError, match="out of range"):
        vmap(lambda i: mytorch.nn.functional.embedding(i, table))(mytorch.tensor([[0, 1], [2, 4]]))
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        vmap(lambda p: mytorch.nn.functional.binary_cross_entropy(p, mytorch.ones(2)))(mytorch.tensor([[0.5, 0.5], [0.5, 1.5]]))


def test_indexing_with_a_mapped_number():
    x = mytorch.randn(3, 5, 4)
    i = mytorch.tensor([3, 0, 2])
    expected = mytorch.stack([x[k, int(i[k])] for k in range(3)])
    assert_close([vmap(lambda v, i: v[i])(x, i), vmap(lambda i: x[1, i], in_dims=0)(i)], [expected, x[1, i]])
    assert_close([vmap(lambda v, i: v[:, i])(x, i)], [mytorch.stack([x[k, :, int(i[k])] for k in range(3)])])


def test_a_batched_tensor_prints_its_batch():
    seen = []
    vmap(lambda v: seen.append(f"{v}") or v)(mytorch.zeros(2, 2))
    assert seen == ["BatchedTensor(lvl=1, bdim=0, value=\n    tensor([[0., 0.],\n            [0., 0.]])\n)"]
