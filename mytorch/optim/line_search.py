"""A line search for the strong Wolfe conditions: a step along a direction that lowers both the loss and its slope enough."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__mytorch__ = True

_SUFFICIENT = 1e-4  # c1 of the conditions: f(t) <= f(0) + c1 t f'(0)
_CURVATURE = 0.9  # c2: |f'(t)| <= c2 |f'(0)|


class Point(NamedTuple):
    """A place on the line: the step, the loss there, its slope along the line, and the gradient."""

    t: float
    loss: float
    slope: float
    grad: Any


def cubic_minimum(a: Point, b: Point, low: float, high: float) -> float:
    """Where the cubic through both points, with their slopes, is smallest between `low` and `high`; the middle if nowhere.

    Source: Nocedal, Wright 2006, "Numerical optimization", eq. 3.59
    """
    if a.t > b.t:
        a, b = b, a
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2
    d2 = math.sqrt(square)
    t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
    return min(max(t, low), high)


def strong_wolfe(evaluate: Callable[[float], Point], start: Point, t: float, size: float, tolerance: float,
                 limit: int) -> tuple[Point, int]:
    """A point after `start` that meets the strong Wolfe conditions, and the number of evaluations it took.

    Args:
        evaluate: the Point at a step t.
        start: the Point at 0, whose slope is negative.
        t: the first step to try.
        size: the largest entry of the direction: a bracket whose ends are nearer than tolerance / size is not split.
        limit: the most evaluations after the first; the lowest point found is returned then.
    Source: Nocedal, Wright 2006, algorithms 3.5 and 3.6, with the safeguards of M. Schmidt's minFunc
    """

    def too_high(point: Point) -> bool:
        return point.loss > start.loss + _SUFFICIENT * point.t * start.slope

    def flat(point: Point) -> bool:
        return abs(point.slope) <= -_CURVATURE * start.slope

    before, point = start, evaluate(t)
    count = 1
    for tried in range(limit):
        if too_high(point) or (tried > 1 and point.loss >= before.loss) or (point.slope >= 0 and not flat(point)):
            return _zoom(evaluate, before, point, too_high, flat, (size, tolerance, limit - tried, count))
        if flat(point):
            return point, count
        further = cubic_minimum(before, point, point.t + 0.01 * (point.t - before.t), point.t * 10)
        before, point = point, evaluate(further)
        count += 1
    return (point if point.loss < start.loss else start), count


def _zoom(evaluate: Callable[[float], Point], a: Point, b: Point, too_high: Callable[[Point], bool],
          flat: Callable[[Point], bool], limits: tuple[float, float, int, int]) -> tuple[Point, int]:
    """Narrow the bracket from a to b down to a point that meets the conditions."""
    size, tolerance, limit, count = limits
    low, high = (a, b) if a.loss <= b.loss else (b, a)
    stuck = False
    for _ in range(limit):
        left, right = min(low.t, high.t), max(low.t, high.t)
        if (right - left) * size < tolerance:
            break
        t = cubic_minimum(low, high, left, right)
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:  # at an end of the bracket: once is luck, twice in a row is no progress
            stuck = not (stuck or t >= right or t <= left)
            if not stuck:
                t = right - margin if right - t < t - left else left + margin
        else:
            stuck = False
        point = evaluate(t)
        count += 1
        if too_high(point) or point.loss >= low.loss:
            low, high = (low, point) if low.loss <= point.loss else (point, low)
            continue
        if flat(point):
            return point, count
        if point.slope * (high.t - low.t) >= 0:
            high = low
        low = point
    return low, count
