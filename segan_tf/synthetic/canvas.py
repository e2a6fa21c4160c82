"""The canvas of a drawn image: its size, noise, ink and mixing of colors.

Colors are kept as three planes, float32 [3, height, width] RGB in [0, 255],
which NumPy works through several times faster than [height, width, 3].
"""

import dataclasses
import math

import numpy as np
from PIL import Image, ImageDraw


@dataclasses.dataclass(frozen=True)
class Frame:
    """The size of an image in pixels."""

    height: int
    width: int

    @property
    def unit(self) -> float:
        """The length of which the parts are made: 1 pixel at 240 x 240."""
        return math.sqrt(self.height * self.width) / 240

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width


class Ink:
    """A layer of strokes, drawn at twice the size so that edges are smooth."""

    def __init__(self, frame: Frame) -> None:
        self._layer = Image.new("L", (frame.width * 2, frame.height * 2))
        self._pen = ImageDraw.Draw(self._layer)

    def line(self, points, width: float) -> None:
        """Draws through `points`, (x, y) in pixels."""
        points = [(2 * float(x), 2 * float(y)) for x, y in points]
        self._pen.line(points, 255, max(1, round(2 * width)), joint="curve")

    def ring(self, x: float, y: float, radius: float, *, shade: int) -> None:
        self._pen.ellipse(_box(x, y, radius), outline=shade, width=2)

    def disc(self, x: float, y: float, radius: float, *, shade: int) -> None:
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


def draw_discs(rng, frame: Frame, centers, *, low: float, high: float):
    """Draws a disc, of a random shade, at each center.

    Args:
      rng: np.random.Generator.
      frame: the image's size.
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


def smooth_noise(rng, frame: Frame, cell: float) -> np.ndarray:
    """Draws random hills about `cell` pixels wide.

    Returns:
      float32 [height, width], mean 0, standard deviation about 0.7.
    """
    cell = max(cell, 1.5)
    rows = math.ceil(frame.height / cell) + 2
    columns = math.ceil(frame.width / cell) + 2
    hills = rng.standard_normal((rows, columns), dtype=np.float32)
    hills = Image.fromarray(hills).resize(
        (frame.width, frame.height), Image.Resampling.BICUBIC
    )
    return np.asarray(hills)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Returns 1 / (1 + exp(-x)), safe for large x."""
    return 1 / (1 + np.exp(-np.clip(x, -20, 20)))


def blend(image, share, color) -> np.ndarray:
    """Mixes `share`, float32 [height, width], of a color into the image."""
    kept = 1 - share
    for plane, value in zip(image, color, strict=True):
        plane *= kept
        plane += share * float(value)
    return image
