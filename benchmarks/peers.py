"""The same steps under libraries with another interface: JAX and MLX, which share NumPy's names, and tinygrad.

The first weights and the batch are those of mytorch's model, so that their losses must agree with the others' too. Each library is
imported where it is used; none is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import models
from works import CHECKED_STEPS, Task, training

LIBRARIES = ("jax", "mlx", "tinygrad")
RATE, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8  # Adam's


def prepare(library: str, name: str, **sizes: Any) -> Task:
    """A work of the training family under one of LIBRARIES.

    Raises:
        NotImplementedError: the work is not written for that library.
    """
    if not has(library, name):
        raise NotImplementedError(f"{name} is not written for {library}")
    makers: dict[str, Callable[[Any], Any]] = {"jax": jax_step, "mlx": mlx_step, "tinygrad": tinygrad_step}
    losses = LOSSES if library != "tinygrad" else TINYGRAD_LOSSES
    import mytorch

    mytorch.manual_seed(0)
    model = MODELS[name](mytorch, **sizes)
    products = training(mytorch, model).flops
    weights = [weight.detach().numpy().copy() for weight in model.network.parameters()]
    x, target = (part.numpy() for part in model.batch)
    start = makers[library](losses[name])
    step: Callable[[], float] | None = None

    def begin() -> None:
        nonlocal step
        step = start(weights, x, target)

    def one() -> float:
        assert step is not None
        return step()

    def values() -> list[float]:
        begin()
        return [one() for _ in range(CHECKED_STEPS)]

    return Task(one, values, begin, products)


MODELS: dict[str, Callable[..., Any]] = {"mlp": models.mlp, "cnn": models.cnn, "gru": models.recurrent}


def has(library: str, name: str) -> bool:
    """Whether a work is written for a library."""
    return name in (LOSSES if library != "tinygrad" else TINYGRAD_LOSSES)


# ---- JAX and MLX ----------------------------------------------------------------------------------------------------------


class Names:
    """What JAX and MLX call differently. `xp` has NumPy's names."""

    xp: Any
    sigmoid: Callable[[Any], Any]
    logsumexp: Callable[..., Any]
    convolution: Callable[[Any, Any], Any]  # of images (N, H, W, C) with weights (O, I, H, W)
    scan: Callable[..., Any]  # a function of state and frame, over frames


def dense(n: Names, x: Any, w: Any, b: Any) -> Any:
    """A Linear layer."""
    return x @ w.T + b


def cross_entropy(n: Names, scores: Any, target: Any) -> Any:
    """The mean of -log softmax(scores)[target]."""
    right = n.xp.take_along_axis(scores, target[:, None], 1)[:, 0]
    return (n.logsumexp(scores, 1) - right).mean()


def mlp_loss(n: Names, weights: Any, x: Any, target: Any) -> Any:
    """models.mlp."""
    for i in range(0, len(weights) - 2, 2):
        x = n.xp.maximum(dense(n, x, weights[i], weights[i + 1]), 0)
    return cross_entropy(n, dense(n, x, *weights[-2:]), target)


def cnn_loss(n: Names, weights: Any, x: Any, target: Any) -> Any:
    """models.cnn."""
    w1, b1, w2, b2, w3, b3, w4, b4 = weights
    y = n.xp.transpose(x, (0, 2, 3, 1))  # (N, H, W, 1)
    y = n.xp.maximum(n.convolution(y, w1) + b1, 0)
    y = n.xp.maximum(n.convolution(y, w2) + b2, 0)
    batch, height, width, channels = y.shape
    y = y.reshape(batch, height // 2, 2, width // 2, 2, channels).max((2, 4))
    y = n.xp.transpose(y, (0, 3, 1, 2)).reshape(batch, -1)
    return cross_entropy(n, dense(n, n.xp.maximum(dense(n, y, w3, b3), 0), w4, b4), target)


def gru_loss(n: Names, weights: Any, x: Any, target: Any) -> Any:
    """models.recurrent with GRU layers."""
    y = x  # (T, B, size)
    for layer in range((len(weights) - 2) // 4):
        w_in, w_state, b_in, b_state = weights[4 * layer : 4 * layer + 4]

        def cell(h: Any, gates: Any, w_state: Any = w_state, b_state: Any = b_state) -> tuple[Any, Any]:
            own = dense(n, h, w_state, b_state)
            (r, z, new), (own_r, own_z, own_new) = n.xp.split(gates, 3, 1), n.xp.split(own, 3, 1)
            update = n.sigmoid(z + own_z)
            h = (1 - update) * n.xp.tanh(new + n.sigmoid(r + own_r) * own_new) + update * h
            return h, h

        gates = dense(n, y, w_in, b_in)  # of all times at once
        y = n.scan(cell, n.xp.zeros((x.shape[1], w_state.shape[1]), x.dtype), gates)
    return cross_entropy(n, dense(n, y[-1], *weights[-2:]), target)


LOSSES: dict[str, Callable[..., Any]] = {"mlp": mlp_loss, "cnn": cnn_loss, "gru": gru_loss}


def adam(n: Names, weights: Any, gradients: Any, first: Any, second: Any, t: Any) -> tuple[Any, Any, Any]:
    """Kingma and Ba 2014, algorithm 1."""
    first = [BETA1 * m + (1 - BETA1) * g for m, g in zip(first, gradients)]
    second = [BETA2 * v + (1 - BETA2) * g * g for v, g in zip(second, gradients)]
    rate, scale = RATE / (1 - BETA1**t), n.xp.sqrt(1 - BETA2**t)
    weights = [w - rate * m / (n.xp.sqrt(v) / scale + EPS) for w, m, v in zip(weights, first, second)]
    return weights, first, second


def functional_step(n: Names, asarray: Callable[[Any], Any], jitted: Callable[..., Any], finish: Callable[[Any], float]) -> Callable[..., Any]:
    """From (weights, x, target) to a step that remembers the weights and Adam's averages."""
    def start(weights: Any, x: Any, target: Any) -> Callable[[], float]:
        state = [asarray(w) for w in weights], [asarray(w * 0) for w in weights], [asarray(w * 0) for w in weights]
        x, target, t = asarray(x), asarray(target), 0

        def step() -> float:
            nonlocal state, t
            t += 1
            loss, *rest = jitted(*state, n.xp.array(float(t)), x, target)
            state = tuple(rest)
            return finish((loss, state))

        return step

    return start


def jax_step(loss: Callable[..., Any]) -> Callable[..., Any]:
    """The step under jax.jit."""
    import jax

    def scan(cell: Any, h: Any, frames: Any) -> Any:
        return jax.lax.scan(cell, h, frames)[1]

    n = Names()
    n.xp, n.sigmoid, n.logsumexp, n.scan = jax.numpy, jax.nn.sigmoid, jax.nn.logsumexp, scan
    n.convolution = lambda x, w: jax.lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=("NHWC", "OIHW", "NHWC"))

    @jax.jit
    def jitted(weights: Any, first: Any, second: Any, t: Any, x: Any, target: Any) -> Any:
        value, gradients = jax.value_and_grad(lambda w: loss(n, w, x, target))(weights)
        return (value, *adam(n, weights, gradients, first, second, t))

    return functional_step(n, jax.numpy.asarray, jitted, lambda result: float(jax.block_until_ready(result)[0]))


def mlx_step(loss: Callable[..., Any]) -> Callable[..., Any]:
    """The step under mlx.core.compile, on the CPU."""
    import mlx.core as mx

    def scan(cell: Any, h: Any, frames: Any) -> Any:
        outputs = []
        for t in range(frames.shape[0]):
            h, y = cell(h, frames[t])
            outputs.append(y)
        return mx.stack(outputs)

    n = Names()
    n.xp, n.sigmoid, n.logsumexp, n.scan = mx, mx.sigmoid, mx.logsumexp, scan
    n.convolution = lambda x, w: mx.conv2d(x, mx.transpose(w, (0, 2, 3, 1)))

    def whole(weights: Any, first: Any, second: Any, t: Any, x: Any, target: Any) -> Any:
        value, gradients = mx.value_and_grad(lambda w: loss(n, w, x, target))(weights)
        return (value, *adam(n, weights, gradients, first, second, t))

    def finish(result: Any) -> float:
        mx.eval(result)
        return result[0].item()

    return functional_step(n, mx.array, mx.compile(whole), finish)


# ---- tinygrad -------------------------------------------------------------------------------------------------------------


def tinygrad_mlp(weights: Any, x: Any, target: Any) -> Any:
    """models.mlp."""
    for i in range(0, len(weights) - 2, 2):
        x = x.linear(weights[i].transpose(), weights[i + 1]).relu()
    return x.linear(weights[-2].transpose(), weights[-1]).sparse_categorical_crossentropy(target)


def tinygrad_cnn(weights: Any, x: Any, target: Any) -> Any:
    """models.cnn."""
    w1, b1, w2, b2, *rest = weights
    return tinygrad_mlp(rest, x.conv2d(w1, b1).relu().conv2d(w2, b2).relu().max_pool2d(2).flatten(1), target)


TINYGRAD_LOSSES: dict[str, Callable[..., Any]] = {"mlp": tinygrad_mlp, "cnn": tinygrad_cnn}


def tinygrad_step(loss: Callable[..., Any]) -> Callable[..., Any]:
    """The step under TinyJit."""
    from tinygrad import Context, Tensor, TinyJit
    from tinygrad.nn.optim import Adam

    def start(weights: Any, x: Any, target: Any) -> Callable[[], float]:
        parameters = [Tensor(w).contiguous().realize() for w in weights]
        optimizer = Adam(parameters, lr=RATE, b1=BETA1, b2=BETA2, eps=EPS)
        inputs, targets = Tensor(x).realize(), Tensor(target).realize()

        @TinyJit
        def step() -> Any:
            value = loss(parameters, inputs, targets)
            optimizer.zero_grad()
            value.backward()
            return value.realize(*optimizer.schedule_step())

        def one() -> float:
            with Context(TRAINING=1):
                return step().item()

        return one

    return start
