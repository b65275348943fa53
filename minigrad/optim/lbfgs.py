"""L-BFGS, with the strong Wolfe line search."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from minigrad.backend import get_xp
from minigrad.errors import OptionError, brief
from minigrad.loading import integer
from minigrad.modes import enable_grad
from minigrad.optim.optimizer import Group, Optimizer
from minigrad.tensor import Tensor, wrap

__all__ = ["LBFGS"]

DECREASE, CURVATURE = 1e-4, 0.9  # the two constants of Wolfe's conditions
Objective = Callable[[float], tuple[float, Any]]  # loss and gradient at a distance


class LBFGS(Optimizer):
    """Newton's direction from the last gradients (Liu and Nocedal, 1989).

    The arithmetic is PyTorch's. It evaluates the loss several times in each step, so `step` needs a
    closure that does it on the same samples every time; it is for small problems, not for batches.

    Parameters
    ----------
    params : iterable
        As `Optimizer` takes them, in one group.
    lr : float, default 1
        Length of a step, or where the line search begins.
    max_iter : int, default 20
        Iterations of each step.
    max_eval : int, optional
        Evaluations of each step; by default ``max_iter * 5 // 4``.
    tolerance_grad : float, default 1e-7
        A gradient whose elements are all this small is that of a minimum.
    tolerance_change : float, default 1e-9
        Smaller changes of the loss, or of all parameters, end the step.
    history_size : int, default 100
        Gradients that are kept.
    line_search_fn : {None, "strong_wolfe"}
        How the length of an iteration is found.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.tensor([3.0, -2.0], requires_grad=True)
    >>> optimizer = mg.optim.LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (w[0] - 1) ** 2 + 10 * (w[1] - w[0]) ** 2
    ...     loss.backward()
    ...     return loss
    >>> _ = optimizer.step(closure)
    >>> bool(abs(w.detach() - 1).max() < 1e-3)
    True
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        for name, count in (("max_iter", max_iter), ("max_eval", max_eval)):
            if integer(count) is None and (count is not None or name == "max_iter"):
                raise OptionError(f"LBFGS: {name} must be a whole number, got {brief(count)}")
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) > 1:
            raise OptionError(
                f"LBFGS: one group of parameters is possible, got {len(self.param_groups)}: its "
                "direction is that of all of them together"
            )

    def check(self, group: Group) -> None:
        super().check(group)
        search = group["line_search_fn"]
        if search is not None and not (isinstance(search, str) and search == "strong_wolfe"):
            raise OptionError(
                f"LBFGS: line_search_fn is None or 'strong_wolfe', got {brief(search)}"
            )
        for name in ("max_iter", "max_eval", "history_size"):
            if not (integer(group[name]) or 0) >= 1:
                raise OptionError(f"LBFGS: {name} must be 1 or more, got {group[name]!r}")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take up to ``max_iter`` iterations; return the loss before them.

        Raises
        ------
        OptionError
            If there is no closure.
        """
        if closure is None:
            raise OptionError(
                "LBFGS: step needs a closure, which computes the loss anew, with backward, and "
                "returns it"
            )
        group, params = self.param_groups[0], self._params()
        xp, state = get_xp(params[0].array), self.state[params[0]]
        kept = _Memory(state)
        evaluate = _Evaluation(params, closure, xp)
        first, grad = evaluate()
        loss = float(first)
        lr, tiny, change = (group[k] for k in ("lr", "tolerance_grad", "tolerance_change"))
        for number in range(int(group["max_iter"])):
            if _largest(xp, grad) <= tiny:
                break
            kept.add(grad, group["history_size"])
            d = kept.direction(grad)
            t = min(1.0, 1.0 / float(xp.abs(grad).sum())) * lr if kept.count == 1 else lr
            slope = float(grad @ d)
            before = loss
            kept.grad, kept.d, kept.t = grad.copy(), d, t
            if slope > -change:
                break
            if group["line_search_fn"]:
                most = group["max_eval"] - evaluate.count
                loss, grad, t = _strong_wolfe(
                    evaluate.along(d), t, (loss, grad, slope), xp, d, most
                )
                evaluate.move(d, t)
            else:
                evaluate.move(d, t)
                if number + 1 < group["max_iter"]:
                    found, grad = evaluate()
                    loss = float(found)
            kept.t = t
            small = _largest(xp, d * t) <= change or abs(loss - before) < change
            if small or evaluate.count >= group["max_eval"]:
                break
        kept.save(state, evaluate.count)
        return first


class _Evaluation:
    """The loss and its gradient as one vector, wherever the parameters are moved."""

    def __init__(self, params: list[Tensor], closure: Callable[[], Any], xp: Any) -> None:
        self.params, self.closure, self.xp, self.count = params, closure, xp, 0

    def __call__(self) -> tuple[Any, Any]:
        with enable_grad():
            loss = self.closure()
        self.count += 1
        parts = [
            self.xp.zeros(p.array.size, p.array.dtype) if p.grad is None else p.grad.array.ravel()
            for p in self.params
        ]
        return loss, self.xp.concatenate(parts)

    def move(self, d: Any, t: float) -> None:
        """Move the parameters by a distance in a direction."""
        start = 0
        for p in self.params:
            part = d[start : start + p.array.size]
            p.array += (part * t).reshape(p.shape)
            p._version[0] += 1
            start += p.array.size

    def along(self, d: Any) -> Objective:
        """Return the loss as a function of the distance; the parameters stay where they are."""
        place = [p.array.copy() for p in self.params]

        def objective(t: float) -> tuple[float, Any]:
            self.move(d, t)
            loss, grad = self()
            for p, array in zip(self.params, place, strict=True):
                p.array[...] = array
                p._version[0] += 1
            return float(loss), grad

        return objective


class _Memory:
    """The last changes of the gradient and of the parameters, and what follows from them."""

    def __init__(self, state: dict[str, Any]) -> None:
        def arrays(name: str) -> list[Any]:
            return [x.array if isinstance(x, Tensor) else x for x in state.get(name, [])]

        self.count = int(state.get("n_iter", 0))
        self.changes, self.steps = arrays("old_dirs"), arrays("old_stps")
        self.inverse = [float(x) for x in state.get("ro", [])]
        self.scale = float(state.get("H_diag", 1.0))
        self.d: Any
        self.grad: Any
        self.d, self.grad = (x.array if isinstance(x, Tensor) else x for x in map(state.get, LAST))
        self.t = float(state.get("t", 0.0))

    def add(self, grad: Any, size: int) -> None:
        """Remember what the last iteration changed."""
        self.count += 1
        if self.count == 1:
            return
        y, s = grad - self.grad, self.d * self.t
        ys = float(y @ s)
        if ys > 1e-10:
            self.changes, self.steps = [*self.changes, y][-size:], [*self.steps, s][-size:]
            self.inverse = [*self.inverse, 1.0 / ys][-size:]
            self.scale = ys / float(y @ y)

    def direction(self, grad: Any) -> Any:
        """Return minus the inverse Hessian, as it is known, times the gradient."""
        q, shares = -grad, []
        pairs = list(zip(self.changes, self.steps, self.inverse, strict=True))
        for y, s, r in reversed(pairs):
            shares.append(float(s @ q) * r)
            q = q - y * shares[-1]
        d = q * self.scale
        for (y, s, r), share in zip(pairs, reversed(shares), strict=True):
            d = d + s * (share - float(y @ d) * r)
        return d

    def save(self, state: dict[str, Any], evaluations: int) -> None:
        """Write everything where a checkpoint finds it, under PyTorch's names."""
        state["func_evals"] = int(state.get("func_evals", 0)) + evaluations
        state["n_iter"], state["H_diag"], state["t"] = self.count, self.scale, self.t
        state["old_dirs"], state["old_stps"] = map(_tensors, (self.changes, self.steps))
        state["ro"] = list(self.inverse)
        for name, array in zip(LAST, (self.d, self.grad), strict=True):
            if array is not None:
                state[name] = wrap(array)


LAST = ("d", "prev_flat_grad")


def _tensors(arrays: list[Any]) -> list[Tensor]:
    return [wrap(array) for array in arrays]


def _largest(xp: Any, array: Any) -> float:
    return float(xp.abs(array).max())


def _strong_wolfe(
    objective: Objective, t: float, start: tuple[float, Any, float], xp: Any, d: Any, most: int
) -> tuple[float, Any, float]:
    """Return loss, gradient and distance where the loss is low enough and flat enough.

    First the interval grows until it must hold such a point, then it shrinks around it (Nocedal and
    Wright, Numerical Optimization, algorithms 3.5 and 3.6). A point is (t, loss, gradient, slope).
    """
    loss, grad, slope = start

    def at(t: float) -> tuple[float, float, Any, float]:
        f, g = objective(t)
        return t, f, g, float(g @ d)

    def too_high(point: tuple[float, float, Any, float]) -> bool:
        return point[1] > loss + DECREASE * point[0] * slope

    before, now = (0.0, loss, grad, slope), at(t)
    tries, done = 0, False
    bracket = [before, now]
    while tries < most:
        if too_high(now) or (tries > 1 and now[1] >= before[1]):
            bracket = [before, now]
            break
        if abs(now[3]) <= -CURVATURE * slope:
            bracket, done = [now, now], True
            break
        if now[3] >= 0:
            bracket = [before, now]
            break
        ends = now[0] + 0.01 * (now[0] - before[0]), now[0] * 10
        before, now = now, at(_cubic(before, now, ends))
        tries += 1
    else:
        bracket = [(0.0, loss, grad, slope), now]
    low, high = (0, 1) if bracket[0][1] <= bracket[1][1] else (1, 0)
    stuck = False
    while not done and tries < most:
        left, right = sorted(point[0] for point in bracket)
        if (right - left) * _largest(xp, d) < 1e-9:
            break
        t = _cubic(bracket[0], bracket[1], (left, right))
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:  # near an end: go away from it, at the second time
            if stuck or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        now = at(t)
        tries += 1
        if too_high(now) or now[1] >= bracket[low][1]:
            bracket[high] = now
            low, high = (0, 1) if bracket[0][1] <= bracket[1][1] else (1, 0)
            continue
        if abs(now[3]) <= -CURVATURE * slope:
            done = True
        elif now[3] * (bracket[high][0] - bracket[low][0]) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = now
    t, f, g, _ = bracket[low]
    return f, g, t


def _cubic(
    a: tuple[float, float, Any, float],
    b: tuple[float, float, Any, float],
    ends: tuple[float, float],
) -> float:
    """Return where the cubic through two points and their slopes is least, between two ends."""
    if a[0] > b[0]:
        a, b = b, a
    (x1, f1, _, g1), (x2, f2, _, g2) = a, b
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1 * d1 - g1 * g2
    if not square >= 0:
        return (ends[0] + ends[1]) / 2.0
    d2 = math.sqrt(square)
    least = x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2))
    return min(max(least, ends[0]), ends[1])
