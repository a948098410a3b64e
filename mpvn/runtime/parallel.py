"""Tasks that depend on each other, run by several threads as soon as they can.

    needs     0: -   1: -   2: 0, 1           task 2 reads what 0 and 1 make
    thread A  0 ----------- 2 -----
    thread B  1 -------

Tasks know nothing of each other, and nothing of threads: what a task needs, is done before it.
"""

import collections
import concurrent.futures
import heapq
import threading
from collections.abc import Callable, Sequence

Task = Callable[[int], None]
"""Runs the task with this index."""


class Order:
    """An order of tasks.

    Args:
        needs: for each task, the indices of the tasks to be done before it, which are lower.
        costs: for each task, how long it takes, in any unit.
        rounds: for each task, its round: those of lower rounds run first, where they can. None: all
            tasks are of one round.

    Attributes:
        width: the number of tasks that can run at once: the most that are equally many tasks away
            from the first ones. 1 if each task needs the one before it.
    """

    def __init__(
        self,
        needs: Sequence[Sequence[int]],
        costs: Sequence[float],
        rounds: Sequence[int] | None = None,
    ) -> None:
        self.missing = [len(tasks) for tasks in needs]
        self.followers: list[list[int]] = [[] for _ in needs]
        depths: list[int] = []
        for index, tasks in enumerate(needs):
            depths.append(1 + max((depths[task] for task in tasks), default=-1))
            for task in tasks:
                self.followers[task].append(index)
        self.width = max(collections.Counter(depths).values(), default=0)
        self.rounds = [0] * len(needs) if rounds is None else rounds
        # Of each round, the tasks at the beginning of the longest chains run first.
        self.lengths = [*costs]
        for index in reversed(range(len(needs))):
            self.lengths[index] += max((self.lengths[i] for i in self.followers[index]), default=0)


class Workers:
    """Threads that run tasks, together with the thread that asks for it.

    Args:
        count: number of tasks to run at once, at least 2.

    Attributes:
        count: the argument.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._threads = concurrent.futures.ThreadPoolExecutor(count - 1, "mpvn")

    def run(self, order: Order, task: Task) -> None:
        """Run all tasks.

        Returns when none is running, also if it raises: then tasks were left out.

        Raises:
            BaseException: the first that a task raised.
        """
        turn = _Turn(order, task)
        helpers = [self._threads.submit(turn.work) for _ in range(min(self.count, order.width) - 1)]
        try:
            turn.work()
        finally:
            turn.stop()
            concurrent.futures.wait(helpers)
        error, turn.error = turn.error, None  # a traceback refers to the turn
        if error is not None:
            try:
                raise error
            finally:
                del error


class _Turn:
    """Tasks while they are run.

    Attributes:
        error: the first that a task raised.
    """

    def __init__(self, order: Order, task: Task) -> None:
        self.error: BaseException | None = None
        self._order = order
        self._task = task
        self._changed = threading.Condition(threading.Lock())
        self._missing = [*order.missing]
        self._left = len(order.missing)
        self._ready = [self._entry(i) for i, count in enumerate(order.missing) if not count]
        heapq.heapify(self._ready)

    def work(self) -> None:
        """Run tasks until there are no more."""
        try:
            while (index := self._next()) is not None:
                self._task(index)
                self._finish(index)
        except BaseException as error:  # of any kind: the other threads must not wait for it
            self.stop(error)

    def stop(self, error: BaseException | None = None) -> None:
        """Let no further task begin."""
        with self._changed:
            self.error = self.error or error
            self._left = 0
            self._changed.notify_all()

    def _next(self) -> int | None:
        """Return a task to run, once there is one; None if there will be none."""
        with self._changed:
            while self._left and not self._ready:
                self._changed.wait()
            return heapq.heappop(self._ready)[-1] if self._left else None

    def _finish(self, index: int) -> None:
        with self._changed:
            self._left = max(0, self._left - 1)
            for follower in self._order.followers[index]:
                self._missing[follower] -= 1
                if not self._missing[follower]:
                    heapq.heappush(self._ready, self._entry(follower))
            self._changed.notify(len(self._order.followers[index]))
            if not self._left:
                self._changed.notify_all()

    def _entry(self, index: int) -> tuple[int, float, int]:
        return self._order.rounds[index], -self._order.lengths[index], index
