"""What worker processes are started with in tests; can be pickled."""

import os
import signal
import time


def start():
    """Returns a function that squares, dies, fails or waits."""

    def work(item):
        if item == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if item == "fail":
            raise KeyError("no such thing")
        if item == "full":
            raise OSError(28, "No space left on device", "a.png")
        if item == "wait":
            time.sleep(0.3)
            return "waited"
        return item * item

    return work


def die():
    """Ends the process before it does anything."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail():
    """Cannot start."""
    raise ValueError("no model")


def process_id():
    """Returns a function that tells its process and its parent."""
    return lambda _: (os.getpid(), os.getppid())


def blocked_signals():
    """Returns a function that tells which signals never reach its process."""
    return lambda _: signal.pthread_sigmask(signal.SIG_BLOCK, ())
