"""Finds the pairs of image and label map in a folder of pictures."""

import collections
import dataclasses
import os
import re
from collections.abc import Iterable, Sequence

from segan_tf import config
from segan_tf.data import images

# Image folder, label map folder and the words in them for each split, as the
# archives of the challenges name them (2016 has no validation split). Folders
# of other tasks (attributes, diagnoses) are no part of it and passed over.
ISIC_LAYOUTS = {
    "ISIC 2016": (
        "ISBI2016_ISIC_Part1_{}_Data",
        "ISBI2016_ISIC_Part1_{}_GroundTruth",
        {"train": "Training", "test": "Test"},
    ),
    "ISIC 2017": (
        "ISIC-2017_{}_Data",
        "ISIC-2017_{}_Part1_GroundTruth",
        {"train": "Training", "validation": "Validation", "test": "Test_v2"},
    ),
    "ISIC 2018": (
        "ISIC2018_Task1-2_{}_Input",
        "ISIC2018_Task1_{}_GroundTruth",
        {"train": "Training", "validation": "Validation", "test": "Test"},
    ),
}
# PH2 unpacks with blanks in this name, its mirrors with underscores.
PH2_FOLDERS = ("ph2_dataset_images", "ph2 dataset images")
PH2_CASE = re.compile(r"IMD\d+", re.IGNORECASE)
LABEL_MAP_FOLDERS = ("label_maps", "masks")
LABEL_MAP_SUFFIX = re.compile(
    r"_(segmentation|label_map|mask|lesion)$", re.IGNORECASE
)
SUPERPIXELS = re.compile(r"_superpixels$", re.IGNORECASE)
# Pictures, but of formats that are not read: named, so that a folder of TIFF
# files does not look like an empty one.
UNREAD_ENDINGS = (".tif", ".tiff", ".gif", ".webp", ".jp2", ".heic", ".dcm")
UNDERSTOOD = (
    "understood are the official folders of ISIC 2016, 2017 or 2018 (such as "
    "ISIC-2017_Training_Data with ISIC-2017_Training_Part1_GroundTruth), PH2 "
    "(IMDxxx/IMDxxx_Dermoscopic_Image with IMDxxx_lesion), and images/ with "
    "label_maps/ or masks/; or give --image_dir and --label_map_dir"
)


@dataclasses.dataclass(frozen=True)
class Pair:
    """One image and its label map.

    Attributes:
        id: the image's file name without its ending.
        image_path: the image.
        label_map_path: its label map.
        split: "train", "validation" or "test" where a folder's official name
            says so, else "".
    """

    id: str
    image_path: str
    label_map_path: str
    split: str = ""


@dataclasses.dataclass(frozen=True)
class Found:
    """What a folder holds: pairs sorted by id, and what could not be used.

    Attributes:
        pairs: every id with exactly one image and one label map.
        problems: one line for each picture, or folder of pictures, of the
            layout that is in no pair.
    """

    pairs: tuple[Pair, ...]
    problems: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Part:
    """A folder of images and its folder of label maps; either may miss."""

    split: str
    image_dir: str
    label_map_dir: str


def find_pairs(data_dir: str) -> Found:
    """Finds the pairs in a folder of one of the known layouts.

    Args:
        data_dir: a folder with the official ISIC 2016, 2017 or 2018 folders,
            PH2, or `images` with `label_maps` or `masks`.

    Raises:
        config.UserError: the folder is missing, of no known layout, of
            several at once, or holds no pair.
    """
    folders = _folders_in(data_dir, flag="--data_dir")
    layouts = {
        name: _official_parts(data_dir, folders, layout)
        for name, layout in ISIC_LAYOUTS.items()
    }
    layouts["PH2"] = _ph2_parts(folders)
    layouts["images/ with label maps"] = _plain_parts(data_dir, folders)
    layouts = {name: parts for name, parts in layouts.items() if parts}
    if not layouts:
        raise config.UserError(
            f"--data_dir ({data_dir}) is of no known layout; "
            f"{_folder_above(data_dir)}{UNDERSTOOD}."
        )
    if len(layouts) > 1:
        raise config.UserError(
            f"--data_dir ({data_dir}) holds {' and '.join(layouts)}, which "
            "may share pictures; give a folder with one of them."
        )
    (parts,) = layouts.values()
    return _find(parts, where=f"--data_dir ({data_dir})")


def find_pairs_in_folders(image_dir: str, label_map_dir: str) -> Found:
    """Finds the pairs of a folder of images and a folder of label maps.

    Raises:
        config.UserError: a folder is missing, both are the same, or there
            is no pair.
    """
    _entries(image_dir, flag="--image_dir")
    _entries(label_map_dir, flag="--label_map_dir")
    if os.path.samefile(image_dir, label_map_dir):
        raise config.UserError(
            f"--image_dir and --label_map_dir are the same folder "
            f"({image_dir}); put the label maps in a folder of their own."
        )
    return _find(
        [_Part("", image_dir, label_map_dir)],
        where=f"--image_dir ({image_dir}), --label_map_dir ({label_map_dir})",
    )


def _entries(folder: str, *, flag: str = "") -> list[os.DirEntry]:
    """Lists a folder's visible entries in the order of their names."""
    name = f"{flag} ({folder})" if flag else folder
    try:
        with os.scandir(folder) as entries:
            visible = [e for e in entries if not e.name.startswith(".")]
    except FileNotFoundError as error:
        raise config.UserError(
            f"{name} does not exist; check the path."
        ) from error
    except OSError as error:
        raise config.UserError(
            f"{name} is not a readable folder ({error.strerror})."
        ) from error
    if flag and not visible:
        raise config.UserError(f"{name} is empty; {UNDERSTOOD}.")
    return sorted(visible, key=lambda entry: entry.name)


def _folders_in(folder: str, *, flag: str = "") -> dict[str, str]:
    """Maps the lower-case names of the folders inside to their paths."""
    return {
        entry.name.lower(): entry.path
        for entry in _entries(folder, flag=flag)
        if entry.is_dir()
    }


def _folder_above(data_dir: str) -> str:
    """Hints at the folder above where that is the one that was meant."""
    inner = {"images", *LABEL_MAP_FOLDERS}
    for *templates, words in ISIC_LAYOUTS.values():
        for word in words.values():
            inner.update(name.format(word).lower() for name in templates)
    own_name = os.path.basename(os.path.abspath(data_dir)).lower()
    return "give the folder above it; " if own_name in inner else ""


def _official_parts(
    data_dir: str, folders: dict[str, str], layout: tuple
) -> list[_Part]:
    """Lists the parts of an official layout of which a folder is there."""
    *templates, words = layout
    parts = []
    for split, word in words.items():
        names = [template.format(word) for template in templates]
        if any(name.lower() in folders for name in names):
            # The name as it should be stands in for a missing folder.
            paths = (
                folders.get(name.lower(), os.path.join(data_dir, name))
                for name in names
            )
            parts.append(_Part(split, *paths))
    return parts


def _ph2_parts(folders: dict[str, str]) -> list[_Part]:
    """Lists PH2's cases, each with one image and one label map."""
    for name in PH2_FOLDERS:
        if name in folders:
            folders = _folders_in(folders[name])
    parts = []
    for path in folders.values():
        case = os.path.basename(path)
        if PH2_CASE.fullmatch(case):
            image_dir = os.path.join(path, f"{case}_Dermoscopic_Image")
            label_map_dir = os.path.join(path, f"{case}_lesion")
            parts.append(_Part("", image_dir, label_map_dir))
    return parts


def _plain_parts(data_dir: str, folders: dict[str, str]) -> list[_Part]:
    """Lists the one part of a folder with images and label maps."""
    present = [name for name in LABEL_MAP_FOLDERS if name in folders]
    if "images" not in folders or not present:
        return []
    if len(present) > 1:
        raise config.UserError(
            f"--data_dir ({data_dir}) holds both label_maps and masks; say "
            "which with --image_dir and --label_map_dir."
        )
    return [_Part("", folders["images"], folders[present[0]])]


def _find(parts: Iterable[_Part], *, where: str) -> Found:
    """Pairs up every part and sets aside ids that stand in several."""
    pairs: dict[str, list[Pair]] = collections.defaultdict(list)
    problems = []
    for part in parts:
        found = _find_in_part(part)
        problems.extend(found.problems)
        for pair in found.pairs:
            pairs[pair.id].append(pair)
    for picture_id, same in pairs.items():
        if len(same) > 1:
            paths = ", ".join(pair.image_path for pair in same)
            problems.append(
                f"{picture_id} stands in several folders, none is used: "
                f"{paths}; keep one"
            )
    used = sorted(
        (same[0] for same in pairs.values() if len(same) == 1),
        key=lambda pair: pair.id,
    )
    if not used:
        detail = "; ".join(problems[:3]) or "no picture is there"
        raise config.UserError(
            f"{where} holds no pair of image and label map: {detail}; "
            f"{UNDERSTOOD}."
        )
    return Found(tuple(used), tuple(problems))


def _find_in_part(part: _Part) -> Found:
    """Pairs up the pictures of two folders by their ids."""
    problems, pictures = [], []
    for folder in (part.image_dir, part.label_map_dir):
        paths, unused = _pictures_in(folder)
        problems.extend(unused)
        pictures.append(paths)
    if all(pictures):
        matched, unmatched = _match(*pictures, part.split)
        return Found(tuple(matched), tuple(problems + unmatched))
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
    """Lists a folder's pictures, and what looks like one but is not read."""
    if not os.path.isdir(folder):
        return [], [f"folder {folder} is missing"]
    paths, problems = [], []
    for entry in _entries(folder):
        stem, ending = os.path.splitext(entry.name)
        if entry.is_dir():
            inside = [e for e in _entries(entry.path) if images.is_picture(e)]
            if inside:
                problems.append(
                    f"folder {entry.path} is not searched, its {len(inside)} "
                    f"pictures are not used; move them to {folder}"
                )
        elif ending.lower() in UNREAD_ENDINGS:
            problems.append(
                f"{entry.path} is not used: only JPEG, PNG and BMP are read; "
                "save it as PNG"
            )
        elif images.is_picture(entry) and not SUPERPIXELS.search(stem):
            # A link that leads nowhere stays in: the checks then name it.
            paths.append(entry.path)
    if not paths:
        problems.append(f"folder {folder} holds no JPEG, PNG or BMP file")
    return paths, problems


def _match(
    image_paths: Sequence[str], label_map_paths: Sequence[str], split: str
) -> tuple[list[Pair], list[str]]:
    """Pairs images with label maps; every file ends in a pair or a problem."""
    image_of = collections.defaultdict(list)
    label_map_of = collections.defaultdict(list)
    for path in image_paths:
        image_of[images.picture_id(path)].append(path)
    for path in label_map_paths:
        # The bare name first: an image may itself be called "a_mask".
        name = images.picture_id(path)
        if name not in image_of:
            name = LABEL_MAP_SUFFIX.sub("", name)
        label_map_of[name].append(path)
    pairs, problems = [], []
    for name in sorted({*image_of, *label_map_of}):
        own_images, own_maps = image_of[name], label_map_of[name]
        files = ", ".join(own_images + own_maps)
        if not own_maps:
            problems.append(f"image without label map, not used: {files}")
        elif not own_images:
            problems.append(f"label map without image, not used: {files}")
        elif len(own_images) + len(own_maps) > 2:
            problems.append(
                f"{name} has {len(own_images)} image(s) and {len(own_maps)} "
                f"label map(s), none is used: {files}; keep one of each"
            )
        else:
            pairs.append(Pair(name, own_images[0], own_maps[0], split))
    return pairs, problems
