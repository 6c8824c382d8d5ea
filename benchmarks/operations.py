"""Single operations: products, convolutions, pooling, norms, losses, pointwise chains, reductions, random numbers, optimizers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from works import Task, Work, digest, nothing

Call = Callable[..., Any]


def operation(torch: Any, call: Call, shapes: tuple[tuple[int, ...], ...], backward: bool = False, product: float = 0.0, shrink: int = 1) -> Task:
    """A call on tensors of these shapes, and, where wanted, the gradients of all of them.

    Args:
        call: takes torch and the tensors.
        product: operations of its products, see flops.py; a backward has twice as many again.
        shrink: by which every size is divided, for tests.
    """
    inputs = [torch.randn(*(max(size // shrink, 1) for size in shape)).requires_grad_(backward) for shape in shapes]
    # not ones: the gradient of a norm or a softmax for them is nothing but rounding
    gradient = torch.randn(call(torch, *inputs).shape) if backward else None

    def step() -> Any:
        if not backward:
            return call(torch, *inputs)
        for x in inputs:
            x.grad = None
        y = call(torch, *inputs)
        y.backward(gradient)
        return y

    def values() -> list[float]:
        y = step()
        return digest([y, *(x.grad for x in inputs)] if backward else [y])

    return Task(step, values, nothing, product * (3 if backward else 1))


def update(torch: Any, rule: str, count: int = 20, size: int = 50_000) -> Task:
    """One step of an optimizer over several tensors."""
    weights = [torch.randn(size, requires_grad=True) for _ in range(count)]
    for weight in weights:
        weight.grad = torch.randn(size)
    optimizer = getattr(torch.optim, rule)(weights, lr=1e-3)

    def values() -> list[float]:
        optimizer.step()
        return digest(weights)

    return Task(optimizer.step, values, nothing)


def row(title: str, call: Call, *shapes: tuple[int, ...], backward: bool = False, product: float = 0.0, random: bool = False) -> Work:
    """A Work of one operation; its tests divide the sizes by 8."""
    return Work(title, lambda torch, shrink=1: operation(torch, call, shapes, backward, product, shrink), {"shrink": 8}, None if random else 1e-3)


def products(size: int) -> float:
    """Operations of a square product."""
    return 2.0 * size**3


def image(title: str, call: Call, x: tuple[int, ...], w: tuple[int, ...], product: float, **options: Any) -> Work:
    """A convolution with its gradients. Its tests have a smaller batch and image; the weights are as they are."""
    def prepare(torch: Any, shrink: int = 1) -> Task:
        small = (max(x[0] // shrink, 1), x[1], *(max(size // shrink, w[-1]) for size in x[2:]))
        return operation(torch, lambda torch, x, w: call(torch)(x, w, **options), (small, w), True, product)

    return Work(title, prepare, {"shrink": 8})


def conv1d(torch: Any) -> Call:
    """F.conv1d."""
    return torch.nn.functional.conv1d


def conv2d(torch: Any) -> Call:
    """F.conv2d."""
    return torch.nn.functional.conv2d


def words(torch: Any, table: Any) -> Any:
    """The rows of a table for 2,048 words."""
    return torch.nn.functional.embedding(torch.arange(2048) * 7 % table.shape[0], table)


def classes(torch: Any, scores: Any) -> Any:
    """The cross-entropy of scores."""
    return torch.nn.functional.cross_entropy(scores, torch.arange(scores.shape[0]) % scores.shape[1])


def causal(torch: Any, q: Any, k: Any, v: Any) -> Any:
    """Causal attention."""
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)


def batch_norm(torch: Any, x: Any, weight: Any, bias: Any) -> Any:
    """Batch norm in training, without running statistics."""
    return torch.nn.functional.batch_norm(x, None, None, weight, bias, True)


def layer_norm(torch: Any, x: Any, weight: Any, bias: Any) -> Any:
    """Layer norm over the last dimension."""
    return torch.nn.functional.layer_norm(x, weight.shape, weight, bias)


def squares(torch: Any, x: Any, target: Any) -> Any:
    """The mean squared error."""
    return torch.nn.functional.mse_loss(x, target)


def picked(torch: Any, x: Any) -> Any:
    """One number per row and column of `gather`."""
    return x.gather(1, torch.arange(x.numel()).view(x.shape) * 7 % x.shape[1])


ATTENTION = (16, 4, 128, 32)
OPERATIONS = {
    "gemm-64": row("matmul 64", lambda torch, a, b: a @ b, (64, 64), (64, 64), product=products(64)),
    "gemm-256": row("matmul 256", lambda torch, a, b: a @ b, (256, 256), (256, 256), product=products(256)),
    "gemm-1024": row("matmul 1024", lambda torch, a, b: a @ b, (1024, 1024), (1024, 1024), product=products(1024)),
    "gemm-2048": row("matmul 2048", lambda torch, a, b: a @ b, (2048, 2048), (2048, 2048), product=products(2048)),
    "gemm-transposed": row("matmul 1024, both transposed", lambda torch, a, b: a.mT @ b.mT, (1024, 1024), (1024, 1024), product=products(1024)),
    "bmm": row("bmm 64 x 128 x 32 x 128", lambda torch, a, b: a @ b, (64, 128, 32), (64, 32, 128), product=2.0 * 64 * 128 * 32 * 128),
    "linear": row("linear 2048 x 128 -> 512, gradients", lambda torch, x, w, b: torch.nn.functional.linear(x, w, b),
                  (2048, 128), (512, 128), (512,), backward=True, product=2.0 * 2048 * 128 * 512),
    "conv2d": image("conv2d 64 x 32 x 26 x 26 -> 64, 3 x 3, gradients", conv2d, (64, 32, 26, 26), (64, 32, 3, 3), 2.0 * 64 * 64 * 24 * 24 * 288),
    "conv2d-padded": image("conv2d 32 x 16 x 32 x 32 -> 16, 3 x 3, padded, gradients", conv2d, (32, 16, 32, 32), (16, 16, 3, 3),
                           2.0 * 32 * 16 * 1024 * 144, padding=1),
    "conv2d-strided": image("conv2d 32 x 16 x 32 x 32 -> 32, 3 x 3, stride 2, gradients", conv2d, (32, 16, 32, 32), (32, 16, 3, 3),
                            2.0 * 32 * 32 * 256 * 144, padding=1, stride=2),
    "conv2d-depthwise": image("conv2d 32 x 64 x 32 x 32, depthwise, gradients", conv2d, (32, 64, 32, 32), (64, 1, 3, 3),
                              2.0 * 32 * 64 * 1024 * 9, padding=1, groups=64),
    "conv1d": image("conv1d 16 x 24 x 1024 -> 128, 8, stride 4, gradients", conv1d, (16, 24, 1024), (128, 24, 8),
                    2.0 * 16 * 128 * 255 * 192, stride=4),
    "max-pool": row("max_pool2d 64 x 64 x 24 x 24, gradients", lambda torch, x: torch.nn.functional.max_pool2d(x, 2),
                    (64, 64, 24, 24), backward=True),
    "avg-pool": row("avg_pool2d 64 x 64 x 24 x 24, gradients", lambda torch, x: torch.nn.functional.avg_pool2d(x, 2),
                    (64, 64, 24, 24), backward=True),
    "batch-norm": row("batch_norm 32 x 16 x 32 x 32, gradients", batch_norm, (32, 16, 32, 32), (16,), (16,), backward=True),
    "layer-norm": row("layer_norm 2048 x 128, gradients", layer_norm, (2048, 128), (128,), (128,), backward=True),
    "softmax": row("softmax 2048 x 128, gradients", lambda torch, x: torch.softmax(x, 1), (2048, 128), backward=True),
    "cross-entropy": row("cross_entropy 2048 x 65, gradients", classes, (2048, 65), backward=True),
    "attention": row("causal attention 16 x 4 x 128 x 32, gradients", causal, ATTENTION, ATTENTION, ATTENTION, backward=True,
                     product=4.0 * 16 * 4 * 32 * 128 * 129 / 2),
    "gelu": row("gelu 2048 x 512, gradients", lambda torch, x: torch.nn.functional.gelu(x), (2048, 512), backward=True),
    "relu6": row("relu6, 1 M numbers, gradients", lambda torch, x: torch.nn.functional.relu6(x), (1024, 1024), backward=True),
    "elu": row("elu, 1 M numbers, gradients", lambda torch, x: torch.nn.functional.elu(x), (1024, 1024), backward=True),
    "erf": row("erf, 1 M numbers, gradients", lambda torch, x: torch.erf(x), (1024, 1024), backward=True),
    "cube": row("x ** 3, 1 M numbers, gradients", lambda torch, x: x**3, (1024, 1024), backward=True),
    "mse-loss": row("mse_loss, 1 M numbers, gradients", squares, (1024, 1024), (1024, 1024), backward=True),
    "gather": row("gather, 1 M numbers, gradients", picked, (1024, 1024), backward=True),
    "cumsum": row("cumsum, 1 M numbers, gradients", lambda torch, x: x.cumsum(1), (1024, 1024), backward=True),
    "amax": row("amax over dim 1 of 1024 x 1024, gradients", lambda torch, x: x.amax(1), (1024, 1024), backward=True),
    "einsum": row("einsum bij,bkj->bik of 64 x 64 x 256, gradients", lambda torch, a, b: torch.einsum("bij,bkj->bik", a, b),
                  (64, 64, 256), (64, 64, 256), backward=True, product=2.0 * 64 * 64 * 64 * 256),
    "chain": row("x * sigmoid(x) + tanh(x), 262,144 numbers, gradients", lambda torch, x: x * torch.sigmoid(x) + torch.tanh(x),
                 (512, 512), backward=True),
    "add": row("add, 1 M numbers", lambda torch, a, b: a + b, (1024, 1024), (1024, 1024)),
    "exp": row("exp, 1 M numbers", lambda torch, x: x.exp(), (1024, 1024)),
    "sum": row("sum, 1 M numbers", lambda torch, x: x.sum(), (1024, 1024)),
    "sum-rows": row("sum over dim 0 of 1024 x 1024", lambda torch, x: x.sum(0), (1024, 1024)),
    "transpose": row("contiguous transpose of 1024 x 1024", lambda torch, x: x.t().contiguous(), (1024, 1024)),
    "embedding": row("embedding 10,000 x 128, 2,048 words, gradients", words, (10_000, 128), backward=True),
    "sort": row("sort, 100,000 numbers", lambda torch, x: x.sort()[0], (100_000,)),
    "topk": row("topk 10 of 64 x 10,000", lambda torch, x: x.topk(10)[0], (64, 10_000)),
    "dropout": row("dropout 0.5, 1.2 M numbers, gradients", lambda torch, x: torch.nn.functional.dropout(x, 0.5),
                   (64, 18_432), backward=True, random=True),
    "randn": row("randn, 1 M numbers", lambda torch, x: torch.randn(x.shape), (1024, 1024), random=True),
    "randperm": row("randperm 100,000", lambda torch, x: torch.randperm(x.numel()), (100_000,), random=True),
    "sgd": Work("SGD, 20 tensors of 50,000", lambda torch, size=50_000: update(torch, "SGD", size=size), {"size": 10}),
    "adam": Work("Adam, 20 tensors of 50,000", lambda torch, size=50_000: update(torch, "Adam", size=size), {"size": 10}),
    "adamw": Work("AdamW, 20 tensors of 50,000", lambda torch, size=50_000: update(torch, "AdamW", size=size), {"size": 10}),
}
