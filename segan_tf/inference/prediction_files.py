"""The image files of a prediction: label maps, overlays and legends."""

import io
import os
import unicodedata
from collections.abc import Sequence

import numpy as np
from PIL import Image

from segan_tf import files, run_lock
from segan_tf import labels as labels_lib
from segan_tf.config import OVERLAYS
from segan_tf.errors import UserError
from segan_tf.imaging import contact_sheet, images, mask_png, overlays
from segan_tf.inference.prediction_inputs import Source

NONE, JPEG, PNG = OVERLAYS
# Pixels, enough to see an outline; a 12-megapixel image is shown at a quarter.
JPEG_SIDE = 1024
_JPEG_QUALITY = 85
OVERLAY = "overlay"
_STYLE_OVERLAY = "styles_overlay"
_LEGEND = "legend.png"
_STYLE_LEGEND = "styles_legend.png"
_LEGEND_TILE_PX = 300  # as in the gallery, so that the text has its size


def label_map_parts(labels: labels_lib.Labels) -> tuple[str, ...]:
    """Returns what follows the id in the names of an image's label maps."""
    if labels.count == 1 or labels.multiclass:
        return ("label_map",)
    return labels.slugs


def write_label_map(
    stem: str, label_map: np.ndarray, *, labels: labels_lib.Labels
) -> None:
    """Writes a label map as one PNG file, or one per multilabel label.

    Args:
      stem: of the files' paths.
      label_map: uint8 [height, width, labels] in {0, 1}.
      labels: of the channels.
    """
    paths = [f"{stem}_{part}.png" for part in label_map_parts(labels)]
    if labels.count > 1 and labels.multiclass:
        numbers = label_map @ np.arange(1, labels.count + 1, dtype=np.uint8)
        images.write_index_png(paths[0], numbers, labels.colors)
        return
    for label, path in enumerate(paths):
        _write(path, mask_png.encode_mask_png(label_map[..., label]))


def write_overlays(
    stem: str,
    image: np.ndarray,
    label_map: np.ndarray,
    *,
    labels: labels_lib.Labels,
    in_styles: Sequence[np.ndarray],
    file_format: str,
) -> None:
    """Writes an image with its label map, and with its outlines in styles.

    Args:
      stem: of the files' paths.
      image: uint8 [height, width, 3], RGB.
      label_map: uint8 [height, width, labels] in {0, 1}.
      labels: of the channels.
      in_styles: the label map in each style, if there are any.
      file_format: JPEG, which is reduced by a whole number so that no side is
        above JPEG_SIDE, or PNG, which has the image's own size.
    """
    if file_format == JPEG:
        step = -(-max(image.shape) // JPEG_SIDE)
        image = _reduce(image, step)
        label_map = label_map[::step, ::step]
        in_styles = [one[::step, ::step] for one in in_styles]
    if labels.count == 1:
        drawn = overlays.overlay(image, label_map[..., 0])
    else:
        drawn = overlays.overlay_labels(image, label_map, labels.colors)
    _write_drawing(f"{stem}_{OVERLAY}", drawn, file_format)
    if in_styles:
        drawn = _draw_outlines(image, in_styles)
        _write_drawing(f"{stem}_{_STYLE_OVERLAY}", drawn, file_format)


def _reduce(image: np.ndarray, step: int) -> np.ndarray:
    """Averages squares of pixels."""
    if step == 1:
        return image
    return np.asarray(Image.fromarray(image).reduce(step))


def _write_drawing(stem: str, drawn: np.ndarray, file_format: str) -> None:
    if file_format == PNG:
        _write(f"{stem}.png", images.encode_png(drawn))
        return
    stream = io.BytesIO()
    Image.fromarray(drawn).save(stream, "JPEG", quality=_JPEG_QUALITY)
    _write(f"{stem}.jpg", stream.getvalue())


def _write(path: str, data: bytes) -> None:
    # A disk takes longer to sync a file than a core to predict an image, and
    # `is_written` finds the files that a stop of the machine emptied.
    files.write_bytes(path, data, sync=False)


def _draw_outlines(
    image: np.ndarray, label_maps: Sequence[np.ndarray]
) -> np.ndarray:
    """Draws the outlines of label maps over an image, a color for each."""
    colors = [
        color
        for color, label_map in zip(
            labels_lib.colors(len(label_maps)), label_maps, strict=True
        )
        for _ in range(label_map.shape[-1])
    ]
    return overlays.overlay_labels(
        image, np.concatenate(label_maps, axis=-1), colors, filled=False
    )


def write_legends(
    folder: str, labels: labels_lib.Labels, styles: Sequence[str]
) -> None:
    """Writes what the colors of several labels, and of styles, mean.

    Args:
      folder: of the files.
      labels: of the label maps.
      styles: that all label maps are also drawn in.
    """
    for name, names in (
        (_LEGEND, labels.names if labels.count > 1 else ()),
        (_STYLE_LEGEND, styles),
    ):
        if names:
            _write_legend(os.path.join(folder, name), names)


def _write_legend(path: str, names: Sequence[str]) -> None:
    """Writes the names of labels or styles in their colors."""
    legend = contact_sheet.sheet(
        [],
        columns=1,
        tile_px=_LEGEND_TILE_PX,
        title="",
        legend=tuple(zip(names, labels_lib.colors(len(names)), strict=True)),
    )
    images.write_png(path, np.array(legend))


def check_distinct(
    sources: Sequence[Source],
    labels: labels_lib.Labels,
    styles: Sequence[str],
    *,
    ignore_case: bool = False,
) -> None:
    """Checks that no two images write the same file.

    Raises:
      UserError: two do; names them and the file.
    """
    parts = _endings(labels, styles)
    if not ambiguous_ending(labels, styles):
        parts = parts[:1]  # then only equal ids make equal names
    by_file: dict[str, Source] = {}
    for source in sources:
        for part in parts:
            name = f"{source.id}_{part}.png"
            key = name
            if ignore_case:
                key = unicodedata.normalize("NFC", name).casefold()
            other = by_file.setdefault(key, source)
            if other.path != source.path:
                raise UserError(
                    f"--input: {other.shown_as} and {source.shown_as} would "
                    f"write the same {name}; rename one."
                )


def ambiguous_ending(labels: labels_lib.Labels, styles: Sequence[str]) -> str:
    """Returns an ending of file names that another ends in; "" if none is.

    Where there is one, the files of two ids may have the same name.
    """
    parts = _endings(labels, styles)
    return next(
        (two for one in parts for two in parts if one.endswith(f"_{two}")), ""
    )


def _endings(labels: labels_lib.Labels, styles: Sequence[str]) -> list[str]:
    """Returns what follows the id in the names of an image's files."""
    parts = [*label_map_parts(labels), OVERLAY]
    if styles:
        parts.append(_STYLE_OVERLAY)
    for style in styles:
        parts += [f"{style}_{part}" for part in label_map_parts(labels)]
    return parts


def is_written(source: Source, folder: str, labels: labels_lib.Labels) -> bool:
    """Returns whether an image has a label map that is not older than it."""
    last = f"{source.id}_{label_map_parts(labels)[-1]}.png"
    try:
        written = os.stat(os.path.join(folder, last))
        is_newer = written.st_mtime_ns >= os.stat(source.path).st_mtime_ns
        return is_newer and written.st_size > 0
    except OSError:
        return False


def ignores_case(folder: str, part: str = "") -> bool:
    """Returns whether a folder takes "A" and "a" for one.

    Args:
      folder: is locked, see `run_lock.hold`.
      part: that is locked.
    """
    name = f"{run_lock.FILE_NAME}{part}".upper()
    return os.path.exists(os.path.join(folder, name))
