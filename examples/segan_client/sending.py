"""Sends images, a few at a time, and sends again what failed."""

import argparse
import errno
import queue
import random
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

from . import answers, images

FIRST_SECONDS = 0.5  # the longest wait before the second attempt, ...
MAX_SECONDS = 10.0  # ... and before any
OUTAGE = 3  # images in a row without an answer; the others are not sent


def with_retries(
    segment: answers.Segment, image: bytes, *, attempts: int
) -> answers.Answer:
    """Retries failures that pass, after ever longer waits.

    The wait is drawn between a half of FIRST_SECONDS * 2 ** failures and all
    of it: if it were the same for all, clients that failed together would
    return together.

    Raises:
      ServerError: the last attempt failed, or one with an error that stays.
    """
    for failures in range(attempts):
        try:
            return segment(image)
        except answers.ServerError as error:
            if not error.is_passing or failures == attempts - 1:
                raise
        longest = min(FIRST_SECONDS * 2**failures, MAX_SECONDS)
        time.sleep(random.uniform(longest / 2, longest))
    raise ValueError(f"attempts ({attempts}) must be at least 1")


def alone(segment: answers.Segment) -> answers.Segment:
    """Adapts a function to be called while no other image is sent.

    A server with batching may still join the image with those of other
    clients. So an error with a position is that of this image only at 0.
    """

    def segment_alone(image: bytes) -> answers.Answer:
        try:
            return segment(image)
        except answers.ServerError as error:
            error.is_passing = error.is_passing or bool(error.position)
            raise

    return segment_alone


def segment_folder(
    segment: answers.Segment,
    sources: list[images.Source],
    *,
    options: argparse.Namespace,
) -> Iterator[tuple[images.Source, answers.Answer | Exception]]:
    """Segments images, a few at a time, and continues after one that fails.

    The label map is written before its image is yielded. Images that failed
    with a position in a batch, where another one may be at fault, are sent
    again alone at the end.

    Yields:
      Each image with its answer, or with the error that it failed with; not
      those after an outage.

    Raises:
      OSError: a label map cannot be written, for a reason that the next one
        would meet too.
    """
    waiting = iter(sources)
    done = _start_workers(segment, waiting, options=options)
    unanswered, left = 0, len(sources)
    again = []
    while left:
        source, result = done.get()
        left -= 1
        if isinstance(result, Exception) and not _is_of_one_image(result):
            list(waiting)  # no worker takes another
            raise result
        error = result if isinstance(result, answers.ServerError) else None
        if error and error.position is not None:
            again.append(source)
            continue
        yield source, result
        unanswered = unanswered + 1 if error and not error.is_of_image else 0
        if unanswered >= OUTAGE:
            left -= len(list(waiting))
    for source in again:
        try:
            yield source, _segment_file(alone(segment), source, options=options)
        except (answers.ServerError, images.ImageError, MemoryError) as error:
            yield source, error


def _start_workers(
    segment: answers.Segment,
    waiting: Iterator[images.Source],
    *,
    options: argparse.Namespace,
) -> queue.SimpleQueue[Any]:
    """Starts threads that put each image with its answer or error."""
    done: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def work() -> None:
        for source in waiting:
            try:
                answer = _segment_file(segment, source, options=options)
                done.put((source, answer))
            except Exception as error:  # raised or shown by the main thread
                done.put((source, error))
                if not _is_of_one_image(error):
                    return

    # Daemons, so that nothing waits for an answer after Ctrl+C.
    for _ in range(options.concurrency):
        threading.Thread(target=work, daemon=True).start()
    return done


def _segment_file(
    segment: answers.Segment,
    source: images.Source,
    *,
    options: argparse.Namespace,
) -> answers.Answer:
    answer = with_retries(segment, source.read(), attempts=options.attempts)
    # A reader finds a whole file or none.
    temporary = options.output_dir / f".{uuid.uuid4().hex}.tmp"
    try:
        temporary.write_bytes(answer.label_map)
        temporary.replace(options.output_dir / f"{source.stem}_label_map.png")
    finally:
        temporary.unlink(missing_ok=True)
    return answer


def _is_of_one_image(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENAMETOOLONG
    return isinstance(
        error, answers.ServerError | images.ImageError | MemoryError
    )
