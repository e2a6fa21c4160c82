"""What a server says of an image, and its errors."""

import dataclasses
import math
import re
from collections.abc import Callable

LOW = 0.7  # Below it a label map is to be checked, as --mode=predict says.
# An error of an older model, which fails all images of a server's batch.
_POSITION = re.compile(r"image_bytes\[(\d+)\]")
_SHOWN = 80  # characters of an answer that is none
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"


@dataclasses.dataclass(frozen=True)
class Answer:
    """A server's answer for one image.

    Attributes:
      label_map: a PNG file of the image's size.
      labels: (name, fraction of the pixels, mean probability there) of each.
      expected_dice: of the label map with the true one; None if the model does
        not know it.
    """

    label_map: bytes
    labels: list[tuple[str, float, float]]
    expected_dice: float | None = None

    @property
    def warning(self) -> str:
        """Why the label map is to be checked; "" for no reason."""
        if self.expected_dice is None:
            return ""
        if not any(fraction for _, fraction, _ in self.labels):
            return "nothing was found"
        if self.expected_dice < LOW:
            return (
                "the outline is doubtful, or this is no image like those that "
                "the model was trained on"
            )
        return ""


class ServerError(Exception):
    """An error of the server, or of the connection to it.

    Attributes:
      is_passing: the same request may succeed a little later.
      is_of_image: another image may succeed.
      position: of the image at fault in the server's batch, if the message
        says so. That image may be another client's.
    """

    def __init__(
        self,
        message: str,
        *,
        is_passing: bool = False,
        is_of_image: bool = False,
    ) -> None:
        super().__init__(message)
        self.is_passing = is_passing
        self.is_of_image = is_of_image
        found = _POSITION.search(message) if is_of_image else None
        self.position = int(found[1]) if found else None


Segment = Callable[[bytes], Answer]


def check_image(error: str) -> None:
    """Raises ServerError if the server says what is wrong with the image."""
    if error:
        raise ServerError(f"the image {error}", is_of_image=True)


def read_answer(parse: Callable[[], Answer], content: bytes) -> Answer:
    """Reads an answer, which may be of another service or another model.

    Raises:
      ServerError: it is.
    """
    try:
        return parse()
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
    ) as error:
        start = content[:_SHOWN].decode(errors="replace")
        more = "..." if len(content) > _SHOWN else ""
        raise ServerError(
            "the answer is none of an exported SegAN model for one image "
            f"({type(error).__name__}: {error}); check --server and --model; "
            f"it begins: {start}{more}"
        ) from error


def make_answer(
    label_map: bytes,
    names: list[str],
    fractions: list[float],
    means: list[float] | float,
    expected: float | None,
) -> Answer:
    """Makes an answer of the outputs of a model.

    Raises:
      ValueError: they are none of an exported SegAN model.
    """
    # The mean of a single label is no list.
    means = means if isinstance(means, list) else [means]
    if not (label_map.startswith(_PNG) and label_map.endswith(_PNG_END)):
        raise ValueError("label_map_bytes is not a PNG file")
    numbers = [*fractions, *means, *([] if expected is None else [expected])]
    if not all(map(math.isfinite, numbers)):
        raise ValueError("a fraction, probability or Dice is not finite")
    labels = [
        (str(name), float(fraction), float(mean))
        for name, fraction, mean in zip(names, fractions, means, strict=True)
    ]
    return Answer(label_map, labels, expected)
