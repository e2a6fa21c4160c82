"""Tests of doing the same in several processes."""

import errno
import signal

import pytest
import worker_functions

from segan_tf.errors import UserError
from segan_tf.inference import workers

pytestmark = pytest.mark.any_edition


def run(items, start=worker_functions.start, count=2):
    """Returns the items with their results."""
    with workers.Pool(start, count, on_lost=lambda item: f"lost {item}") as p:
        return list(p.map(items))


def test_results_are_in_the_order_of_the_items():
    items = ["wait", *range(300)]
    expected = [("wait", "waited"), *((i, i * i) for i in range(300))]
    assert run(iter(items)) == expected


def test_several_processes_take_part():
    found = [pid for _, (pid, _) in run(range(20), worker_functions.process_id)]
    assert len(set(found)) == 2


def test_item_that_ends_its_process_twice_is_lost_alone():
    items = [1, 2, "die", 3, "wait", 4, 5, 6, 7, 8, "die", 9]
    found = run(items)
    assert [item for item, _ in found] == items
    for item, result in found:
        expected = {"die": "lost die", "wait": "waited"}.get(item)
        assert result == (expected or item * item)


def test_error_of_a_worker_is_raised_with_its_traceback():
    with pytest.raises(OSError, match="No space left") as raised:
        run([1, "full", 2])
    assert raised.value.errno == errno.ENOSPC
    assert raised.value.filename == "a.png"
    with pytest.raises(KeyError, match="no such thing") as raised:
        run(["fail"])
    assert "in work\n" in str(raised.value.__cause__)


def test_worker_that_cannot_start_is_an_error():
    with pytest.raises(ValueError, match="no model"):
        run([1], worker_functions.fail)
    with pytest.raises(UserError, match=r"while it started \(exit status -9\)"):
        run([1], worker_functions.die)


def test_interrupt_reaches_no_worker_from_its_start():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    for _, blocked in run([1, 2], worker_functions.blocked_signals):
        assert signal.SIGINT in blocked
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_no_items_are_no_results():
    assert run([]) == []


def test_items_are_drawn_as_they_are_needed():
    drawn = []

    def items():
        for item in ["wait", *range(5000)]:
            drawn.append(item)
            yield item

    with workers.Pool(worker_functions.start, 2, on_lost=str) as pool:
        next(pool.map(items()))
    # While the first one is waited for, the results of 64 for each worker are
    # kept, and a few items are in the pipes.
    assert len(drawn) <= 2 * (64 + 2 * 4)
