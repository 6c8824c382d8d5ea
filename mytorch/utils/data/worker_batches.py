"""A pass over a DataLoader with worker processes: which worker gets which batch, and the order in which they come back."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any, NoReturn

from mytorch.utils.data.dataloader import Batches
from mytorch.utils.data.processes import Process, Team, describe, error_of
from mytorch.utils.data.transfer import unpack

if TYPE_CHECKING:
    from mytorch.utils.data.dataloader import DataLoader

__mytorch__ = True


class WorkerBatches(Batches):
    """Batches from worker processes.

    Tasks are numbered over all passes. Worker after worker is given one, prefetch_factor * num_workers ahead of what has been
    yielded; answers that come early wait for their turn.
    """

    _hint = " Each worker reads a whole copy of the stream, unless its __iter__ asks get_worker_info() which part is its own."

    def __init__(self, loader: DataLoader[Any]) -> None:
        super().__init__(loader)
        if loader.prefetch_factor == 0:
            raise AssertionError("DataLoader with workers requires prefetch_factor > 0; got 0")
        self._job, self._count = loader._job(), loader.num_workers
        self._in_order, self._persistent, self._timeout = loader.in_order, loader.persistent_workers, loader.timeout
        self._ahead = (loader.prefetch_factor or 0) * self._count
        self._sent = 0
        self._broken: str | None = None  # why there will be no more batches
        self._team = Team(
            loader.multiprocessing_context, self._job, self._count, self._base_seed, loader.worker_init_fn, self._persistent, self._timeout
        )
        self._begin()

    @property
    def usable(self) -> bool:
        """Whether another pass can begin with these workers."""
        return self._team.alive

    def restart(self, loader: DataLoader[Any]) -> None:
        """Begin another pass with the same workers: a sampler that draws in ``__iter__`` draws again, as in torch."""
        self._count_anew(loader)
        self._team.resume()
        self._begin()

    def _begin(self) -> None:
        self._indices = iter(self._index_sampler)
        self._first = self._next = self._sent  # numbers of tasks: of this pass, to be yielded, to be sent
        self._tasks: dict[int, tuple[int, Any]] = {}  # sent and not yielded: worker and index
        self._early: dict[int, tuple[Any, Any]] = {}  # answers that wait for their turn
        self._serving = [True] * self._count  # False once the worker's stream has ended
        self._load = [0] * self._count
        self._turns = itertools.cycle(range(self._count))
        for _ in range(self._ahead):
            self._ask_ahead()

    def _ask_ahead(self) -> None:
        """Give the next task to the next worker that may have one."""
        try:
            index = next(self._indices)
        except StopIteration:
            return
        for number in itertools.islice(self._turns, self._count):
            if self._serving[number] and (self._in_order or self._load[number] < self._ahead // sum(self._serving)):
                break
        else:
            return
        self._team.ask(number, self._sent, index)
        self._tasks[self._sent] = number, index
        self._load[number] += 1
        self._sent += 1

    def _next_batch(self) -> Any:
        if self._broken is not None:
            raise RuntimeError(self._broken)
        try:
            return self._yield(*self._answer_in_turn())
        except (KeyboardInterrupt, SystemExit):
            self._broken = "DataLoader: this pass was interrupted while it waited for a batch, and its workers ended; begin another pass"
            self._team.end(0.0)
            raise

    def _answer_in_turn(self) -> tuple[Any, Any]:
        deadline = time.monotonic() + self._timeout if self._timeout else None
        while True:
            while self._next < self._sent and self._next not in self._tasks:  # yielded, or its worker's stream has ended
                self._next += 1
            if self._next == self._sent:
                if not self._persistent:
                    self._team.end()
                raise StopIteration
            if self._next in self._early:
                return self._early.pop(self._next)
            header, packed = self._wait(deadline)
            kind, task, _ = header
            if task < self._first:
                continue  # a batch of an earlier pass that was left before its end
            if kind == "end":
                number, _ = self._tasks[task]
                self._serving[number] = False
                self._tasks = {key: value for key, value in self._tasks.items() if value[0] != number or key in self._early}
                self._ask_ahead()
            elif task == self._next or not self._in_order:
                return header, packed
            else:
                self._early[task] = header, packed

    def _wait(self, deadline: float | None) -> tuple[Any, Any]:
        watched = [number for number in range(self._count) if self._serving[number]]
        answer = self._team.answer(watched, deadline)
        if answer is None:
            number = self._tasks[self._next][0]
            self._fail(
                f"DataLoader timed out after {self._timeout} seconds: worker {number} (pid {self._team.workers[number].pid}) "
                f"has not delivered {self._where(self._next)}"
            )
        if isinstance(answer, Process):
            mine = [task for task, (number, _) in self._tasks.items() if number == answer.number and task not in self._early]
            busy = f" while it loaded {self._where(min(mine))}" if mine else " while it had nothing to do"
            self._fail(
                f"DataLoader worker (pid(s) {answer.pid}) exited unexpectedly: worker {answer.number} {answer.ending()}{busy}"
            )
        return answer

    def _fail(self, message: str) -> NoReturn:
        self._broken = message
        self._team.end(0.0)
        raise RuntimeError(message)

    def _where(self, task: int) -> str:
        number, index = self._tasks[task]
        return describe(task - self._first, index, self._team.place_of(number, task), self._job.iterable, self._job.batched)

    def _yield(self, header: tuple[str, int, int], packed: Any) -> Any:
        kind, task, place = header
        number, index = self._tasks.pop(task)
        self._load[number] -= 1
        self._ask_ahead()
        value = unpack(packed)
        if kind == "error":
            where = describe(task - self._first, index, place, self._job.iterable, self._job.batched)
            raise error_of(value, where, number) from None
        return value
