"""Tests how workers meet and hear of each other's end, in threads."""

import concurrent.futures
import json
import os
import socket
import time

import pytest

from segan_tf import console
from segan_tf.config import UserError
from segan_tf.training import cluster, link

pytestmark = pytest.mark.any_edition

PATIENCE = 60


@pytest.fixture
def coordinator():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def ends(monkeypatch):
    """Collects the statuses of the processes that a link ends."""
    statuses = []
    monkeypatch.setattr(os, "_exit", statuses.append)
    return statuses


def join_all(coordinator, places):
    """Joins workers of these (index, count); returns links or errors."""

    def join(place):
        try:
            return link.join(cluster.Cluster(coordinator, *place))
        except UserError as error:
            return str(error)
        except SystemExit as end:
            return end.code

    with concurrent.futures.ThreadPoolExecutor(len(places)) as pool:
        return list(pool.map(join, places))


def try_to_connect(coordinator, peers):
    """Connects without a link; returns whether the chief listens already."""
    host, _, port = coordinator.rpartition(":")
    try:
        peers.append(socket.create_connection((host, int(port)), PATIENCE))
    except OSError:
        return False
    return True


def close_all(links):
    with concurrent.futures.ThreadPoolExecutor(len(links)) as pool:
        list(pool.map(lambda one: one.close(), links))


def wait_until(true):
    until = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_all_workers_learn_all_addresses(coordinator, ends):
    links = join_all(coordinator, [(0, 3), (1, 3), (2, 3)])
    addresses = links[0].addresses
    assert len(set(addresses)) == 3
    assert all(address.startswith("127.0.0.1:") for address in addresses)
    assert [one.addresses for one in links] == [addresses] * 3
    close_all(links)
    assert not ends


@pytest.mark.parametrize(
    ("places", "words"),
    [
        (
            [(0, 2), (1, 3)],
            "--num_workers is 3 for worker 1 and 2 for worker 0",
        ),
        (
            [(0, 3), (1, 3), (1, 3)],
            "--worker_index (1) was given to two workers",
        ),
    ],
)
def test_contradicting_workers_all_end(coordinator, places, words):
    errors = join_all(coordinator, places)
    assert len(errors) == len(places)
    assert all(error.startswith(words) for error in errors)


def test_missing_worker_is_named(coordinator, monkeypatch, capsys):
    monkeypatch.setattr(link, "WAIT_SECONDS", 0.5)
    monkeypatch.setattr(link, "NOTE_SECONDS", 0.1)
    # Starting again may find it: its machine may be slow to come.
    assert join_all(coordinator, [(0, 3)]) == [link.LOST_STATUS]
    out, error = capsys.readouterr()
    assert f"error: worker 1, 2 of 3 did not come to {coordinator}" in error
    assert "waiting for worker 1, 2 of 3" in out
    assert join_all(coordinator, [(1, 2)]) == [link.LOST_STATUS]
    assert capsys.readouterr().err == (
        f"error: worker 1 cannot reach worker 0 at {coordinator} (Connection "
        "refused); check that it runs there.\n"
    )


def test_port_in_use_is_an_error(coordinator):
    port = int(coordinator.rpartition(":")[2])
    with socket.create_server(("", port)):
        (error,) = join_all(coordinator, [(0, 2)])
    assert error == (
        f"worker 0 cannot listen at {coordinator} (Address already in use); "
        "give another port."
    )


def test_what_is_no_worker_is_passed_over(coordinator, ends):
    pool = concurrent.futures.ThreadPoolExecutor(1)
    waiting = pool.submit(join_all, coordinator, [(0, 2)])
    peers = []
    wait_until(lambda: try_to_connect(coordinator, peers))
    peers[0].sendall(b"GET / HTTP/1.1\n")
    (other,) = join_all(coordinator, [(1, 2)])
    (chief,) = waiting.result()
    assert other.addresses == chief.addresses
    close_all([chief, other])
    peers[0].close()


def test_failure_of_one_ends_all_with_its_words(coordinator, ends, capsys):
    links = join_all(coordinator, [(0, 3), (1, 3), (2, 3)])
    links[1].close("a.png cannot be opened.")
    wait_until(lambda: len(ends) == 2)
    assert ends == [1, 1]
    line = "error: worker 1: a.png cannot be opened."
    assert capsys.readouterr().err.splitlines() == [line, line]


def test_lost_worker_ends_all(coordinator, ends, capsys):
    pool = concurrent.futures.ThreadPoolExecutor(1)
    waiting = pool.submit(join_all, coordinator, [(0, 3), (1, 3)])
    peers = []
    wait_until(lambda: try_to_connect(coordinator, peers))
    came = {"index": 2, "count": 3, "address": "127.0.0.1:9"}
    peers[0].sendall(json.dumps(came).encode() + b"\n")
    links = waiting.result()
    # As the system does for a process that is killed.
    peers[0].close()
    wait_until(lambda: len(ends) == 2)
    assert ends == [link.LOST_STATUS] * 2
    words = "error: worker 2 is lost: it was killed, or its machine"
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(words) for line in lines)
    close_all(links)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)
def test_worker_ends_though_nobody_reads_what_it_says(
    coordinator, ends, monkeypatch
):
    def fail(text):
        raise BrokenPipeError

    monkeypatch.setattr(console, "say_error", fail)
    links = join_all(coordinator, [(0, 2), (1, 2)])
    links[1].close("a.png cannot be opened.")
    wait_until(lambda: ends)
    assert ends == [1]


def test_worker_ends_when_the_chief_has(coordinator, ends, capsys):
    links = join_all(coordinator, [(0, 2), (1, 2)])
    pool = concurrent.futures.ThreadPoolExecutor(1)
    other = pool.submit(links[1].close)
    time.sleep(0.5)
    assert not other.done()
    links[0].close()
    other.result(PATIENCE)
    assert not ends
    assert not capsys.readouterr().err
