"""Converts images of any mode to RGB."""

import numpy as np
from PIL import Image

from segan_tf.errors import UserError
from segan_tf.imaging import bit_depth


def blend_over(image: Image.Image, background: str) -> Image.Image:
    """Converts to RGB, with transparent pixels blended over a background."""
    if not has_alpha(image):
        # A conversion to the same mode would copy it.
        return image if image.mode == "RGB" else image.convert("RGB")
    image = image.convert("RGBA")
    canvas = Image.new("RGBA", image.size, background)
    return Image.alpha_composite(canvas, image).convert("RGB")


def has_alpha(image: Image.Image) -> bool:
    """Tells whether an image may have transparent pixels."""
    return image.mode.endswith(("A", "a")) or "transparency" in image.info


def alpha_range(image: Image.Image) -> tuple[int, int]:
    """Returns the least and the largest opacity, 0 to 255."""
    if not has_alpha(image):
        return 255, 255
    opacity = np.asarray(image.convert("RGBA").getchannel("A"))
    return int(opacity.min()), int(opacity.max())


def to_rgb(
    image: Image.Image,
    name: str,
    *,
    depth: bit_depth.BitDepth = bit_depth.FULL,
) -> np.ndarray:
    """Converts an image of any mode to RGB.

    Args:
      image: decoded and upright.
      name: of the file, for errors.
      depth: what the file says about its bits.

    Returns:
      uint8 [height, width, 3], 0 to 255.

    Raises:
      UserError: nothing of it would be seen, or it holds values that are not
        read.
    """
    if image.mode.startswith("I"):
        # 0..white to 0..255, rounded; convert() would clip at 255.
        values = np.asarray(image)
        darkest, brightest = int(values.min()), int(values.max())
        if darkest < 0 or brightest > bit_depth.MAX_16_BIT:
            raise UserError(
                f"{name} holds values from {darkest} to {brightest}; save it "
                f"with 16 bits, 0 to {bit_depth.MAX_16_BIT}."
            )
        white = depth.white if brightest <= depth.white else 0
        if not white:
            bit_depth.check_brightness(name, brightest)
            white = bit_depth.MAX_16_BIT
        gray = (values.astype(np.uint32) * 255 + white // 2) // white
        return np.repeat(gray.astype(np.uint8)[:, :, None], 3, axis=2)
    if alpha_range(image)[1] == 0:
        raise UserError(
            f"{name} is fully transparent (alpha 0 everywhere), nothing of it "
            "would be seen; save it without its alpha channel."
        )
    rgb = np.array(blend_over(image, "white"))
    if depth.has_16_bits:  # of which Pillow keeps the upper 8
        bit_depth.check_brightness(name, (int(rgb.max()) << 8) + 255)
    return rgb
