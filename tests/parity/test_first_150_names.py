"""The 150 names that PyTorch scripts use most, each called once: the same result from mytorch and from torch.

tests/data/api_usage_150.tsv counts them: name, files, repositories.
"""

from __future__ import annotations

import importlib
import io
import pathlib

import numpy as np
import pytest

import mytorch

torch = pytest.importorskip("torch")

NAMES = [line.split("\t")[0] for line in (pathlib.Path(__file__).parent.parent / "data" / "api_usage_150.tsv").read_text().splitlines()[1:]]


def x(t):
    return t.tensor([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]])


def leaf(t):
    return x(t).requires_grad_()


def net(t):
    """A small network with the same weights in both libraries: they draw alike."""
    t.manual_seed(0)
    return t.nn.Sequential(t.nn.Linear(3, 4), t.nn.ReLU(), t.nn.Linear(4, 2))


def after(t, make, steps=3):
    """The weights after some steps of an optimizer."""
    model = net(t)
    optimizer = make(model.parameters())
    for _ in range(steps):
        optimizer.zero_grad()
        model(x(t)).pow(2).sum().backward()
        optimizer.step()
    return [p.detach() for p in model.parameters()]


def layer(t, make, data):
    """A layer's output and the gradient of its input, from seed 0."""
    t.manual_seed(0)
    data = data.requires_grad_()
    y = make()(data)
    y = y[0] if isinstance(y, tuple) else y
    y.pow(2).sum().backward()
    return [y.detach(), data.grad]


def grad_of(t, function):
    """The gradient of the sum of a function at x."""
    v = leaf(t)
    function(v).sum().backward()
    return v.grad


def saved(t):
    buffer = io.BytesIO()
    t.save({"a": x(t), "n": 3}, buffer)
    buffer.seek(0)
    return t.load(buffer)


def no_grad(t):
    with t.no_grad():
        return (leaf(t) * 2).requires_grad


def applied(t):
    seen = []
    net(t).apply(lambda m: seen.append(type(m).__name__))
    return seen


def buffered(t):
    module = t.nn.Module()
    module.register_buffer("count", t.zeros(2))
    return [*module.state_dict()], [*dict(module.named_buffers())]


def loaded(t):
    model, other = net(t), t.nn.Sequential(t.nn.Linear(3, 4), t.nn.ReLU(), t.nn.Linear(4, 2))
    found = str(other.load_state_dict(model.state_dict()))
    return found, [p.detach() for p in other.parameters()]


def batches(t):
    data = t.utils.data.TensorDataset(x(t), t.tensor([0, 1]))
    return [[a, b] for a, b in t.utils.data.DataLoader(data, batch_size=1)]


def dataset(t):
    class Squares(t.utils.data.Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, i):
            return i * i

    return [batch.tolist() for batch in t.utils.data.DataLoader(Squares(), batch_size=2)]


def own_module(t):
    class Twice(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = t.nn.Parameter(t.full((3,), 2.0))

        def forward(self, v):
            return self.scale * v

    return Twice()


def written(t, name, *args):
    v = x(t)
    result = getattr(v, name)(*args)
    assert result is v
    return v


def seeded(t, run):
    t.manual_seed(3)
    return run()


CALLS = {
    "torch.nn.Module": lambda t: own_module(t)(x(t)).detach(),
    "Tensor.backward": lambda t: grad_of(t, lambda v: v * v),
    "Tensor.item": lambda t: x(t).sum().item(),
    "import torch.nn": lambda t: importlib.import_module(f"{t.__name__}.nn").Linear is t.nn.Linear,
    "Module.parameters": lambda t: [p.detach() for p in net(t).parameters()],
    "Module.zero_grad": lambda t: (lambda m: (m(x(t)).sum().backward(), m.zero_grad(), [p.grad is None for p in m.parameters()])[-1])(net(t)),
    "import torch.nn.functional": lambda t: importlib.import_module(f"{t.__name__}.nn.functional").relu(x(t)),
    "Optimizer/Scheduler.step": lambda t: after(t, lambda p: t.optim.SGD(p, lr=0.1), 1),
    "torch.nn.Linear": lambda t: layer(t, lambda: t.nn.Linear(3, 2), x(t)),
    "Tensor.data": lambda t: leaf(t).data,
    "Tensor.size": lambda t: (list(x(t).size()), x(t).size(-1)),
    "torch.cat": lambda t: t.cat([x(t), x(t)], dim=1),
    "Tensor.sum": lambda t: (x(t).sum(), x(t).sum(1), x(t).sum(dim=0, keepdim=True)),
    "Tensor.shape": lambda t: list(x(t).shape),
    "Tensor.view": lambda t: x(t).view(3, -1),
    "torch.no_grad": no_grad,
    "Tensor.mean": lambda t: (x(t).mean(), x(t).mean(1)),
    "Module.eval": lambda t: [m.training for m in net(t).eval().modules()],
    "torch.ones": lambda t: t.ones(2, 3),
    "Module.train": lambda t: [m.training for m in net(t).eval().train().modules()],
    "torch.zeros": lambda t: t.zeros((2, 3), dtype=t.int64),
    "Module.state_dict": lambda t: list(net(t).state_dict().items()),
    "Tensor.unsqueeze": lambda t: x(t).unsqueeze(1),
    "torch.save": lambda t: saved(t)["a"],
    "torch.optim.Adam": lambda t: after(t, lambda p: t.optim.Adam(p, lr=0.1)),
    "Tensor.max": lambda t: (x(t).max(), *x(t).max(1)),
    "Tensor.to": lambda t: (x(t).to(t.float64), x(t).to("cpu")),
    "torch.nn.Sequential": lambda t: net(t)(x(t)).detach(),
    "torch.cuda.is_available": lambda t: t.cuda.is_available(),
    "Tensor.numpy": lambda t: x(t).numpy(),
    "torch.nn.ReLU": lambda t: layer(t, lambda: t.nn.ReLU(), x(t)),
    "Tensor.detach": lambda t: (leaf(t) * 2).detach(),
    "Tensor.float": lambda t: t.tensor([1, 2]).float(),
    "Module.load_state_dict": loaded,
    "Tensor.transpose": lambda t: x(t).transpose(0, 1),
    "torch.load": lambda t: saved(t)["n"],
    "torch.manual_seed": lambda t: (t.manual_seed(5), t.rand(3))[1],
    "Tensor.reshape": lambda t: x(t).reshape(3, 2),
    "torch.Tensor": lambda t: (t.Tensor([1, 2]), list(t.Tensor(2, 3).shape), isinstance(x(t), t.Tensor)),
    "Tensor.squeeze": lambda t: x(t)[None].squeeze(0),
    "torch.from_numpy": lambda t: t.from_numpy(np.arange(3)),
    "F.softmax": lambda t: t.nn.functional.softmax(x(t), dim=1),
    "torch.tensor": lambda t: (t.tensor([1, 2]), t.tensor(2.5), t.tensor([[True]])),
    "torch.utils.data.DataLoader": batches,
    "Tensor.cpu": lambda t: x(t).cpu(),
    "import torch.optim": lambda t: importlib.import_module(f"{t.__name__}.optim").SGD is t.optim.SGD,
    "torch.nn.Parameter": lambda t: (t.nn.Parameter(x(t)).requires_grad, t.nn.Parameter(x(t)).detach()),
    "Tensor.grad": lambda t: grad_of(t, lambda v: v.exp()),
    "Tensor.device": lambda t: str(x(t).device),
    "torch.randn": lambda t: seeded(t, lambda: t.randn(2, 3)),
    "torch.arange": lambda t: (t.arange(5), t.arange(1, 2, 0.25)),
    "torch.nn.CrossEntropyLoss": lambda t: t.nn.CrossEntropyLoss()(x(t), t.tensor([0, 2])),
    "F.relu": lambda t: t.nn.functional.relu(x(t)),
    "Tensor.requires_grad": lambda t: (x(t).requires_grad, leaf(t).requires_grad, (leaf(t) + 1).requires_grad),
    "torch.nn.Conv2d": lambda t: layer(t, lambda: t.nn.Conv2d(1, 2, 2, padding=1), x(t).reshape(1, 1, 2, 3)),
    "torch.nn.Embedding": lambda t: seeded(t, lambda: t.nn.Embedding(5, 3)(t.tensor([[1, 4]])).detach()),
    "torch.rand": lambda t: seeded(t, lambda: t.rand(2, 3)),
    "torch.log": lambda t: t.log(x(t).abs()),
    "torch.device": lambda t: (str(t.device("cpu")), t.device("cuda:1").index),
    "torch.nn.ModuleList": lambda t: [type(m).__name__ for m in t.nn.ModuleList([t.nn.Tanh(), t.nn.ReLU()])],
    "Module.apply": applied,
    "Tensor.contiguous": lambda t: (x(t).t().contiguous().stride(), x(t).t().contiguous()),
    "torch.sum": lambda t: t.sum(x(t), dim=1),
    "Tensor.cuda": lambda t: refused(lambda: x(t).cuda()),
    "Tensor.numel": lambda t: x(t).numel(),
    "torch.exp": lambda t: t.exp(x(t)),
    "Tensor.clone": lambda t: x(t).clone(),
    "Tensor.pow": lambda t: x(t).pow(3),
    "Tensor.tolist": lambda t: x(t).tolist(),
    "torch.nn.Dropout": lambda t: (layer(t, lambda: t.nn.Dropout(0.4), x(t)), t.nn.Dropout(0.4).eval()(x(t))),
    "torch.float32": lambda t: x(t).dtype is t.float32,
    "torch.long": lambda t: t.tensor([1]).dtype is t.long,
    "torch.stack": lambda t: t.stack([x(t), x(t)], dim=1),
    "torch.LongTensor": lambda t: t.LongTensor([1, 2]),
    "Tensor.expand": lambda t: x(t)[:, :1].expand(-1, 4),
    "Tensor.long": lambda t: x(t).long(),
    "Tensor.permute": lambda t: x(t)[None].permute(2, 0, 1),
    "torch.max": lambda t: (t.max(x(t)), *t.max(x(t), 0), t.max(x(t), -x(t))),
    "torch.FloatTensor": lambda t: t.FloatTensor([1, 2]),
    "Tensor.copy_": lambda t: written(t, "copy_", t.arange(3)),
    "torch.nn.Tanh": lambda t: layer(t, lambda: t.nn.Tanh(), x(t)),
    "Optimizer.param_groups": lambda t: [group["lr"] for group in t.optim.SGD(net(t).parameters(), lr=0.3).param_groups],
    "torch.tanh": lambda t: t.tanh(x(t)),
    "Module.forward": lambda t: own_module(t).forward(x(t)).detach(),
    "Tensor.repeat": lambda t: x(t).repeat(2, 2),
    "torch.utils.data.Dataset": dataset,
    "Module.register_buffer": buffered,
    "Tensor.T": lambda t: x(t).T,
    "Tensor.exp": lambda t: x(t).exp(),
    "Tensor.flatten": lambda t: x(t).flatten(),
    "torch.nn.BatchNorm2d": lambda t: layer(t, lambda: t.nn.BatchNorm2d(2), x(t).reshape(1, 2, 3, 1)),
    "torch.optim.SGD": lambda t: after(t, lambda p: t.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True)),
    "torch.mean": lambda t: t.mean(x(t), dim=0),
    "Tensor.add": lambda t: x(t).add(x(t), alpha=2),
    "torch.sqrt": lambda t: t.sqrt(x(t).abs()),
    "torch.zeros_like": lambda t: t.zeros_like(x(t)),
    "torch.empty": lambda t: list(t.empty(2, 3).shape),
    "Module.named_parameters": lambda t: [name for name, _ in net(t).named_parameters()],
    "Tensor.t": lambda t: x(t).t(),
    "Tensor.dim": lambda t: x(t).dim(),
    "Tensor.dtype": lambda t: str(x(t).dtype),
    "operator @": lambda t: x(t) @ x(t).T,
    "torch.nn.MaxPool2d": lambda t: layer(t, lambda: t.nn.MaxPool2d(2), x(t).reshape(1, 1, 2, 3)),
    "F.cross_entropy": lambda t: t.nn.functional.cross_entropy(x(t), t.tensor([0, 2]), label_smoothing=0.1),
    "Tensor.relu": lambda t: x(t).relu(),
    "torch.nn.utils.clip_grad_norm_": lambda t: clipped(t),
    "torch.nn.Sigmoid": lambda t: layer(t, lambda: t.nn.Sigmoid(), x(t)),
    "Tensor.type": lambda t: (x(t).type(), x(t).type(t.int64)),
    "Module.training": lambda t: (net(t).training, net(t).eval().training),
    "Tensor.fill_": lambda t: written(t, "fill_", 2.5),
    "Tensor.log": lambda t: x(t).abs().log(),
    "torch.nn.init.normal_": lambda t: seeded(t, lambda: t.nn.init.normal_(t.empty(4, 5), std=2.0)),
    "torch.matmul": lambda t: t.matmul(x(t), t.tensor([1.0, 2.0, 3.0])),
    "torch.nn.LeakyReLU": lambda t: layer(t, lambda: t.nn.LeakyReLU(0.2), x(t)),
    "Tensor.clamp": lambda t: x(t).clamp(-1, max=2),
    "F.log_softmax": lambda t: t.nn.functional.log_softmax(x(t), dim=-1),
    "torch.nn.LayerNorm": lambda t: layer(t, lambda: t.nn.LayerNorm(3), x(t)),
    "torch.sin": lambda t: t.sin(x(t)),
    "torch.linspace": lambda t: t.linspace(0, 1, 5),
    "Tensor.zero_": lambda t: written(t, "zero_"),
    "Tensor.argmax": lambda t: (x(t).argmax(), x(t).argmax(dim=1)),
    "torch.randint": lambda t: seeded(t, lambda: t.randint(0, 9, (2, 3))),
    "Tensor.abs": lambda t: x(t).abs(),
    "torch.clamp": lambda t: t.clamp(x(t), min=0),
    "torch.nn.ConvTranspose2d": lambda t: layer(t, lambda: t.nn.ConvTranspose2d(1, 2, 2, stride=2), x(t).reshape(1, 1, 2, 3)),
    "Tensor.norm": lambda t: (x(t).norm(), x(t).norm(p=1, dim=1)),
    "torch.autograd.Variable": lambda t: t.autograd.Variable(x(t), requires_grad=True).requires_grad,
    "Tensor.normal_": lambda t: seeded(t, lambda: written(t, "normal_", 1, 2)),
    "torch.cos": lambda t: t.cos(x(t)),
    "torch.optim.AdamW": lambda t: after(t, lambda p: t.optim.AdamW(p, lr=0.1)),
    "torch.abs": lambda t: t.abs(x(t)),
    "Tensor.std": lambda t: (x(t).std(), x(t).std(1, unbiased=False)),
    "torch.ones_like": lambda t: t.ones_like(x(t), dtype=t.int32),
    "torch.nn.LSTM": lambda t: layer(t, lambda: t.nn.LSTM(3, 4, num_layers=2), x(t)[:, None]),
    "torch.where": lambda t: (t.where(x(t) > 0, x(t), 0.0), *t.where(x(t) > 0)),
    "Tensor.uniform_": lambda t: seeded(t, lambda: written(t, "uniform_", -1, 1)),
    "torch.multinomial": lambda t: seeded(t, lambda: t.multinomial(t.tensor([0.2, 0.5, 0.3]), 5, replacement=True)),
    "torch.min": lambda t: (t.min(x(t)), *t.min(x(t), 1)),
    "Tensor.eq": lambda t: x(t).eq(3),
    "torch.autograd.grad": lambda t: (lambda v: t.autograd.grad((v ** 3).sum(), v))(leaf(t)),
    "torch.nn.MSELoss": lambda t: t.nn.MSELoss()(x(t), t.ones(2, 3)),
    "Tensor.mul_": lambda t: written(t, "mul_", 3),
    "Tensor.masked_fill": lambda t: x(t).masked_fill(x(t) < 0, -1e9),
    "Tensor.min": lambda t: (x(t).min(), *x(t).min(dim=1)),
    "torch.randperm": lambda t: seeded(t, lambda: t.randperm(8)),
    "torch.nn.init.constant_": lambda t: t.nn.init.constant_(t.empty(2), 1.5),
    "Tensor.requires_grad_": lambda t: x(t).requires_grad_().requires_grad,
    "import torch.utils.data": lambda t: importlib.import_module(f"{t.__name__}.utils.data").DataLoader is t.utils.data.DataLoader,
    "torch.mm": lambda t: t.mm(x(t), x(t).T),
    "torch.nn.Softmax": lambda t: layer(t, lambda: t.nn.Softmax(dim=1), x(t)),
}


def clipped(t):
    model = net(t)
    model(x(t)).pow(2).sum().backward()
    norm = t.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    return norm, [p.grad for p in model.parameters()]


def refused(call):
    """The class of the exception; there is no CUDA device in either."""
    try:
        call()
    except (RuntimeError, AssertionError) as error:
        return isinstance(error, (RuntimeError, AssertionError))
    return False


def flat(value):
    if isinstance(value, (list, tuple)):
        return [leaf for part in value for leaf in flat(part)]
    return [value]


def test_the_calls_are_those_of_the_list():
    assert len(NAMES) == 150
    assert list(CALLS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_name_does_what_torchs_does(name):
    found, expected = flat(CALLS[name](mytorch)), flat(CALLS[name](torch))
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        if isinstance(b, torch.Tensor):
            assert isinstance(a, mytorch.Tensor)
            assert str(a.dtype) == str(b.dtype)
            a, b = a.detach().numpy(), b.detach().numpy()
            assert a.shape == b.shape
        if isinstance(b, (np.ndarray, float)):
            np.testing.assert_allclose(a, b, 2e-5, 2e-6)
        else:
            assert a == b
