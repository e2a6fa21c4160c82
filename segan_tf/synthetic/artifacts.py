"""What a drawn image shows besides skin and lesion.

Hairs, a ruler, a sticker, gel bubbles, the light and the sensor. The functions
change an image, float32 [3, height, width] RGB in [0, 255], in place and return
it; if a mark has a label, they return that too.
"""

import math

import numpy as np

from segan_tf.synthetic import canvas

_STICKERS = ((226, 40, 48), (20, 120, 200), (70, 190, 190), (240, 140, 30))
# A pixel is labeled if a mark covers at least this share of it.
_COVERED = 0.4


def add_hairs(
    rng: np.random.Generator, frame: canvas.Frame, image: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Adds 0 to 25 curved hairs, dark or light; some are shaved to stubs.

    Returns:
      image: the image with hairs.
      label: bool [height, width].
    """
    number = int(rng.integers(1, 26)) if rng.random() < 0.6 else 0
    if not number:
        return image, np.zeros(frame.shape, bool)
    ink = canvas.Ink(frame)
    diagonal = math.hypot(*frame.shape)
    main_direction = rng.uniform(0, 2 * np.pi)
    tidiness = rng.uniform(0.15, 1.5)
    stubs = rng.random() < 0.2
    thickness = rng.uniform(0.5, 1.3) * frame.unit
    way = np.linspace(0, 1, 14)
    for _ in range(number):
        length = diagonal * rng.uniform(0.2, 1.0) * (0.06 if stubs else 1)
        direction = main_direction + rng.normal(0, tidiness)
        bend = rng.normal(0, 0.9)
        angles = direction + bend * (way - 0.5)
        steps = length / len(way) * np.stack([np.cos(angles), np.sin(angles)])
        middle = rng.random((2, 1)) * [[frame.width], [frame.height]]
        points = middle + np.cumsum(steps, 1) - steps.sum(1, keepdims=True) / 2
        ink.line(points.T, thickness * rng.uniform(0.7, 1.4))
    coverage = ink.coverage()
    if rng.random() < 0.8:
        color = rng.uniform(15, 60) * np.array([1.1, 0.9, 0.8])
    else:
        color = rng.uniform(160, 220) * np.array([1.05, 0.95, 0.75])
    opacity = rng.uniform(0.55, 0.95)
    image = canvas.blend(image, opacity * coverage, color)
    return image, coverage >= _COVERED


def add_ruler(
    rng: np.random.Generator, frame: canvas.Frame, image: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Adds a ruler along one side to three in ten images.

    Returns:
      image: the image with the ruler.
      label: bool [height, width].
    """
    if rng.random() >= 0.3:
        return image, np.zeros(frame.shape, bool)
    ink = canvas.Ink(frame)
    unit = frame.unit
    upright = rng.random() < 0.4
    long_side, short_side = frame.shape if upright else frame.shape[::-1]
    offset = short_side * rng.choice([0.1, 0.9]) + rng.normal(0, 4) * unit
    tilt = rng.normal(0, 0.1)
    length = long_side * rng.uniform(0.35, 0.75)
    middle = long_side * rng.uniform(0.4, 0.6)
    tick = rng.uniform(4, 7) * unit
    marks = int(rng.integers(10, 31))

    def place(along: float, across: float) -> tuple[float, float]:
        x = middle + along * math.cos(tilt) - across * math.sin(tilt)
        y = offset + along * math.sin(tilt) + across * math.cos(tilt)
        return (y, x) if upright else (x, y)

    width = rng.uniform(0.5, 0.9) * unit
    ink.line([place(-length / 2, 0), place(length / 2, 0)], width)
    for mark in range(marks + 1):
        along = length * (mark / marks - 0.5)
        height = tick * (1.6 if mark % 5 == 0 else 1)
        ink.line([place(along, 0), place(along, -height)], width)
    # "mm", without a font: fonts differ between installations.
    for letter in range(2):
        start = -length / 2 - (16 - 8 * letter) * unit
        zigzag = ((0, 0), (0, -5), (2.5, -5), (2.5, 0), (2.5, -5), (5, -5))
        points = [*zigzag, (5, 0)]
        ink.line([place(start + a * unit, b * unit) for a, b in points], width)
    coverage = ink.coverage()
    opacity = rng.uniform(0.6, 0.9)
    color = np.full(3, rng.uniform(20, 60))
    image = canvas.blend(image, opacity * coverage, color)
    return image, coverage >= _COVERED


def add_sticker(
    rng: np.random.Generator,
    frame: canvas.Frame,
    image: np.ndarray,
    *,
    lesion: np.ndarray,
) -> np.ndarray:
    """Adds a colored sticker or a pen mark to some images.

    Args:
      rng: draws the mark.
      frame: size of the image.
      image: float32 [3, height, width] RGB.
      lesion: bool [height, width]; a mark that would touch it is left out.

    Returns:
      The image.
    """
    kind = rng.random()
    if kind >= 0.2:
        return image
    ink = canvas.Ink(frame)
    if kind < 0.1:
        x = frame.width * rng.choice([0.0, 1.0])
        y = frame.height * rng.uniform(0.1, 0.9)
        ink.disc(x, y, rng.uniform(25, 55) * frame.unit, shade=255)
        coverage = ink.coverage()
        color = np.array(_STICKERS[rng.integers(len(_STICKERS))])
    else:
        x = frame.width * rng.uniform(0.15, 0.85)
        y = frame.height * rng.choice([0.1, 0.9])
        steps = np.cumsum(rng.normal(0, 9, (6, 2)), 0) * frame.unit
        ink.line(np.add(steps, (x, y)), rng.uniform(3, 7) * frame.unit)
        grain = canvas.smooth_noise(rng, frame, 3 * frame.unit)
        patchy = canvas.sigmoid(3 * grain + 0.5)
        coverage = 0.5 * ink.coverage() * patchy
        color = np.array([95, 70, 160])
    if (lesion & (coverage > 0)).any():
        return image
    return canvas.blend(image, coverage, color)


def add_bubbles(
    rng: np.random.Generator, frame: canvas.Frame, image: np.ndarray
) -> np.ndarray:
    """Adds gel bubbles, each a faint ring with a bright highlight."""
    if rng.random() >= 0.4:
        return image
    ink = canvas.Ink(frame)
    unit = frame.unit
    for _ in range(int(rng.integers(1, 13))):
        x = frame.width * rng.random()
        y = frame.height * rng.random()
        radius = unit * (1.5 + 11 * rng.random() ** 3)
        ink.disc(x, y, radius, shade=int(rng.integers(8, 30)))
        ink.ring(x, y, radius, shade=int(rng.integers(50, 130)))
        x, y = x - 0.45 * radius, y - 0.45 * radius
        ink.disc(x, y, max(0.22 * radius, 0.7), shade=235)
    if rng.random() < 0.3:  # the rim of the contact plate
        x = frame.width * rng.uniform(0.4, 0.6)
        y = frame.height * rng.uniform(0.4, 0.6)
        ink.ring(x, y, frame.width * rng.uniform(0.45, 0.6), shade=70)
    return canvas.blend(image, ink.coverage(), (255, 255, 250))


def add_light(
    rng: np.random.Generator, frame: canvas.Frame, image: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Adds uneven light, dark corners and, to some images, a round black frame.

    Returns:
      image: the image with the light.
      visible: bool [height, width], false behind the black frame.
    """
    height, width = frame.shape
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    slope_x, slope_y = rng.normal(0, 0.06, 2).astype(np.float32)
    light = rng.uniform(0.95, 1.3) * (1 + slope_x * x + slope_y * y)
    if rng.random() < 0.5:
        strength = rng.uniform(0.1, 0.6)
        sharpness = rng.uniform(1, 2.5)
        light *= 1 - strength * ((x * x + y * y) / 2) ** sharpness
    image *= light
    if rng.random() >= 0.2:
        return image, np.ones(frame.shape, bool)

    center_x, center_y = (rng.normal(0, 0.03, 2) * width).astype(np.float32)
    radius = 0.5 * width * rng.uniform(0.88, 1.2)
    x = x * (width / 2) - center_x
    y = y * (height / 2) - center_y
    distance = radius - np.sqrt(x * x + y * y)
    softness = rng.uniform(0.7, 4) * frame.unit
    hidden = 1 - canvas.sigmoid(distance / softness)
    black = rng.uniform(4, 22) + rng.uniform(0, 5, 3)
    return canvas.blend(image, hidden, black), distance > 0


def expose(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Photographs an image: adds lens blur and sensor noise; 8 bits.

    Args:
      rng: draws blur and noise.
      image: float32 [3, height, width] RGB.

    Returns:
      uint8 [height, width, 3] RGB.
    """
    height, width = image.shape[1:]
    share = max(0.0, rng.uniform(-0.1, 0.33))
    strength = rng.uniform(1, 6)
    photograph = np.empty((height, width, 3), np.uint8)
    for number, plane in enumerate(image):
        noisy = rng.standard_normal(plane.shape, dtype=np.float32)
        noisy *= strength
        noisy += _blur(_blur(plane, share).T, share).T
        photograph[..., number] = np.clip(noisy, 0, 255, out=noisy)
    return photograph


def _blur(plane: np.ndarray, share: float) -> np.ndarray:
    """Mixes every pixel with a share of the pixels above and below."""
    blurred = plane * (1 - 2 * share)
    blurred[1:] += share * plane[:-1]
    blurred[:-1] += share * plane[1:]
    blurred[0] += share * plane[0]
    blurred[-1] += share * plane[-1]
    return blurred
