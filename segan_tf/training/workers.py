"""How the workers of a training agree, and end together."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from segan_tf import console, failures
from segan_tf.config import UserError
from segan_tf.training.link import LOST_STATUS, RESUMING, Link

if TYPE_CHECKING:
    import tensorflow as tf

# For the link to report the loss of a worker, and to end this process.
LINK_SECONDS = 3.0


class Workers:
    """The processes that train together; often it is one alone.

    All workers call `any`, `gather`, `share` and `share_variables` in the same
    order. TensorFlow is imported only for several workers.

    Attributes:
      strategy: of the workers; None of one alone.
      index: of this one; worker 0 is the chief.
      count: of all workers.
    """

    def __init__(
        self,
        strategy: "tf.distribute.Strategy | None" = None,
        *,
        index: int = 0,
        count: int = 1,
    ) -> None:
        self.strategy = strategy
        self.index = index
        self.count = count

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes the run."""
        return self.index == 0

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Returns for each flag whether it is set on any worker."""
        if self.count == 1:
            return flags
        return tuple(map(bool, self._sum(np.array(flags, np.int32))))

    def gather(self, text: str) -> list[str]:
        """Returns the text of every worker."""
        if self.count == 1:
            return [text]
        own = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
        # First the lengths, since all workers must sum the same shape.
        lengths = np.zeros(self.count, np.int32)
        lengths[self.index] = len(own)
        lengths = self._sum(lengths)
        rows = np.zeros((self.count, max(1, *lengths)), np.int32)
        rows[self.index, : len(own)] = own
        rows = self._sum(rows).astype(np.uint8)
        return [
            row[:length].tobytes().decode()
            for row, length in zip(rows, lengths, strict=True)
        ]

    def share(self, text: str) -> str:
        """Returns the chief's text."""
        return self.gather(text if self.is_chief else "")[0]

    def share_variables(self, variables: Sequence[Any]) -> None:
        """Gives the variables of all workers the chief's values."""
        for variable in variables:
            value = variable.numpy()
            variable.assign(
                self._sum(value if self.is_chief else np.zeros_like(value))
            )

    def _sum(self, value: np.ndarray) -> np.ndarray:
        """Sums an array over the workers."""
        import tensorflow as tf

        if self.strategy is None:
            raise RuntimeError("several workers need a strategy")
        total = self.strategy.reduce("SUM", tf.constant(value), axis=None)
        return total.numpy()


@contextlib.contextmanager
def ended_together(link: Link) -> Iterator[None]:
    """Tells the other workers how the block ends on this one.

    Raises:
      SystemExit: TensorFlow lost another worker, which is reported.
    """
    failure, status = "", 1
    try:
        yield
    except (SystemExit, UserError) as error:
        failure = str(error) if isinstance(error, UserError) else ""
        raise
    except KeyboardInterrupt:
        failure, status = "it was stopped", LOST_STATUS
        raise
    except Exception as error:
        # This may only follow from the loss of another worker. Then the link
        # finds which, and ends this process.
        time.sleep(LINK_SECONDS)
        failure = failures.describe(error) or repr(error)
        if type(error).__name__ != "UnavailableError":
            raise
        failure, status = "it lost another worker", LOST_STATUS
        reason = str(error).strip().splitlines()[-1]
        console.say_error(
            f"another worker no longer answers ({reason}); {RESUMING}"
        )
        raise SystemExit(LOST_STATUS) from error
    finally:
        link.close(failure, status)
