"""Does the same with many items in several processes.

Each process gets its items through a pipe of its own, which closes when the
main process ends in any way: then the worker ends, too. Python's own pools
leave their processes behind when the main one is killed. A worker that dies,
such as for memory, is replaced.
"""

import collections
import contextlib
import dataclasses
import itertools
import multiprocessing
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import connection, process, resource_tracker
from typing import Any, Generic, TypeVar

from segan_tf.errors import UserError
from segan_tf.inference import memory

Item = TypeVar("Item")
Result = TypeVar("Result")

# In one process: while one thread waits for a disk, or decodes or encodes an
# image, the other runs the model.
_THREADS = 2
_ITEMS_AHEAD = 4  # in the pipe of a worker, or its threads
_WINDOW = 64  # results for each worker that wait for the one in front
_MAX_ATTEMPTS = 2
_SECONDS_TO_END = 5.0


class WorkerError(Exception):
    """The traceback of an error in a worker, which caused it here."""


@dataclasses.dataclass
class _Task(Generic[Item]):
    number: int
    item: Item
    attempts: int = 0


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Lets the processes that are started in it never see Ctrl+C.

    Ctrl+C reaches all processes of a terminal; the main one decides. It may
    come while a worker still imports, long before it can ignore a signal.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    # Starting the tracker lifts the block, so it must run by now.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Worker(Generic[Item]):
    """A process and the items that it has."""

    def __init__(self, start: Callable[[], Callable[[Any], Any]]) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other_end = context.Pipe()
        self.process: process.BaseProcess = context.Process(
            target=_serve, args=(other_end, start), daemon=True
        )
        with _interrupts_blocked():
            self.process.start()
        other_end.close()
        self.tasks: dict[int, _Task[Item]] = {}
        self.is_ready = False

    @property
    def room(self) -> int:
        """How many items it can get; one that killed a worker is alone."""
        if any(task.attempts for task in self.tasks.values()):
            return 0
        return _ITEMS_AHEAD - len(self.tasks)

    def send(self, task: _Task[Item]) -> None:
        self.tasks[task.number] = task
        # The loss of a worker is seen where its results are read.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send((task.number, task.item))

    def end(self) -> None:
        self.connection.close()
        self.process.join(_SECONDS_TO_END)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class Pool(Generic[Item, Result]):
    """Processes that each do the same with items.

    >>> with Pool(job.open, 2, on_lost=describe) as pool:
    ...     for source, outcome in pool.map(sources):
    """

    def __init__(
        self,
        start: Callable[[], Callable[[Item], Result]],
        count: int,
        *,
        on_lost: Callable[[Item], Result],
    ) -> None:
        """Starts the processes.

        Args:
          start: called once in each process; can be pickled. Returns what is
            called with the items, by several threads.
          count: of the processes.
          on_lost: makes the result of an item that ended two processes.
        """
        self._start = start
        self._on_lost = on_lost
        self._workers: list[_Worker[Item]] = [
            _Worker(start) for _ in range(count)
        ]

    def __enter__(self) -> "Pool[Item, Result]":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.connection.close()  # so that all end at the same time
        for worker in self._workers:
            worker.end()

    def map(self, items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
        """Yields each item with its result, in the order of the items.

        Raises:
          Exception: what a worker raised.
        """
        waiting = (_Task(number, item) for number, item in enumerate(items))
        again: collections.deque[_Task[Item]] = collections.deque()
        done: dict[int, tuple[Item, Result]] = {}
        expected = 0
        while True:
            # Results wait for that of a slow item, but not without end.
            is_full = len(done) >= _WINDOW * len(self._workers)
            self._hand_out(iter(()) if is_full else waiting, again)
            if not again and not any(w.tasks for w in self._workers):
                return
            for worker in self._with_news():
                for task, result in self._receive(worker, again):
                    done[task.number] = task.item, result
            while expected in done:
                yield done.pop(expected)
                expected += 1

    def _hand_out(
        self,
        waiting: Iterator[_Task[Item]],
        again: collections.deque[_Task[Item]],
    ) -> None:
        """Gives every worker as many items as it has room for."""
        for worker in self._workers:
            if again:
                if not worker.tasks:
                    worker.send(again.popleft())
                continue
            for task in itertools.islice(waiting, max(0, worker.room)):
                worker.send(task)

    def _with_news(self) -> list[_Worker[Item]]:
        by_connection = {w.connection: w for w in self._workers}
        found = connection.wait(list(by_connection))
        return [by_connection[one] for one in found]  # type: ignore[index]

    def _receive(
        self, worker: _Worker[Item], again: collections.deque[_Task[Item]]
    ) -> Iterator[tuple[_Task[Item], Result]]:
        try:
            number, result, error = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            yield from self._replace(worker, again)
            return
        if error:
            raise error[0] from WorkerError(error[1])
        worker.is_ready = True
        if number is not None:
            yield worker.tasks.pop(number), result

    def _replace(
        self, worker: _Worker[Item], again: collections.deque[_Task[Item]]
    ) -> Iterator[tuple[_Task[Item], Result]]:
        """Starts a new worker for one that died.

        Raises:
          UserError: it died before it did anything.
        """
        worker.end()
        if not worker.is_ready:
            raise UserError(
                "a process of --workers ended while it started (exit status "
                f"{worker.process.exitcode}); give fewer --workers. In a "
                'script, call predict below `if __name__ == "__main__":`.'
            )
        for task in worker.tasks.values():
            task.attempts += 1
            if task.attempts < _MAX_ATTEMPTS:
                again.append(task)
            else:
                yield task, self._on_lost(task.item)
        self._workers[self._workers.index(worker)] = _Worker(self._start)


def _serve(
    pipe: "connection.Connection[Any, Any]",
    start: Callable[[], Callable[[Any], Any]],
) -> None:
    """Answers items until the pipe is closed; runs in a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Windows, too
    memory.keep_freed()
    sending, receiving = threading.Lock(), threading.Lock()

    def send(number: int | None, result: Any, error: Any = None) -> None:
        with sending, contextlib.suppress(BrokenPipeError, ConnectionError):
            pipe.send((number, result, error))

    try:
        work = start()
    except BaseException as error:
        send(None, None, _described(error))
        return
    send(None, None)

    def answer() -> None:
        while True:
            try:
                with receiving:
                    number, item = pipe.recv()
            except (EOFError, OSError):
                return
            try:
                send(number, work(item))
            except BaseException as error:
                send(number, None, _described(error))

    threads = [threading.Thread(target=answer) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _described(error: BaseException) -> tuple[BaseException, str]:
    """Returns an error that can be sent, and its traceback."""
    lines = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    return error, lines
