"""The skin and the lesion of a drawn image.

Colors are computed like those of real skin: pigment and blood are optical
densities that add up, and light passes through them by Beer's law,

    color = skin * exp(-density * absorption)

so that lesions on dark skin look like lesions on dark skin. The numbers here
and in artifacts.py were chosen by eye, next to real dermoscopy images; lengths
are in units that grow with the image.
"""

import dataclasses
import math

import numpy as np

from segan_tf.synthetic import canvas

# How strongly red, green and blue are absorbed: thin melanin is brown, dense
# melanin nearly black, hemoglobin absorbs little red.
_BROWN = np.array([0.38, 0.66, 1.04], np.float32)
_BLACK = np.array([0.92, 0.97, 1.0], np.float32)
_BLOOD = np.array([0.06, 0.60, 0.48], np.float32)
_BLUE_WHITE = np.array([172, 174, 190], np.float32)

# CIE 1976 L*a*b* to linear sRGB, white point D65 (IEC 61966-2-1).
_WHITE_POINT = np.array([0.9505, 1.0, 1.0891])
_XYZ_TO_RGB = np.array(
    [
        [3.2406, -1.5372, -0.4986],
        [-0.9689, 1.8758, 0.0415],
        [0.0557, -0.2040, 1.0570],
    ]
)

_OUTLINE_STEPS = 1024


@dataclasses.dataclass(frozen=True)
class Outline:
    """The outline of the lesion.

    Attributes:
      inside: bool [height, width], the exact label.
      depth: float32 [height, width], 1 in the center, 0 on the outline,
        negative outside.
      edge_distance: float32 [height, width], pixels inward from the outline,
        measured along the radius.
      turn: int [height, width], the direction from the center, in 1024ths of a
        full turn.
      radius: mean radius in pixels.
    """

    inside: np.ndarray
    depth: np.ndarray
    edge_distance: np.ndarray
    turn: np.ndarray
    radius: float


def skin_color(rng: np.random.Generator) -> np.ndarray:
    """Draws a skin color from very light to dark.

    The individual typology angle, ITA = atan((L* - 50) / b*) in degrees, is
    above 55 for very light and below -30 for dark skin (Chardon et al., 1991).
    It is drawn from a uniform distribution.

    Returns:
      float32 [3] RGB in [0, 255].
    """
    angle = rng.uniform(-48, 66)
    b = rng.uniform(13, 19)
    a = rng.uniform(7, 17)
    lightness = 50 + b * math.tan(math.radians(angle))
    y = (lightness + 16) / 116
    cubes = np.array([y + a / 500, y, y - b / 200])
    knee = 6 / 29
    dark = 3 * knee**2 * (cubes - 4 / 29)
    xyz = np.where(cubes > knee, cubes**3, dark)
    linear = np.clip(_XYZ_TO_RGB @ (xyz * _WHITE_POINT), 0.001, 1)
    rgb = np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
    )
    white_balance = np.exp(rng.normal(0, 0.035, 3))
    return (255 * rgb * white_balance).astype(np.float32)


def draw_outline(rng: np.random.Generator, frame: canvas.Frame) -> Outline:
    """Draws an outline: a noisy circle, stretched, rotated and warped."""
    height, width = frame.shape
    cover = min(max(math.exp(rng.normal(math.log(0.13), 0.9)), 0.01), 0.65)
    radius = math.sqrt(cover * height * width / math.pi)
    x = width / 2 + rng.normal(0, 0.06) * width
    y = height / 2 + rng.normal(0, 0.06) * height
    if rng.random() < 0.07:  # partly outside the frame
        x = rng.choice([0.12, 0.88]) * width
        radius = max(radius, 0.18 * width)
    stretch = 1 + 0.35 * rng.random() ** 2
    tilt = rng.uniform(0, np.pi)

    bend = rng.uniform(0.03, 0.2) * radius
    dx = np.arange(width, dtype=np.float32) - np.float32(x)
    dy = np.arange(height, dtype=np.float32)[:, None] - np.float32(y)
    dx = dx + bend * canvas.smooth_noise(rng, frame, 0.9 * radius)
    dy = dy + bend * canvas.smooth_noise(rng, frame, 0.9 * radius)
    along = (math.cos(tilt) * dx + math.sin(tilt) * dy) / stretch
    across = (math.cos(tilt) * dy - math.sin(tilt) * dx) * stretch

    angle = np.arctan2(across, along) * (_OUTLINE_STEPS / (2 * math.pi))
    turn = angle.astype(np.int32) % _OUTLINE_STEPS
    reach = (radius * _radial_profile(rng))[turn]
    distance = reach - np.sqrt(along * along + across * across)
    return Outline(distance > 0, distance / reach, distance, turn, radius)


def _radial_profile(rng: np.random.Generator) -> np.ndarray:
    """Draws the outline's radius by direction, about 1: float32 [1024]."""
    roughness = rng.uniform(0.02, 0.11)
    falloff = rng.uniform(0.7, 1.7)
    waves = np.arange(2, 33)
    spectrum = np.zeros(_OUTLINE_STEPS // 2 + 1, np.complex128)
    phases = np.exp(2j * np.pi * rng.random(len(waves)))
    spectrum[waves] = rng.rayleigh(1, len(waves)) * phases / waves**falloff
    profile = np.fft.irfft(spectrum)
    profile *= roughness / profile.std()
    return np.clip(1 + profile, 0.45, 1.7).astype(np.float32)


def draw_pigment(
    rng: np.random.Generator,
    frame: canvas.Frame,
    *,
    outline: Outline,
    grain: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Draws the pigment of the lesion.

    Args:
      rng: draws the pattern.
      frame: size of the image.
      outline: of the lesion.
      grain: coarse and fine noise, each float32 [height, width].

    Returns:
      lesion: float32 [height, width] in [0, 1], 1 inside the lesion, with a
        sharp or blurred border.
      density: float32 [height, width], optical density of the melanin.
    """
    blur = 0.7 * frame.unit
    if rng.random() < 0.6:
        blur += rng.uniform(0, 0.07) * outline.radius
    lesion = canvas.sigmoid(outline.edge_distance / blur)

    strength = min(max(math.exp(rng.normal(math.log(0.7), 0.5)), 0.25), 1.9)
    dome = rng.uniform(0, 1.1)
    tone = 1 + dome * (np.clip(outline.depth, 0, 1) - 0.5)
    if rng.random() < 0.75:
        cell = rng.uniform(0.4, 1.0) * outline.radius
        patches = canvas.smooth_noise(rng, frame, cell)
        patches = canvas.sigmoid(
            rng.uniform(2, 6) * (patches - rng.normal(0, 0.35))
        )
        tone *= 1 + rng.uniform(0.2, 1.1) * patches
    coarse, fine = grain
    tone += rng.uniform(0.05, 0.3) * coarse
    tone += rng.uniform(0.03, 0.2) * fine
    tone += _structure(rng, frame, outline)
    return lesion, strength * lesion * np.maximum(tone, 0.25)


def _structure(
    rng: np.random.Generator, frame: canvas.Frame, outline: Outline
) -> np.ndarray | float:
    """Draws one of the patterns of dermoscopy, as a change of the tone."""
    kind = rng.choice(
        ["network", "globules", "streaks", "none"], p=[0.4, 0.25, 0.15, 0.2]
    )
    amount = rng.uniform(0.25, 0.8)
    if kind == "network":
        return amount * (_network(rng, frame) - 0.3)
    if kind == "globules":
        places = np.argwhere(outline.inside)[:, ::-1]
        if not len(places):
            return 0.0
        number = int(min(0.012 * len(places) / frame.unit**2, 160))
        centers = places[rng.integers(0, len(places), number)]
        globules = canvas.draw_discs(
            rng, frame, centers + 0.5, low=0.8, high=2.4
        )
        return 1.4 * amount * globules
    if kind == "streaks":
        # One random value every 16 steps of the turn, joined by lines.
        spokes = rng.standard_normal(_OUTLINE_STEPS // 16, dtype=np.float32)
        spokes = np.interp(
            np.arange(_OUTLINE_STEPS) / 16,
            np.arange(len(spokes) + 1),
            np.append(spokes, spokes[0]),
        ).astype(np.float32)
        rim = np.exp(-(((outline.depth - 0.12) / 0.16) ** 2))
        return amount * rim * spokes[outline.turn]
    return 0.0


def _network(rng: np.random.Generator, frame: canvas.Frame) -> np.ndarray:
    """Draws a warped honeycomb, 1 on the lines and 0 in the holes."""
    spacing = rng.uniform(5, 9) * frame.unit
    bend = 0.6 * spacing
    turn = rng.uniform(0, np.pi)
    columns = np.arange(frame.width, dtype=np.float32)
    rows = np.arange(frame.height, dtype=np.float32)[:, None]
    x = columns + bend * canvas.smooth_noise(rng, frame, 2.2 * spacing)
    y = rows + bend * canvas.smooth_noise(rng, frame, 2.2 * spacing)
    waves = np.zeros(frame.shape, np.float32)
    for third in range(3):
        angle = turn + third * np.pi / 3
        step_x = math.cos(angle) * 2 * np.pi / spacing
        step_y = math.sin(angle) * 2 * np.pi / spacing
        waves += np.cos(step_x * x + step_y * y)
    return 1 - canvas.sigmoid(2 * waves)


def draw_skin(
    rng: np.random.Generator,
    frame: canvas.Frame,
    *,
    lesion: np.ndarray,
    grain: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Draws the uneven pigment of bare skin, with specks that are no lesion.

    Args:
      rng: draws the pattern.
      frame: size of the image.
      lesion: float32 [height, width] in [0, 1], 1 inside the lesion.
      grain: coarse and fine noise, each float32 [height, width].

    Returns:
      melanin: float32 [height, width], optical density.
      blood: float32 [height, width], optical density.
    """
    hills = canvas.smooth_noise(rng, frame, 40 * frame.unit)
    coarse, fine = grain
    melanin = rng.uniform(0.02, 0.08) * hills
    melanin += rng.uniform(0.01, 0.06) * coarse
    melanin += rng.uniform(0.01, 0.06) * fine
    if rng.random() < 0.45:
        number = int(rng.integers(3, 45))
        centers = rng.random((number, 2)) * (frame.width, frame.height)
        specks = canvas.draw_discs(
            rng, frame, centers, low=0.8, high=rng.uniform(1.5, 4.5)
        )
        melanin += rng.uniform(0.2, 0.7) * specks * (1 - lesion)
    flush = canvas.smooth_noise(rng, frame, rng.uniform(12, 40) * frame.unit)
    return melanin, rng.uniform(0.01, 0.06) * flush


def paint(
    rng: np.random.Generator, frame: canvas.Frame, outline: Outline
) -> np.ndarray:
    """Paints skin and lesion: float32 [3, height, width] RGB in [0, 255]."""
    skin = skin_color(rng)
    coarse = rng.uniform(5, 9) * frame.unit
    fine = rng.uniform(1.8, 3) * frame.unit
    grain = (
        canvas.smooth_noise(rng, frame, coarse),
        canvas.smooth_noise(rng, frame, fine),
    )
    lesion, pigment = draw_pigment(rng, frame, outline=outline, grain=grain)
    melanin, blood = draw_skin(rng, frame, lesion=lesion, grain=grain)
    blood += 0.4 * rng.random() ** 3 * lesion
    darkness = rng.random() ** 1.5
    absorption = darkness * _BLACK + (1 - darkness) * _BROWN

    veil = None
    if rng.random() < 0.2:
        patch = canvas.smooth_noise(rng, frame, 0.6 * outline.radius)
        veil = lesion * canvas.sigmoid(3 * (patch - rng.uniform(0.2, 0.6)))
        pigment *= 1 - 0.6 * veil
        veil *= rng.uniform(0.15, 0.5)
    # The veil is in the same light, so it is no brighter than the skin.
    veil_color = _BLUE_WHITE * min(1.0, float(skin.mean()) / 200)
    image = np.empty((3, *frame.shape), np.float32)
    for plane in range(3):
        density = pigment * -absorption[plane]
        density -= melanin * _BROWN[plane]
        density -= blood * _BLOOD[plane]
        image[plane] = skin[plane] * np.exp(density)
        if veil is not None:
            image[plane] += veil * (veil_color[plane] - image[plane])
    return image
