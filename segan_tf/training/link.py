"""Connects the workers of a training: they meet, and hear of each other's end.

Each worker connects to worker 0, the chief, over TCP, and tells it its index
and address; once all have come, they get the addresses of all. The connections
stay. TensorFlow itself notices a lost worker only after seconds and in many
lines, and a process that waits for another one in it cannot be interrupted.

There is no authentication, as in TensorFlow's own connections: use it within a
trusted network. Messages are lines of JSON.
"""

import contextlib
import json
import os
import select
import selectors
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any, NoReturn

from segan_tf import console
from segan_tf.errors import UserError
from segan_tf.training.cluster import Cluster

WAIT_SECONDS = 600.0  # for all workers to come
LOST_STATUS = 75  # of the others where one is lost: starting again may help
RESUMING = (
    "start all workers again, without --noresume; the run resumes from its "
    "last checkpoint."
)
NOTE_SECONDS = 30.0  # between notes of who is missing
_RETRY_SECONDS = 0.2
_LINE_SECONDS = 10.0  # for a peer to send its line
_MAX_LINE = 1 << 20


class Link:
    """The connections of one worker: the chief's to all, others' to the chief.

    If another worker fails or is lost, the process prints one line and ends at
    once, with 1 or `LOST_STATUS`. A run is safe from that as from a kill.

    Attributes:
      addresses: of the workers, HOST:PORT, with ports that were free.
    """

    def __init__(
        self,
        cluster: Cluster,
        addresses: tuple[str, ...],
        peers: Mapping[int, socket.socket],
    ) -> None:
        self.addresses = addresses
        self._index = cluster.index
        self._peers = dict(peers)
        self._lock = threading.Lock()
        self._is_open = True
        self._selector = selectors.DefaultSelector()
        for index, peer in self._peers.items():
            peer.settimeout(_LINE_SECONDS)
            _keep_alive(peer)
            self._selector.register(peer, selectors.EVENT_READ, index)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self, failure: str = "", status: int = 1) -> None:
        """Tells the others that this worker ends, and why if it failed.

        They then end too, with the status. One that ends well waits for the
        chief: were that killed before its last file is whole, nobody would
        start again a worker that is over.
        """
        if self._index and not failure:
            self._thread.join()
        with self._lock:
            was_open, self._is_open = self._is_open, False
        if not was_open:
            return
        self._thread.join()
        self._leave(
            f"worker {self._index}: {failure}" if failure else "", status
        )

    def _leave(self, text: str, status: int) -> None:
        for peer in self._peers.values():
            with contextlib.suppress(OSError):
                _send(peer, {"end": text, "status": status})
            peer.close()

    def _watch(self) -> None:
        """Reads what the peers say until this worker ends."""
        while self._is_open and self._selector.get_map():
            for key, _ in self._selector.select(_RETRY_SECONDS):
                if not self._is_open:
                    return
                peer = self._peers[key.data]
                came = _receive(peer)
                self._selector.unregister(peer)
                if came.get("end"):
                    self._end(str(came["end"]), int(came["status"]))
                elif "end" not in came:
                    self._end(
                        f"worker {key.data} is lost: it was killed, or its "
                        f"machine does not answer; {RESUMING}",
                        LOST_STATUS,
                    )

    def _end(self, text: str, status: int) -> None:
        with self._lock:
            if not self._is_open:  # the process ends by itself
                return
            self._is_open = False
            try:
                self._leave(text, status)
                console.say_error(text)
            finally:  # even if nobody reads what is printed
                os._exit(status)


def join(cluster: Cluster) -> Link:
    """Waits for all workers.

    Raises:
      UserError: they contradict each other.
      SystemExit: one does not come within `WAIT_SECONDS`, which is reported.
    """
    return _join_chief(cluster) if cluster.index else _gather(cluster)


def _gather(cluster: Cluster) -> Link:
    """Waits for the other workers as the chief."""
    host = _place(cluster)[0]
    addresses = {0: _join_address(host, find_free_port())}
    peers: dict[int, socket.socket] = {}
    with contextlib.ExitStack() as failed, _listen(cluster) as server:
        started = noted = time.monotonic()
        while len(addresses) < cluster.count:
            now = time.monotonic()
            missing = [i for i in range(cluster.count) if i not in addresses]
            shown = ", ".join(map(str, missing))
            if now - started > WAIT_SECONDS:
                _give_up(
                    f"worker {shown} of {cluster.count} did not come to "
                    f"{cluster.coordinator} within {WAIT_SECONDS / 60:.0f} "
                    "minutes; start all of them."
                )
            if now - noted > NOTE_SECONDS:
                noted = now
                console.say(f"waiting for worker {shown} of {cluster.count}")
            if select.select([server], [], [], _RETRY_SECONDS)[0]:
                peer = failed.enter_context(server.accept()[0])
                peer.settimeout(_LINE_SECONDS)
                came = _receive(peer)
                if came.keys() >= {"index", "count", "address"}:
                    _check_newcomer(cluster, came, peer=peer, peers=peers)
                    # One that has left, which is started again, comes twice.
                    if came["index"] in peers:
                        peers[came["index"]].close()
                    peers[came["index"]] = peer
                    addresses[came["index"]] = str(came["address"])
                else:
                    peer.close()
        ordered = tuple(addresses[i] for i in range(cluster.count))
        for peer in peers.values():
            with contextlib.suppress(OSError):  # the link finds it lost
                _send(peer, {"addresses": ordered})
        failed.pop_all()
    return Link(cluster, ordered, peers)


def _give_up(text: str) -> NoReturn:
    """Ends as if a worker was lost: another start may find all of them."""
    console.say_error(text)
    raise SystemExit(LOST_STATUS)


def _check_newcomer(
    cluster: Cluster,
    came: Mapping[str, Any],
    *,
    peer: socket.socket,
    peers: Mapping[int, socket.socket],
) -> None:
    """Checks that a worker that comes does not contradict the others.

    Raises:
      UserError: it does, and all are told so.
    """
    index, count = came["index"], came["count"]
    if count != cluster.count:
        error = (
            f"--num_workers is {count} for worker {index} and {cluster.count} "
            "for worker 0; give both the same."
        )
    elif index in peers and not _has_left(peers[index]):
        error = (
            f"--worker_index ({index}) was given to two workers; give each its "
            f"own, from 0 to {count - 1}."
        )
    else:
        return
    for other in (peer, *peers.values()):
        with contextlib.suppress(OSError):
            _send(other, {"error": error})
    raise UserError(error)


def _join_chief(cluster: Cluster) -> Link:
    """Comes to the chief, as soon as it is there."""
    until = time.monotonic() + WAIT_SECONDS
    while True:
        reason = "it ended before all workers had come"
        with contextlib.ExitStack() as failed:
            try:
                peer = failed.enter_context(
                    socket.create_connection(_place(cluster), _LINE_SECONDS)
                )
                answer = _introduce(cluster, peer, until=until)
            except OSError as error:
                answer, reason = {}, error.strerror or str(error)
            if "addresses" in answer:
                failed.pop_all()
                return Link(cluster, tuple(answer["addresses"]), {0: peer})
        if "error" in answer:
            raise UserError(str(answer["error"]))
        if time.monotonic() > until:
            _give_up(
                f"worker {cluster.index} cannot reach worker 0 at "
                f"{cluster.coordinator} ({reason}); check that it runs there."
            )
        time.sleep(_RETRY_SECONDS)


def _introduce(
    cluster: Cluster, peer: socket.socket, *, until: float
) -> dict[str, Any]:
    """Tells the chief who comes; returns its answer once all have come."""
    address = _join_address(peer.getsockname()[0], find_free_port())
    _send(
        peer,
        {"index": cluster.index, "count": cluster.count, "address": address},
    )
    peer.settimeout(max(_LINE_SECONDS, until - time.monotonic()))
    return _receive(peer)


def _place(cluster: Cluster) -> tuple[str, int]:
    host, _, port = cluster.coordinator.rpartition(":")
    return host.strip("[]"), int(port)


def _listen(cluster: Cluster) -> socket.socket:
    """Listens on all interfaces: a host's own name may mean itself alone."""
    both = socket.has_dualstack_ipv6()
    try:
        return socket.create_server(
            ("", _place(cluster)[1]),
            family=socket.AF_INET6 if both else socket.AF_INET,
            dualstack_ipv6=both,
        )
    except OSError as error:
        raise UserError(
            f"worker 0 cannot listen at {cluster.coordinator} "
            f"({os.strerror(error.errno or 0)}); give another port."
        ) from error


def find_free_port() -> int:
    """Returns a port that no program listens at."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def _join_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _keep_alive(peer: socket.socket) -> None:
    """Has the system find within half a minute that a machine is gone."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    numbers = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}
    for name, value in numbers.items():
        if hasattr(socket, name):  # Linux
            peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _send(peer: socket.socket, content: Mapping[str, Any]) -> None:
    peer.sendall(json.dumps(content).encode() + b"\n")


def _receive(peer: socket.socket) -> dict[str, Any]:
    """Receives a line; nothing from what is no worker, or has left."""
    line = b""
    try:
        # Byte by byte: what follows the line belongs to the next call.
        while (byte := peer.recv(1)) not in (b"", b"\n"):
            line += byte
            if len(line) > _MAX_LINE:
                return {}
        content = json.loads(line)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _has_left(peer: socket.socket) -> bool:
    """Returns whether a worker that waits has closed its connection."""
    if not select.select([peer], [], [], 0)[0]:
        return False
    try:
        return not peer.recv(1, socket.MSG_PEEK)
    except OSError:
        return True
