"""Gradients summed over ranks, in buckets that leave while backward still runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from minigrad.backend import get_xp, to_device
from minigrad.distributed.group import Group, Work
from minigrad.errors import OptionError
from minigrad.loading import check_kinds, check_numbers, several
from minigrad.tensor import Tensor, wrap

__all__ = ["GradientBuckets"]


class GradientBuckets:
    """Sums the gradients of parameters over the ranks of a group.

    Backward finds the gradients of the last layers first, so the buckets are filled from the end of
    the list; each is sent as soon as it is full and those before it are, in the same order on all
    ranks.

    Parameters
    ----------
    params : iterable of Tensor
        In the same order on all ranks; those that need no gradient at the time are passed by.
    group : Group
        The ranks.
    megabytes : float, default 4
        Size of a bucket: small ones leave early, large ones cost fewer messages.

    Raises
    ------
    OptionError
        If the size is not above 0, or the group none.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.ones(2, requires_grad=True)
    >>> buckets = GradientBuckets([w], mg.distributed.init())
    >>> with buckets.summing():
    ...     (3 * w).sum().backward()
    >>> w.grad
    tensor([3., 3.])
    """

    def __init__(self, params: Iterable[Tensor], group: Group, megabytes: float = 4.0) -> None:
        check_numbers("GradientBuckets", megabytes=megabytes)
        if not megabytes > 0:
            raise OptionError(f"GradientBuckets: megabytes must lie above 0, got {megabytes}")
        check_kinds("GradientBuckets", Group, "init() returns one", group=group)
        self.params = several("GradientBuckets", "params", params, Tensor)
        self.group, self.limit = group, megabytes * 2**20
        self._buckets: list[_Bucket] = []
        self._laid_out: list[Any] = []  # what these buckets are for

    def _layout(self) -> list[_Bucket]:
        """Return the buckets of what is trained now; new ones only if that has changed."""
        trained = [p for p in self.params if p.requires_grad]
        wanted = [(id(p), p.shape, p.dtype, str(p.device)) for p in trained]
        if wanted == self._laid_out:
            return self._buckets
        self._buckets, self._laid_out = [], wanted
        filling: dict[Any, _Bucket] = {}
        for p in reversed(trained):
            kind = p.dtype, str(p.device)
            if kind not in filling:
                filling[kind] = _Bucket()
                self._buckets.append(filling[kind])
            filling[kind].add(p)
            if filling[kind].nbytes >= self.limit:
                del filling[kind]
        return self._buckets

    @contextmanager
    def summing(self) -> Iterator[None]:
        """Run one backward pass inside: after it every ``grad`` is the sum over the ranks.

        A gradient that was there before counts as this rank's. Where no rank has one, it stays
        None.
        """
        if self.group.size == 1:
            yield
            return
        buckets = self._layout()
        flight = _Flight(buckets, self.group)
        hooks = [
            p.register_hook(partial(flight.arrived, bucket, i))
            for bucket in buckets
            for i, p in enumerate(bucket.params)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
        flight.land()


class _Bucket:
    """Parameters whose gradients travel together, one after the other from `starts` on."""

    def __init__(self) -> None:
        self.params: list[Tensor] = []
        self.starts: list[int] = []
        self.size = self.nbytes = 0

    def add(self, p: Tensor) -> None:
        self.params.append(p)
        self.starts.append(self.size)
        self.size += p.numel()
        self.nbytes += p.nbytes


class _Flight:
    """The buckets of one backward pass."""

    def __init__(self, buckets: list[_Bucket], group: Group) -> None:
        self.buckets, self.group = buckets, group
        self.arrays: dict[_Bucket, Any] = {}
        self.missing = {bucket: set(range(len(bucket.params))) for bucket in buckets}
        self.sent: list[Work] = []

    def arrived(self, bucket: _Bucket, i: int, grad: Tensor) -> None:
        """Put a gradient into its bucket; send what is full now, and let MPI move the rest."""
        before = bucket.params[i].grad
        self._put(bucket, i, grad if before is None else before + grad)
        while len(self.sent) < len(self.buckets) and not self.missing[self.buckets[len(self.sent)]]:
            self._send()
        if self.sent:
            self.sent[-1].test()

    def land(self) -> None:
        """Send what is left, wait for all of it, and hand out the sums."""
        while len(self.sent) < len(self.buckets):
            bucket = self.buckets[len(self.sent)]
            for i in sorted(self.missing[bucket]):
                if (grad := bucket.params[i].grad) is not None:
                    self._put(bucket, i, grad)
            self._send()
        for bucket, work in zip(self.buckets, self.sent, strict=True):
            work.wait()
            array = self.arrays[bucket]
            found = to_device(array[bucket.size :], "cpu")
            for p, start, count in zip(bucket.params, bucket.starts, found, strict=True):
                part = array[start : start + p.numel()].reshape(p.shape)
                p.grad = wrap(part) if count else None

    def _put(self, bucket: _Bucket, i: int, grad: Tensor) -> None:
        array = self._array(bucket)
        start = bucket.starts[i]
        array[start : start + grad.numel()] = grad.array.reshape(-1)
        array[bucket.size + i] = 1
        self.missing[bucket].discard(i)

    def _array(self, bucket: _Bucket) -> Any:
        """Return the bucket's memory: the gradients, then for each how many ranks have one."""
        if bucket not in self.arrays:
            first, size = bucket.params[0].array, bucket.size + len(bucket.params)
            self.arrays[bucket] = get_xp(first).zeros(size, first.dtype)
        return self.arrays[bucket]

    def _send(self) -> None:
        self.sent.append(self.group.all_reduce(self._array(self.buckets[len(self.sent)])))
