"""The canvas of a drawn image: its size, noise, ink and blending of colors.

Colors are three planes, float32 [3, height, width] RGB in [0, 255], which NumPy
processes several times faster than [height, width, 3].
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image, ImageDraw


@dataclasses.dataclass(frozen=True)
class Frame:
    """The size of an image in pixels."""

    height: int
    width: int

    @property
    def unit(self) -> float:
        """The unit of all lengths in a drawing: 1 pixel at 240 x 240."""
        return math.sqrt(self.height * self.width) / 240

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width


class Ink:
    """A layer of strokes, drawn at twice the size so that edges are smooth.

    Places are (x, y) and lengths are in pixels; shades are from 0 to 255.
    """

    def __init__(self, frame: Frame) -> None:
        self._layer = Image.new("L", (frame.width * 2, frame.height * 2))
        self._pen = ImageDraw.Draw(self._layer)

    def line(
        self, points: Iterable[Sequence[float] | np.ndarray], width: float
    ) -> None:
        """Draws a line through points."""
        doubled = [(2 * float(x), 2 * float(y)) for x, y in points]
        self._pen.line(doubled, 255, max(1, round(2 * width)), joint="curve")

    def ring(self, x: float, y: float, radius: float, *, shade: int) -> None:
        """Draws a circle."""
        self._pen.ellipse(_box(x, y, radius), outline=shade, width=2)

    def disc(self, x: float, y: float, radius: float, *, shade: int) -> None:
        """Draws a filled circle."""
        self._pen.ellipse(_box(x, y, radius), fill=shade)

    def coverage(self) -> np.ndarray:
        """Returns float32 [height, width] in [0, 1]."""
        return np.asarray(self._layer.reduce(2), np.float32) / 255


def _box(x: float, y: float, radius: float) -> list[float]:
    return [
        2 * (x - radius),
        2 * (y - radius),
        2 * (x + radius),
        2 * (y + radius),
    ]


def draw_discs(
    rng: np.random.Generator,
    frame: Frame,
    centers: np.ndarray,
    *,
    low: float,
    high: float,
) -> np.ndarray:
    """Draws a disc of random radius and shade at each center.

    Args:
      rng: draws radii and shades.
      frame: size of the image.
      centers: float [n, 2], x and y in pixels.
      low: smallest radius in units.
      high: largest radius in units.

    Returns:
      float32 [height, width] in [0, 1].
    """
    ink = Ink(frame)
    for x, y in centers:
        radius = rng.uniform(low, high) * frame.unit
        ink.disc(x, y, radius, shade=int(rng.integers(110, 256)))
    return ink.coverage()


def smooth_noise(
    rng: np.random.Generator, frame: Frame, cell: float
) -> np.ndarray:
    """Draws smooth noise with hills about `cell` pixels wide.

    Returns:
      float32 [height, width], mean 0, standard deviation about 0.7.
    """
    cell = max(cell, 1.5)
    rows = math.ceil(frame.height / cell) + 2
    columns = math.ceil(frame.width / cell) + 2
    hills = rng.standard_normal((rows, columns), dtype=np.float32)
    noise = Image.fromarray(hills).resize(
        (frame.width, frame.height), Image.Resampling.BICUBIC
    )
    return np.asarray(noise)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Returns 1 / (1 + exp(-x)), safe for large x."""
    return 1 / (1 + np.exp(-np.clip(x, -20, 20)))


def blend(
    image: np.ndarray, share: np.ndarray, color: Iterable[float]
) -> np.ndarray:
    """Blends a color into an image in place.

    Args:
      image: float32 [3, height, width] RGB.
      share: float32 [height, width] in [0, 1], of the color.
      color: RGB.

    Returns:
      The image.
    """
    kept = 1 - share
    for plane, value in zip(image, color, strict=True):
        plane *= kept
        plane += share * float(value)
    return image
