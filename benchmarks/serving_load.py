"""Sends many images at once to the contract server: no answer lost or wrong.

The server is that of the tests, tests/support/contract_server.py, in a process
of its own on this machine: TensorFlow's C++ session behind TF Serving's
protocols, not TF Serving itself. Needs what the tests marked "serving" need.

    python -m benchmarks.serving_load exported/saved_model/1 --seconds=60
"""

import argparse
import collections
import contextlib
import dataclasses
import io
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import IO, cast

from PIL import Image

from segan_tf.synthetic import lesions

_ROOT = pathlib.Path(__file__).parent.parent
_SUPPORT = _ROOT / "tests" / "support"
_BAD_SHARE = 0.05
_SIDES = ((384, 512), (767, 1022), (300, 225), (1024, 1024))
_NUM_GOOD = 12
_SERVE = """
import json, sys
import contract_server
servable = contract_server.Servable("segan", sys.argv[1])
with contract_server.serve(servable) as addresses:
    print(json.dumps(addresses), flush=True)
    sys.stdin.read()
"""


@dataclasses.dataclass(frozen=True)
class Load:
    """What came of a load.

    Attributes:
      counts: of the answers: "right", "error" of a bad image, "wrong", "lost".
      seconds: of each answer.
      memory: of the server each second, in MB.
    """

    counts: collections.Counter[str]
    seconds: list[float]
    memory: list[float]

    @property
    def memory_growth(self) -> float:
        """How much more the last third takes at most than the second, in MB."""
        third = len(self.memory) // 3
        return max(self.memory[-third:]) - max(self.memory[third:-third])


def draw_files(seed: int = 0) -> tuple[list[bytes], list[bytes]]:
    """Draws JPEG and PNG files, and bad ones of four kinds."""
    good = []
    for i in range(_NUM_GOOD):
        drawn = lesions.draw_lesion(i, seed, size=_SIDES[i % len(_SIDES)])
        stream = io.BytesIO()
        Image.fromarray(drawn.image).save(stream, ("JPEG", "PNG")[i % 2])
        good.append(stream.getvalue())
    too_large = bytearray(good[1])  # a PNG file, whose size is at 16
    too_large[16:24] = (20_000).to_bytes(4, "big") * 2
    bad = [b"", b"no image", good[0][: len(good[0]) // 2], bytes(too_large)]
    return good, bad


@contextlib.contextmanager
def serve(saved_model_dir: str) -> Iterator[tuple[dict[str, str], int]]:
    """Starts the server: its addresses by protocol, and its process."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE, saved_model_dir],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(_paths())},
        text=True,
    )
    try:
        addresses = cast(IO[str], process.stdout).readline()
        yield json.loads(addresses), process.pid
    finally:
        process.kill()  # it holds nothing
        process.communicate()


def _paths() -> list[str]:
    return [str(_SUPPORT), str(_ROOT), *filter(None, sys.path)]


def read_memory(pid: int) -> float:
    """Reads the memory of a process, in MB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        (line,) = [line for line in file if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


def run(
    saved_model_dir: str,
    *,
    protocol: str = "rest",
    clients: int,
    seconds: float,
) -> Load:
    """Sends images for so long, from so many clients at once."""
    good, bad = draw_files()
    with serve(saved_model_dir) as (addresses, pid):
        ask = _make_asker(protocol, addresses[protocol])
        sender = _Sender(ask, good, bad, seconds=seconds)
        threads = [
            threading.Thread(target=sender.work, args=(i,))
            for i in range(clients)
        ]
        for thread in threads:
            thread.start()
        memory = []
        while any(thread.is_alive() for thread in threads):
            memory.append(read_memory(pid))
            time.sleep(min(1.0, seconds / 12))
    return Load(collections.Counter(sender.kinds), sender.seconds, memory)


def _make_asker(protocol: str, address: str) -> Callable[[bytes], object]:
    """Makes a function from a file to its answer, its error, or None."""
    sys.path.insert(0, str(_ROOT / "examples"))
    import serving_client
    from segan_client import answers, sending

    given = f"--protocol={protocol}", f"--server={address}"
    options = serving_client.parse(["-", "-", *given])
    segment = serving_client.make_client(options)

    def ask(file: bytes) -> object:
        try:
            return sending.with_retries(
                segment, file, attempts=options.attempts
            )
        except answers.ServerError as error:
            return str(error) if error.is_of_image else None

    return ask


class _Sender:
    """Sends files and compares the answers with those of the files alone.

    Attributes:
      kinds: of the answers, see `Load`.
      seconds: of each answer.
    """

    def __init__(
        self,
        ask: Callable[[bytes], object],
        good: list[bytes],
        bad: list[bytes],
        *,
        seconds: float,
    ) -> None:
        self.kinds: list[str] = []
        self.seconds: list[float] = []
        self._ask, self._files, self._num_good = ask, good + bad, len(good)
        self._alone = [ask(file) for file in self._files]
        self._until = time.monotonic() + seconds

    def work(self, seed: int) -> None:
        """Sends one file after the other until the time is over."""
        rng = random.Random(seed)
        is_bad = seed == 0  # one at least, however slow the machine is
        while (start := time.monotonic()) < self._until:
            i = rng.randrange(self._num_good)
            if is_bad:
                i = rng.randrange(self._num_good, len(self._files))
            answer = self._ask(self._files[i])
            self.seconds.append(time.monotonic() - start)
            kind = "error" if is_bad else "right"
            kind = kind if answer == self._alone[i] else "wrong"
            self.kinds.append("lost" if answer is None else kind)
            is_bad = rng.random() < _BAD_SHARE


def main() -> None:
    """Prints the line of docs/serving.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("saved_model", help="folder of a version")
    parser.add_argument("--protocol", choices=("rest", "grpc"), default="rest")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    load = run(
        options.saved_model,
        protocol=options.protocol,
        clients=options.clients,
        seconds=options.seconds,
    )
    total = sum(load.counts.values())
    slowest = statistics.quantiles(load.seconds, n=100)
    print(
        f"{options.protocol}, {options.clients} clients, "
        f"{options.seconds:.0f} s: {total} images, {dict(load.counts)}; "
        f"{total / options.seconds:.0f} a second; median "
        f"{statistics.median(load.seconds):.2f} s, 99th percentile "
        f"{slowest[-1]:.2f} s; server's memory {min(load.memory):.0f} to "
        f"{max(load.memory):.0f} MB, the last third {load.memory_growth:+.0f} "
        "MB"
    )


if __name__ == "__main__":
    main()
