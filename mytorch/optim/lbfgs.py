"""L-BFGS: a quasi-Newton method with little memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mytorch.autograd_engine import enable_grad
from mytorch.inplace import bump
from mytorch.optim.line_search import Point, strong_wolfe
from mytorch.optim.optimizer import Optimizer, as_number, check_options
from mytorch.tensor import _wrap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from mytorch.tensor import Tensor

    Array = np.ndarray[Any, Any]

__mytorch__ = True


class LBFGS(Optimizer):
    """L-BFGS: Newton's step, with the inverse Hessian estimated from the last steps and the changes of the gradient.

    d_k = -H_k g_k, theta_{k+1} = theta_k + t_k d_k, where H_k comes from the pairs s = theta_{i+1} - theta_i,
    y = g_{i+1} - g_i with y.s > 1e-10, at most `history_size` of them.

    One `step` makes up to `max_iter` of these, and calls the closure, which clears the gradients, computes the loss, calls
    backward and returns the loss, for each. For full batches: the pairs compare gradients of one function.

    Args:
        params: Parameters, in one group.
        lr: the step t_k, or with a line search its first guess.
        max_iter: iterations per step.
        max_eval: evaluations per step; max_iter * 5 / 4 if None.
        tolerance_grad: stop where no entry of the gradient is larger.
        tolerance_change: stop where neither the loss nor any weight changes more.
        history_size: pairs to remember.
        line_search_fn: None, or "strong_wolfe".
    State: kept with the first parameter: n_iter, func_evals, d, t, old_dirs (y), old_stps (s), ro (1 / y.s), H_diag,
        prev_flat_grad and prev_loss.
    Raises:
        ValueError: for a negative lr or more than one group.
        RuntimeError: for another line search.
        NotImplementedError: for parameters that are not float32 or float64.
    Source: Nocedal 1980, "Updating quasi-Newton matrices with limited storage"; Nocedal, Wright 2006, algorithms 7.4 and 7.5
    """

    def __init__(self, params: Iterable[Any], lr: float | Tensor = 1, max_iter: int = 20, max_eval: int | None = None,
                 tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9, history_size: int = 100,
                 line_search_fn: str | None = None) -> None:
        check_options({"lr": lr})
        super().__init__(params, {"lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
                                  "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change,
                                  "history_size": history_size, "line_search_fn": line_search_fn})
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]
        if any(p._array.dtype not in (np.float32, np.float64) for p in self._params):
            raise NotImplementedError("LBFGS: parameters must be float32 or float64")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make up to `max_iter` iterations.

        Args:
            closure: clears the gradients, computes the loss, calls backward, returns the loss.
        Returns:
            The loss before the first iteration.
        Raises:
            TypeError: without a closure.
        """
        if closure is None:
            raise TypeError("LBFGS.step() missing 1 required positional argument: 'closure', which recomputes the loss and "
                            "its gradients")
        group = self.param_groups[0]
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)

        def evaluate() -> tuple[float, Array]:
            with enable_grad():
                loss = float(closure())
            return loss, self._gradient()

        with enable_grad():
            first = closure()
        loss, grad = float(first), self._gradient()
        evals = 1
        state["func_evals"] += 1
        for i in range(1, group["max_iter"] + 1):
            if _largest(grad) <= group["tolerance_grad"]:
                break
            state["n_iter"] += 1
            d = self._direction(state, grad, group["history_size"])
            slope = float(grad @ d)
            t = as_number(group["lr"])
            if state["n_iter"] == 1:  # nothing is known of the curvature: a short step
                t *= min(1.0, 1.0 / float(np.abs(grad).sum()))
            state.update(prev_flat_grad=_wrap(grad), prev_loss=loss, d=_wrap(d), t=t)
            if slope > -group["tolerance_change"]:  # no way down that arithmetic could see
                break
            before = loss
            if group["line_search_fn"] is not None:
                (t, loss, _, grad), count = self._search(evaluate, Point(0.0, loss, slope, grad), t, d, group["max_eval"] - evals)
                state["t"] = t
            else:
                self._move(t, d)
                count = int(i != group["max_iter"])  # after the last move the loss is not looked at
                if count:
                    loss, grad = evaluate()
            evals += count
            state["func_evals"] += count
            tolerance = group["tolerance_change"]
            if evals >= group["max_eval"] or _largest(t * d) <= tolerance or abs(loss - before) < tolerance:
                break
        return first

    def _direction(self, state: dict[str, Any], grad: Array, history_size: int) -> Array:
        """-H g, after the last step has joined the history."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return -grad
        y = grad - state["prev_flat_grad"]._array
        s = state["d"]._array * state["t"]
        ys = float(y @ s)
        if ys > 1e-10:
            for name, value in (("old_dirs", _wrap(y)), ("old_stps", _wrap(s)), ("ro", _number(1.0 / ys, y))):
                state[name] = [*state[name], value][-history_size:]
            state["H_diag"] = _number(ys / float(y @ y), y)
        pairs = [(y._array, s._array, float(ro)) for y, s, ro in zip(state["old_dirs"], state["old_stps"], state["ro"])]
        q = -grad
        weights = []
        for y, s, ro in reversed(pairs):
            weight = float(s @ q) * ro
            q -= weight * y
            weights.append(weight)
        q *= float(state["H_diag"])
        for (y, s, ro), weight in zip(pairs, reversed(weights)):
            q += (weight - float(y @ q) * ro) * s
        return q

    def _search(self, evaluate: Callable[[], tuple[float, Array]], start: Point, t: float, d: Array,
                left: int) -> tuple[Point, int]:
        """The line search from where the parameters are; they are moved to the point that it finds."""
        group = self.param_groups[0]
        if group["line_search_fn"] != "strong_wolfe":
            raise RuntimeError(f"only 'strong_wolfe' is supported, got line_search_fn={group['line_search_fn']!r}")
        origin = [p._array.copy() for p in self._params]

        def place(t: float) -> None:
            for p, x in zip(self._params, origin):
                p._array[...] = x
            self._move(t, d)

        def at(t: float) -> Point:
            place(t)
            loss, grad = evaluate()
            return Point(t, loss, float(grad @ d), grad)

        found, count = strong_wolfe(at, start, t, _largest(d), group["tolerance_change"], left)
        place(found.t)
        return found, count

    def _gradient(self) -> Array:
        return np.concatenate([np.zeros(p._array.size, p._array.dtype) if p.grad is None else p.grad._array.reshape(-1)
                               for p in self._params])

    def _move(self, t: float, d: Array) -> None:
        start = 0
        for p in self._params:
            size = p._array.size
            p._array += t * d[start:start + size].reshape(p._array.shape)
            start += size
            bump(p)


def _number(value: float, like: Array) -> Tensor:
    """A 0-d Tensor of the array's dtype, as torch's checkpoints keep it."""
    return _wrap(np.asarray(value, like.dtype))


def _largest(x: Array) -> float:
    return float(np.abs(x).max(initial=0.0))
