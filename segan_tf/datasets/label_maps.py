"""Reads label maps of any encoding as zeros and ones."""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from segan_tf import config
from segan_tf import labels as labels_lib
from segan_tf.datasets import findings, pairs, shards
from segan_tf.imaging import images, orientation, rgb

# How many of a label map's wrong values an error lists.
_SHOWN_VALUES = 5
_COLOR_CODE = np.array([256 * 256, 256, 1], np.int32)  # RGB -> 0xRRGGBB


def read_label_map(pair: pairs.Pair, labels: labels_lib.Labels) -> np.ndarray:
    """Reads a pair's label map, from one file or from one for each label.

    Returns:
      uint8 [height, width, labels] in {0, 1}.

    Raises:
      config.UserError: a file cannot be read, those of the labels differ
        in size, or multiclass labels overlap.
    """
    return _read_label_map(pair, labels)[0]


def _read_label_map(
    pair: pairs.Pair, labels: labels_lib.Labels
) -> tuple[np.ndarray, findings.MapFacts]:
    if pair.stored:
        return shards.read_record(pair)[..., 3:], pair.stored.facts
    paths = pair.label_map_paths
    if len(paths) == 1:
        file = _read_file(paths[0], labels)
        found = findings.look_at(
            paths, file.label_map, value=file.value, palette=file.palette
        )
        return file.label_map, found
    maps = [read_label_file(path) for path in paths]
    _check_same_sizes(pair, [a_map.shape[1::-1] for a_map in maps])
    label_map = np.concatenate(maps, axis=-1)
    overlap = int(np.count_nonzero(label_map.sum(axis=-1) > 1))
    if labels.multiclass and overlap:
        raise config.UserError(
            f"{', '.join(pair.label_map_paths)} overlap in {overlap} pixels; "
            "fix them, or give --label_kind=multilabel."
        )
    return label_map, findings.look_at(paths, label_map)


def values_found(
    pair: pairs.Pair, labels: labels_lib.Labels
) -> tuple[str, ...]:
    """Lists every value, or color, that a pair's label map holds.

    Shards do not tell.

    Raises:
      config.UserError: as `read_label_map`.
    """
    if pair.stored:
        return ()
    by_color = labels.by_color
    found = set()
    for path in pair.label_map_paths:
        values = read_label_values(path, by_color=by_color)
        found.update(name_values(values, by_color=by_color))
    return tuple(sorted(found))


def read_image(pair: pairs.Pair) -> np.ndarray:
    """Reads an image.

    Returns:
      uint8 [height, width, 3] RGB.

    Raises:
      config.UserError: it cannot be read.
    """
    if pair.stored:
        return shards.read_record(pair)[..., :3]
    return images.read_image(pair.image_path)


def read_pair(
    pair: pairs.Pair, labels: labels_lib.Labels
) -> tuple[np.ndarray, np.ndarray]:
    """Reads an image and its label map.

    Returns:
      uint8 [height, width, 3] RGB, and uint8 [height, width, labels] in
      {0, 1}.

    Raises:
      config.UserError: as `read_label_map`, or the two differ in size.
    """
    return read_pair_and_facts(pair, labels)[:2]


def read_pair_and_facts(
    pair: pairs.Pair, labels: labels_lib.Labels
) -> tuple[np.ndarray, np.ndarray, findings.MapFacts]:
    """Reads as `read_pair` does, and describes the label map.

    Raises:
      config.UserError: as `read_pair`.
    """
    if pair.stored:
        record = shards.read_record(pair)
        return record[..., :3], record[..., 3:], pair.stored.facts
    image = images.read_image(pair.image_path)
    label_map, facts = _read_label_map(pair, labels)
    problem = size_problem(pair, image.shape[1::-1], label_map.shape[1::-1])
    if problem:
        raise config.UserError(problem)
    return image, label_map, facts


def size_problem(
    pair: pairs.Pair, image_size: tuple[int, int], map_size: tuple[int, int]
) -> str:
    """Explains that image and label map differ in size, or returns ""."""
    if image_size == map_size:
        return ""
    return (
        f"{pair.image_path} is {image_size[0]}x{image_size[1]} pixels but its "
        f"label map {pair.label_map_paths[0]} is {map_size[0]}x{map_size[1]}; "
        "they must have the same size."
    )


def header_findings(pair: pairs.Pair) -> tuple[str, str]:
    """Compares an image and its label map by their headers.

    An image with an EXIF orientation is turned upright. A label map without
    one was drawn either on the upright image or on the stored one; if their
    sizes tell that it was the latter, the pair cannot be used, and if they do
    not tell, it may be wrong.

    Returns:
      Why the pair cannot be used, and why it may be wrong; or "".

    Raises:
      config.UserError: a file cannot be read, or the label maps differ in size.
    """
    if pair.stored:
        return "", pair.stored.doubt
    image = images.read_header(pair.image_path)
    maps = [images.read_header(path) for path in pair.label_map_paths]
    _check_same_sizes(pair, [a_map.size for a_map in maps])
    is_turned = image.orientation != 1 and any(
        a_map.orientation == 1 for a_map in maps
    )
    width, height = image.size
    problem = size_problem(pair, image.size, maps[0].size)
    turned = (
        f"{pair.image_path} is turned upright by its EXIF orientation "
        f"({image.orientation}), and its label map {pair.label_map_paths[0]} "
        "has none"
    )
    remedy = (
        "save the image upright without an orientation, and turn the label map "
        "if it does not match then"
    )
    if problem and is_turned and maps[0].size == (height, width):
        return f"{turned} and has the size before turning; {remedy}.", ""
    swaps_sides = image.orientation in orientation.SIDES_SWAPPED
    if is_turned and not problem and (width == height or not swaps_sides):
        return "", f"{turned}, so they may not match; {remedy}"
    return problem, ""


def _check_same_sizes(
    pair: pairs.Pair, sizes: Sequence[tuple[int, int]]
) -> None:
    """Checks that the label maps of an image have the same size.

    Raises:
      config.UserError: they differ.
    """
    for path, size in zip(pair.label_map_paths, sizes, strict=True):
        if size != sizes[0]:
            raise config.UserError(
                f"{path} is {size[0]}x{size[1]} pixels but "
                f"{pair.label_map_paths[0]} is {sizes[0][0]}x{sizes[0][1]}; "
                "the label maps of an image must have the same size."
            )


def read_label_file(
    path: str | os.PathLike,
    labels: labels_lib.Labels = labels_lib.LESION,
) -> np.ndarray:
    """Reads a label map from a file.

    For one label the file holds 0 and any one other value; a single value means
    an empty (0) or a full map. For k labels it holds their numbers, 1 to k, and
    0 for background. `labels.marks` overrides both. A palette image is read by
    its colors if all of them are gray, else by its palette indices. Transparent
    pixels count as 0.

    Returns:
      uint8 [height, width, labels.count] in {0, 1}.

    Raises:
      config.UserError: as for `read_image`, or other values than these.
    """
    return _read_file(path, labels).label_map


@dataclasses.dataclass(frozen=True)
class _LabelFile:
    """A label map from a file; the others as in `findings.MapFacts`."""

    label_map: np.ndarray
    value: int
    palette: tuple[tuple[int, int], ...]


def _read_file(
    path: str | os.PathLike[str], labels: labels_lib.Labels
) -> _LabelFile:
    image = images.decode(path)
    values = _read_values(path, image, by_color=labels.by_color)
    if labels.marks or labels.count > 1:
        label_map, value = _split_labels(path, values, labels), 0
    else:
        value = int(values.max())
        if not np.all((values == 0) | (values == value)):
            raise _wrong_values(path, values, labels)
        label_map = (values > 0).astype(np.uint8)[:, :, None]
    has_one_value = image.mode == "1"
    palette = () if labels.by_color else _used_palette(image)
    return _LabelFile(label_map, 0 if has_one_value else value, palette)


def _split_labels(
    path: str | os.PathLike[str], values: np.ndarray, labels: labels_lib.Labels
) -> np.ndarray:
    """Maps int32 [height, width] to uint8 [height, width, labels]."""
    marks = labels.marks or [(i, i) for i in range(labels.count + 1)]
    label_map = np.zeros((*values.shape, labels.count), np.uint8)
    unknown = np.ones(values.shape, bool)
    for value, label in marks:
        here = values == value
        unknown &= ~here
        if label:
            label_map[..., label - 1] |= here
    if unknown.any():
        raise _wrong_values(path, values, labels)
    return label_map


def read_label_values(
    path: str | os.PathLike, *, by_color: bool = False
) -> np.ndarray:
    """Reads the values in a label map's file, before they become labels.

    Args:
      path: of the image.
      by_color: return colors, 0xRRGGBB, instead of values.

    Returns:
      int32 [height, width].

    Raises:
      config.UserError: as for `read_image`, or colors instead of values.
    """
    return _read_values(path, images.decode(path), by_color=by_color)


def _read_values(
    path: str | os.PathLike[str], image: Image.Image, *, by_color: bool
) -> np.ndarray:
    if not by_color:
        return _label_values(path, image)
    return _opaque_colors(path, image) @ _COLOR_CODE


def _opaque_colors(
    path: str | os.PathLike[str], image: Image.Image
) -> np.ndarray:
    """Returns int32 [height, width, 3], black where nothing is seen.

    Raises:
      config.UserError: nothing is seen anywhere, and yet the file marks
        something: by its opacity alone, or under full transparency.
    """
    colors = np.asarray(rgb.blend_over(image, "black"))
    if rgb.has_alpha(image) and not colors.any():
        low, high = rgb.alpha_range(image)
        if low != high:
            raise config.UserError(
                f"{path} is black and marks something by its transparency "
                "alone (alpha channel); save that channel as a gray PNG."
            )
        if high == 0 and np.any(np.asarray(image.convert("RGBA"))[..., :3]):
            raise config.UserError(
                f"{path} is fully transparent (alpha 0 everywhere), so its "
                "colors mark nothing; save it without its alpha channel."
            )
    return colors.astype(np.int32)


def name_values(values: np.ndarray, *, by_color: bool) -> list[str]:
    """Lists the distinct values, or colors, in a label map, sorted."""
    found = np.unique(values).tolist()
    return [f"#{value:06x}" if by_color else str(value) for value in found]


def _wrong_values(
    path: str | os.PathLike, values: np.ndarray, labels: labels_lib.Labels
) -> config.UserError:
    """Explains which values a label map holds and how to fix it."""
    if labels.marks:
        marks = np.array([mark for mark, _ in labels.marks])
        # Only those without a name: an image may hold thousands of values.
        values = values[~np.isin(values, marks)]
        named = _some(name_values(marks, by_color=labels.by_color))
        wanted = f"{labels_lib.FILE_NAME} names only {named}"
        remedy = "name them there, as null for background"
    elif labels.count == 1:
        wanted = "a label map of one label must be two-valued"
        remedy = (
            "save it as PNG with 0 and 255, or pass --num_labels if these are "
            "several labels, named with --label_names"
        )
    else:
        wanted = f"--num_labels ({labels.count}) allows 0 to {labels.count}"
        remedy = (
            "save it as PNG with the numbers of the labels, or name its values "
            f"in a {labels_lib.FILE_NAME} in the folder of images or of label "
            "maps"
        )
    what = "colors" if labels.by_color else "values"
    found = _some(name_values(values, by_color=labels.by_color))
    return config.UserError(
        f"{path} holds the {what} {found}; {wanted}; {remedy}."
    )


def _some(names: list[str]) -> str:
    """Joins the first names and counts the rest."""
    shown = ", ".join(names[:_SHOWN_VALUES])
    if len(names) > _SHOWN_VALUES:
        shown += f" and {len(names) - _SHOWN_VALUES} more"
    return shown


def _label_values(path: str | os.PathLike, image: Image.Image) -> np.ndarray:
    """Returns a label map's values as integers [height, width]."""
    if image.mode in ("1", "L") or image.mode.startswith("I"):
        return np.asarray(image).astype(np.int32)
    if _palette_of_colors(image) is not None:
        return np.asarray(image).astype(np.int32)
    rgb = _opaque_colors(path, image)
    if np.any(rgb != rgb[:, :, :1]):
        found = name_values(rgb @ _COLOR_CODE, by_color=True)
        raise config.UserError(
            f"{path} holds the colors {_some(found)}; name the label of each "
            f"color in a {labels_lib.FILE_NAME}, or save it as PNG with the "
            "numbers of the labels."
        )
    return rgb[:, :, 0]


def _palette_of_colors(image: Image.Image) -> np.ndarray | None:
    """Returns the palette, int [n, 3], if it holds other colors than gray."""
    if image.mode != "P":
        return None
    palette = np.array(image.getpalette("RGB")).reshape(-1, 3)
    return palette if np.any(palette != palette[:, :1]) else None


def _used_palette(image: Image.Image) -> tuple[tuple[int, int], ...]:
    """Lists (index, 0xRRGGBB) of the colors of a palette that are used."""
    palette = _palette_of_colors(image)
    if palette is None:
        return ()
    used = np.flatnonzero(image.histogram()[: len(palette)])
    return tuple((int(i), int(palette[i] @ _COLOR_CODE)) for i in used)
