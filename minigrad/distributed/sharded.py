"""ShardedOptimizer: the state of an optimizer divided among the ranks (ZeRO, stage 1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from minigrad.backend import get_xp
from minigrad.distributed.group import Group
from minigrad.loading import check_kinds
from minigrad.optim import Optimizer
from minigrad.tensor import Tensor

__all__ = ["ShardedOptimizer"]


class ShardedOptimizer:
    """Lets every rank update a part of the parameters, and keep the state of these alone.

    After a step each rank hands its parameters to the others. The numbers are those of the whole
    optimizer; of its state, two arrays per parameter for Adam, a rank has about the n-th part.

    Parameters
    ----------
    optimizer : Optimizer
        What updates the parameters; schedules go on to write into its groups.
    group : Group
        The ranks.

    Attributes
    ----------
    owner : dict
        Parameter to the rank that updates it: the largest first, each to the rank with least.

    Notes
    -----
    Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models",
    2020.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.ones(2, requires_grad=True)
    >>> optimizer = ShardedOptimizer(mg.optim.SGD([w], lr=0.5), mg.distributed.init())
    >>> w.sum().backward()
    >>> optimizer.step()
    >>> w.data
    tensor([0.5, 0.5])
    """

    def __init__(self, optimizer: Optimizer, group: Group) -> None:
        check_kinds("ShardedOptimizer", Optimizer, optimizer=optimizer)
        check_kinds("ShardedOptimizer", Group, "init() returns one", group=group)
        self.optimizer, self.group = optimizer, group
        self.owner: dict[Tensor, int] = {}
        loads = [0] * group.size
        params = [p for own in optimizer.param_groups for p in own["params"]]
        for p in sorted(params, key=lambda p: -p.numel()):  # of equal ones the earlier first
            self.owner[p] = loads.index(min(loads))
            loads[self.owner[p]] += p.numel()

    def step(self) -> None:
        """Update this rank's parameters that have a gradient; fetch the others from theirs."""
        hidden = {p: p.grad for p, rank in self.owner.items() if rank != self.group.rank}
        for p in hidden:
            p.grad = None
        try:
            self.optimizer.step()
        finally:
            for p, grad in hidden.items():
                p.grad = grad
        parcels: dict[Any, list[Tensor]] = {}
        for p, rank in self.owner.items():
            if p.grad is not None:
                parcels.setdefault((rank, p.dtype), []).append(p)
        for (rank, _), params in parcels.items():
            self._hand_out(params, rank)

    def _hand_out(self, params: list[Tensor], rank: int) -> None:
        xp = get_xp(params[0].array)
        parcel = xp.concatenate([p.array.reshape(-1) for p in params])
        self.group.broadcast(parcel, rank)
        start = 0
        for p in params:
            if rank != self.group.rank:
                p.array[...] = parcel[start : start + p.numel()].reshape(p.shape)
                p._version[0] += 1
            start += p.numel()

    def zero_grad(self) -> None:
        """Drop the gradient of every parameter."""
        self.optimizer.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """Return the whole state on rank 0, this rank's part elsewhere; all ranks call it."""
        own = self.optimizer.state_dict()
        parts = self.group.all_gather(own["state"] if self.group.rank else None)
        if self.group.rank == 0:
            for part in filter(None, parts):
                own["state"] |= part
            own["state"] = dict(sorted(own["state"].items()))
        return own

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load the state of a whole optimizer, of which a rank keeps its part.

        Raises
        ------
        MinigradError
            If it does not fit; nothing has changed then.
        """
        self.prepare_load(state_dict)()

    def prepare_load(self, state_dict: Mapping[str, Any]) -> Callable[[], None]:
        """Check and convert a state; return the function that applies it (see `loading`)."""
        load = self.optimizer.prepare_load(state_dict)

        def commit() -> None:
            load()
            for p, rank in self.owner.items():
                if rank != self.group.rank:
                    self.optimizer.state.pop(p, None)

        return commit
