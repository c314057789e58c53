"""Two writers in every order of their steps."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence

Step = tuple[int, bool]
"""Which of two writers took it, and whether the other could have."""
Writer = Callable[[Callable[[], None]], object]
"""Works, and calls what it is given before each of its steps."""


def in_every_order(run: Callable[[Sequence[int]], list[Step]]) -> Iterator[list[Step]]:
    """Each sequence of steps once: `run` begins in the order given, and goes on by itself."""
    order: list[int] = []
    while True:
        steps = run(order)
        yield steps
        # The last step that the second writer could have taken in place of the first.
        while steps and steps[-1] != (0, True):
            steps.pop()
        if not steps:
            return
        order = [who for who, _ in steps[:-1]] + [1]


def interleaved(writers: Sequence[Writer], order: Sequence[int]) -> list[Step]:
    """Run the writers a step at a time in this order, then the first before the second."""
    arrived: queue.SimpleQueue[tuple[int, bool]] = queue.SimpleQueue()
    turns = [threading.Semaphore(0) for _ in writers]
    failures: list[BaseException] = []

    def work(who: int) -> None:
        def pause() -> None:
            arrived.put((who, True))
            turns[who].acquire()

        try:
            writers[who](pause)
        except BaseException as exc:
            failures.append(exc)
        finally:
            arrived.put((who, False))

    threads = [threading.Thread(target=work, args=(who,)) for who in range(len(writers))]
    for thread in threads:
        thread.start()
    waiting = {who for who, waits in [arrived.get() for _ in writers] if waits}
    steps: list[Step] = []
    while waiting:
        who = order[len(steps)] if len(steps) < len(order) else min(waiting)
        steps.append((who, len(waiting) > 1))
        waiting.remove(who)
        turns[who].release()
        if arrived.get()[1]:
            waiting.add(who)
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return steps
