"""Finds the pairs of image and label map in a folder of images."""

import collections
import dataclasses
import itertools
import os
import re
from collections.abc import Iterable, Mapping, Sequence

from segan_tf import config
from segan_tf import labels as labels_lib
from segan_tf.datasets import layouts
from segan_tf.imaging import images

LABEL_MAP_SUFFIX = re.compile(
    r"_(segmentation|label_map|mask|lesion)$", re.IGNORECASE
)
SUPERPIXELS = re.compile(r"_superpixels$", re.IGNORECASE)
# Images, but of formats that are not read: named, so that a folder of TIFF
# files does not look like an empty one.
UNREAD_ENDINGS = (".tif", ".tiff", ".gif", ".webp", ".jp2", ".heic", ".dcm")
_WHOLE = ""  # a label map of all labels
_OTHER = "other"  # a label map of a label that was not asked for


@dataclasses.dataclass(frozen=True)
class Pair:
    """One image and its label map.

    Attributes:
      id: the image's file name without its ending.
      image_path: the image.
      label_map_paths: its label map, or a binary one for each label.
      split: "train", "validation" or "test" where a folder's official name
        says so, else "".
    """

    id: str
    image_path: str
    label_map_paths: tuple[str, ...]
    split: str = ""


@dataclasses.dataclass(frozen=True)
class Found:
    """What a folder holds: pairs sorted by id, and what could not be used.

    Attributes:
      pairs: every id with exactly one image and one label map.
      problems: one line for each image, or folder of images, of the
        layout that is in no pair.
      notes: a line on what is left aside on purpose.
    """

    pairs: tuple[Pair, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


def find_pairs(
    data_dir: str, labels: labels_lib.Labels = labels_lib.LESION
) -> Found:
    """Finds the pairs in a folder of one of the known layouts.

    Args:
      data_dir: a folder with the official ISIC 2016, 2017 or 2018 folders,
        PH2, or `images` with `label_maps` or `masks`.
      labels: whose names may end the names of binary label maps, one file
        a label, as in `<id>_<name>.png`.

    Raises:
      config.UserError: the folder is missing, of no known layout, of
        several at once, or holds no pair.
    """
    parts = layouts.find_parts(data_dir)
    return _find(parts, labels, where=f"--data_dir ({data_dir})")


def find_pairs_in_folders(
    image_dir: str,
    label_map_dir: str,
    labels: labels_lib.Labels = labels_lib.LESION,
) -> Found:
    """Finds the pairs of a folder of images and a folder of label maps.

    Raises:
      config.UserError: a folder is missing, both are the same, or there
        is no pair.
    """
    layouts.entries(image_dir, flag="--image_dir")
    layouts.entries(label_map_dir, flag="--label_map_dir")
    if os.path.samefile(image_dir, label_map_dir):
        raise config.UserError(
            f"--image_dir and --label_map_dir are the same folder "
            f"({image_dir}); put the label maps in a folder of their own."
        )
    return _find(
        [layouts.Part("", image_dir, label_map_dir)],
        labels,
        where=f"--image_dir ({image_dir}), --label_map_dir ({label_map_dir})",
    )


def _find(
    parts: Iterable[layouts.Part], labels: labels_lib.Labels, *, where: str
) -> Found:
    """Pairs up every part and sets aside ids that stand in several."""
    pairs: dict[str, list[Pair]] = collections.defaultdict(list)
    problems, notes = [], []
    for part in parts:
        found = _find_in_part(part, labels)
        problems.extend(found.problems)
        notes.extend(found.notes)
        for pair in found.pairs:
            pairs[pair.id].append(pair)
    for image_id, same in pairs.items():
        if len(same) > 1:
            paths = ", ".join(pair.image_path for pair in same)
            problems.append(
                f"{image_id} stands in several folders, none is used: "
                f"{paths}; keep one"
            )
    used = sorted(
        (same[0] for same in pairs.values() if len(same) == 1),
        key=lambda pair: pair.id,
    )
    if not used:
        detail = "; ".join(problems[:3]) or "no image is there"
        raise config.UserError(
            f"{where} holds no pair of image and label map: {detail}; "
            f"{layouts.UNDERSTOOD}."
        )
    return Found(tuple(used), tuple(problems), tuple(notes))


def _find_in_part(part: layouts.Part, labels: labels_lib.Labels) -> Found:
    """Pairs up the images of two folders by their ids."""
    problems, pictures = [], []
    for folder in (part.image_dir, part.label_map_dir):
        paths, unused = _pictures_in(folder)
        problems.extend(unused)
        pictures.append(paths)
    if all(pictures):
        found = _match(*pictures, part.split, labels)
        return dataclasses.replace(found, problems=(*problems, *found.problems))
    # One line for a folder without partners, not one for each of its files.
    for kind, paths in zip(("images", "label maps"), pictures, strict=True):
        if paths:
            folder = os.path.dirname(paths[0])
            problems.append(
                f"the {len(paths)} {kind} in {folder} have no partners and "
                "are not used"
            )
    return Found((), tuple(problems))


def _pictures_in(folder: str) -> tuple[list[str], list[str]]:
    """Lists a folder's images, and what looks like one but is not read."""
    if not os.path.isdir(folder):
        return [], [f"folder {folder} is missing"]
    paths, problems = [], []
    for entry in layouts.entries(folder):
        stem, ending = os.path.splitext(entry.name)
        if entry.is_dir():
            inside = [
                e for e in layouts.entries(entry.path) if images.is_image(e)
            ]
            if inside:
                problems.append(
                    f"folder {entry.path} is not searched, its {len(inside)} "
                    f"images are not used; move them to {folder}"
                )
        elif ending.lower() in UNREAD_ENDINGS:
            problems.append(
                f"{entry.path} is not used: only JPEG, PNG and BMP are read; "
                "save it as PNG"
            )
        elif images.is_image(entry) and not SUPERPIXELS.search(stem):
            # A link that leads nowhere stays in: the checks then name it.
            paths.append(entry.path)
    if not paths:
        problems.append(f"folder {folder} holds no JPEG, PNG or BMP file")
    return paths, problems


def _match(
    image_paths: Sequence[str],
    label_map_paths: Sequence[str],
    split: str,
    labels: labels_lib.Labels,
) -> Found:
    """Pairs images with label maps; every file ends in a pair or a line."""
    image_of = collections.defaultdict(list)
    for path in image_paths:
        image_of[images.image_id(path)].append(path)
    maps_of = collections.defaultdict(lambda: collections.defaultdict(list))
    others = []
    for path in label_map_paths:
        name, kind = _owner(images.image_id(path), image_of, labels)
        if kind == _OTHER:
            others.append(path)
        else:
            maps_of[name][kind].append(path)
    if labels.count == 1 and labels.names != labels_lib.LESION.names:
        # A label of its own name comes before whatever else is there, such
        # as the lesions beside the hairs that were asked for.
        for maps in maps_of.values():
            if maps[labels.slugs[0]]:
                others += maps.pop(_WHOLE, [])
    one_a_label = any(
        maps[slug] for maps in maps_of.values() for slug in labels.slugs
    )
    pairs, problems, notes = [], [], []
    for name in sorted({*image_of, *maps_of}):
        chosen, problem = _choose(name, image_of[name], maps_of[name], labels)
        if problem:
            problems.append(problem)
        else:
            pairs.append(Pair(name, image_of[name][0], chosen, split))
    if others and one_a_label:
        notes.append(
            f"{len(others)} label map(s) of other labels than "
            f"{', '.join(labels.names)} are left aside, such as {others[0]}"
        )
    else:
        problems += [
            f"label map without image, not used: {path}" for path in others
        ]
    return Found(tuple(pairs), tuple(problems), tuple(notes))


def _owner(
    stem: str, image_of: Mapping, labels: labels_lib.Labels
) -> tuple[str, str]:
    """Finds the image that a label map is of, and what it holds.

    Returns:
      The image's id, and the slug of a label, _WHOLE or _OTHER.
    """
    # The bare name first: an image may itself be called "a_mask".
    if stem in image_of:
        return stem, _WHOLE
    for slug, name in zip(labels.slugs, labels.names, strict=True):
        for ending in (f"_{slug}", f"_{name.lower()}"):
            head = stem[: -len(ending)]
            if stem.lower().endswith(ending) and head in image_of:
                return head, slug
    bare = LABEL_MAP_SUFFIX.sub("", stem)
    if bare in image_of:
        return bare, _WHOLE
    head = stem
    while "_" in head:
        head = head.rpartition("_")[0]
        if head in image_of:
            return head, _OTHER
    return bare, _WHOLE


def _choose(
    name: str,
    own_images: Sequence[str],
    maps: Mapping[str, list[str]],
    labels: labels_lib.Labels,
) -> tuple[tuple[str, ...], str]:
    """Chooses an image's label maps, or says why it is in no pair."""
    whole, of_label = maps[_WHOLE], [maps[slug] for slug in labels.slugs]
    if labels.count == 1:
        whole, of_label = whole + of_label[0], []
    chosen = [*whole, *itertools.chain.from_iterable(of_label)]
    files = ", ".join([*own_images, *chosen])
    if not chosen:
        return (), f"image without label map, not used: {files}"
    if not own_images:
        return (), f"label map without image, not used: {files}"
    counts = f"{len(own_images)} image(s) and {len(chosen)} label map(s)"
    if len(own_images) > 1 or len(whole) > 1 or len(chosen) > len(whole) > 0:
        return (), (
            f"{name} has {counts}, none is used: {files}; keep one of each"
        )
    for slug, paths in zip(labels.slugs, of_label, strict=False):
        if not whole and len(paths) != 1:
            return (), (
                f"{name} has {len(paths)} label map(s) for {slug} and needs "
                f"one, {name}_{slug}.png; none is used: {files}"
            )
    return tuple(chosen), ""
