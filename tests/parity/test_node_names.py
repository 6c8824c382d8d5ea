"""The name that a node shows, `grad_fn=<SumBackward1>`, is torch's: for the expressions that programs write.

Not compared is what torch makes of several operations (losses, recurrent networks, kron, einsum), of which one node here does the work.
"""

from __future__ import annotations

import warnings

import pytest

import mytorch
import mytorch.nn

torch = pytest.importorskip("torch")

EXPRESSIONS = r"""
x[0]
x[0, 1]
x[None]
x[:, 0]
x[:, None]
x[0:1]
x[..., 0]
x[[0, 1]]
x[x > 0]
x[::2]
x[0, 1:]
x.unsqueeze(0)
x.squeeze()
x.squeeze(0)
x.squeeze((0, 1))
x.transpose(0, 1)
x.swapaxes(0, 1)
x.t()
x.T
x.mT
x.permute(1, 0)
x.view(6)
x.view(3, 2)
x.reshape(6)
x.reshape(3, 2)
x.flatten()
x.unflatten(1, (1, 3))
x.ravel()
x.view_as(x)
x.movedim(0, 1)
x.expand(2, 2, 3)
x.expand_as(x)
x.repeat(2, 1)
x.tile(2)
x.narrow(0, 0, 1)
x.select(0, 0)
x.unbind()[0]
x.split(1)[0]
x.chunk(2)[0]
x.diagonal()
x.tril()
x.triu()
x.roll(1)
x.flip(0)
x.unfold(0, 2, 1)
x.as_strided((2,), (1,))
x.detach().requires_grad_().clone()
x.t().contiguous()
x.to(T.float64)
x.double()
x.clone()
T.cat([x, x])
T.stack([x, x])
T.hstack([x, x])
T.vstack([x, x])
x.mean()
x.mean(0)
x.sum()
x.sum(0)
x.sum((0, 1))
x.prod()
x.prod(0)
x.max()
x.min()
x.max(0)[0]
x.min(0).values
x.amax(0)
x.amin()
x.median()
x.median(0)[0]
x.std()
x.std(0)
x.var()
x.var(0)
x.norm()
x.norm(dim=0)
x.norm(1)
x.norm(p=3)
T.linalg.norm(x)
T.linalg.vector_norm(x)
x.cumsum(0)
x.cumprod(0)
x.logsumexp(0)
x.sort()[0]
x.topk(1)[0]
x.kthvalue(1)[0]
x.mode()[0]
x.clamp(0)
x.clamp(min=0, max=1)
x.clamp_min(0)
x.clamp_max(0)
1 - x
x - 1
x + 1
1 + x
x * 2
x / 2
x ** 2
2 ** x
x ** x
-x
x % 2
abs(x)
x @ x.t()
x.mm(x.t())
x.matmul(x.t())
x[0] @ x[1]
x @ x[0]
x.mv(x[0])
x[0].dot(x[1])
T.bmm(x[None], x.t()[None])
T.addmm(T.ones(2, 2), x, x.t())
T.addmv(T.ones(2), x, x[0])
T.baddbmm(T.ones(1, 2, 2), x[None], x.t()[None])
T.outer(x[0], x[1])
T.tensordot(x, x, 2)
T.addcmul(x, x, x)
T.addcdiv(x, x, x)
T.lerp(x, x, 0.5)
T.where(x > 0, x, 0.)
x.masked_fill(x > 0, 0)
x.masked_select(x > 0)
x.take(T.tensor([0]))
x.gather(0, T.tensor([[0, 0, 0]]))
x.scatter(0, T.tensor([[0, 0, 0]]), x)
x.scatter(0, T.tensor([[0, 0, 0]]), 1.)
x.scatter_add(0, T.tensor([[0, 0, 0]]), x)
x.index_select(0, T.tensor([0]))
x.index_add(0, T.tensor([0]), x[:1])
x.clone().fill_(1)
x.clone().zero_()
x.clone().add_(1)
x.clone().mul_(x)
x.clone().normal_()
x.clone().uniform_()
x.clone().masked_fill_(x > 0, 0)
T.maximum(x, x)
T.minimum(x, x)
x.exp()
x.log()
x.sqrt()
x.rsqrt()
x.sin()
x.tanh()
x.sigmoid()
x.relu()
F.relu(x)
F.leaky_relu(x)
F.elu(x)
F.gelu(x)
F.silu(x)
F.mish(x)
F.selu(x)
F.softplus(x)
F.hardtanh(x)
F.relu6(x)
F.hardswish(x)
F.hardsigmoid(x)
F.logsigmoid(x)
F.prelu(x, T.ones(1))
F.glu(x.t())
F.softmax(x, 1)
x.softmax(0)
F.log_softmax(x, 1)
F.dropout(x, 0.5)
F.cross_entropy(x, i)
F.nll_loss(x, i)
F.mse_loss(x, x.detach())
F.smooth_l1_loss(x, x.detach())
F.huber_loss(x, x.detach())
F.binary_cross_entropy(x.sigmoid(), x.detach().sigmoid())
F.binary_cross_entropy_with_logits(x, x.detach().sigmoid())
F.linear(x, w)
F.linear(x, w, b)
F.linear(x[None], w, b)
F.linear(x[None], w)
F.linear(x[0], w, b)
F.embedding(i, x)
F.layer_norm(x, (3,))
F.batch_norm(x, None, None, training=True)
F.group_norm(x[:, :, None], 1)
F.normalize(x)
F.conv1d(x[None], T.ones(1, 2, 1))
F.conv2d(img, T.ones(1, 1, 2, 2))
F.conv_transpose2d(img, T.ones(1, 1, 2, 2))
F.max_pool2d(img, 2)
F.max_pool1d(x[None], 2)
F.avg_pool2d(img, 2)
F.avg_pool1d(x[None], 2)
F.adaptive_avg_pool2d(img, 1)
F.adaptive_avg_pool2d(img, 2)
F.interpolate(img, scale_factor=2)
F.interpolate(img, scale_factor=2, mode='bilinear')
F.pad(x, (1, 1))
F.unfold(img, 2)
T.cdist(x, x)
T.cumsum(x, 0)
T.logaddexp(x, x)
T.atan2(x, x)
T.hypot(x, x)
T.sign(x)
T.floor(x)
T.round(x)
T.erf(x)
T.log1p(x)
T.expm1(x)
T.nan_to_num(x)
T.square(x)
T.reciprocal(x)
T.trace(x)
T.det(x @ x.t())
T.inverse(x @ x.t())
T.linalg.solve(x @ x.t(), x)
T.linalg.cholesky(x @ x.t())
T.linalg.svd(x)[1]
T.meshgrid(x[0], x[1], indexing='ij')[0]
T.broadcast_to(x, (2, 2, 3))
T.complex(x, x)
T.view_as_real(T.complex(x, x))
T.polar(x, x)
x.nansum()
x.requires_grad_().abs().sum()
x.float().half()
x.new_zeros(2) + x.sum()
x.cummax(0)[0]
x.logcumsumexp(0)
x.sum(0, keepdim=True)
x.mean((0, 1))
x.argmax() + x.sum()
(x == x).float() + x
x.sub(1)
x.div(2, rounding_mode='floor')
x.div(2, rounding_mode='trunc')
x.pow(0.5)
x.log_softmax(0)
nn.BatchNorm2d(1)(img)
nn.MaxPool2d(2)(img)
nn.Flatten()(img)
nn.Linear(3, 2)(x)
""".strip().splitlines()


def scope(t):
    t.manual_seed(0)
    return {
        "T": t, "nn": t.nn, "F": t.nn.functional, "x": t.arange(6.0).reshape(2, 3).add(1).requires_grad_(), "i": t.tensor([0, 1]), "w": t.ones(4, 3),
        "b": t.ones(4), "img": t.arange(16.0).reshape(1, 1, 4, 4).requires_grad_(),
    }


def result(t, expression):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eval(expression, scope(t))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_node_is_named_as_in_torch(expression):
    ours, theirs = result(mytorch, expression), result(torch, expression)
    assert ours.grad_fn.name() == theirs.grad_fn.name()
    assert type(ours.grad_fn).__name__ == ours.grad_fn.name()
    if ours.dtype is mytorch.float32 and mytorch.isfinite(ours).all():
        assert f"grad_fn=<{theirs.grad_fn.name()}>" in repr(ours)


def test_a_name_outlives_the_backward_pass():
    for t in (mytorch, torch):
        x = t.ones(2, 3, requires_grad=True)
        y = x.sum(0)
        assert y.grad_fn.name() == "SumBackward1"
        y.sum().backward()
        assert y.grad_fn.name() == "SumBackward1"
