"""The folder layouts of data sets that are found without configuration.

To add one, add a row to LAYOUTS.
"""

import dataclasses
import functools
import os
import re
from collections.abc import Callable, Mapping, Sequence

from segan_tf import config


@dataclasses.dataclass(frozen=True)
class Part:
    """A folder of images and its folder of label maps; one may be missing.

    Attributes:
      split: "train", "validation" or "test" if the folders are those of an
        official split, else "".
      image_dir: path of the folder of images.
      label_map_dir: path of the folder of label maps.
    """

    split: str
    image_dir: str
    label_map_dir: str


@dataclasses.dataclass(frozen=True)
class Layout:
    """How one kind of data set is laid out.

    Attributes:
      name: of the data set, in messages.
      find_parts: takes a data_dir and the folders in it, from lower-case name
        to path; returns the parts that are there, or an empty list.
      example: names of its folders, in messages.
      inner_folders: lower-case names of the folders that find_parts looks for.
        A data_dir of such a name is probably meant to be the folder above.
      label_map_endings: what a label map's name may add to its image's name,
        in lower case.
      ignored_endings: endings of the names, in lower case, of other files
        among the images.
    """

    name: str
    find_parts: Callable[[str, dict[str, str]], list[Part]]
    example: str = ""
    inner_folders: frozenset[str] = frozenset()
    label_map_endings: tuple[str, ...] = ()
    ignored_endings: tuple[str, ...] = ()


def _isic(
    name: str, folders: tuple[str, str], words: Mapping[str, str]
) -> Layout:
    """Describes a challenge of ISIC.

    Args:
      name: of the challenge.
      folders: of images and of label maps, with {} for the word of the split.
      words: from split to the word for it.
    """
    image_folder, label_map_folder = folders
    names = {
        split: (image_folder.format(word), label_map_folder.format(word))
        for split, word in words.items()
    }
    return Layout(
        name,
        functools.partial(_find_split_folders, names=names),
        example=" with ".join(names["train"]),
        inner_folders=frozenset(
            folder.lower() for both in names.values() for folder in both
        ),
        label_map_endings=("_segmentation",),
        ignored_endings=("_superpixels",),
    )


def _find_split_folders(
    data_dir: str,
    folders: Mapping[str, str],
    *,
    names: Mapping[str, tuple[str, str]],
) -> list[Part]:
    """Finds the splits of which at least one of the two folders exists."""
    parts = []
    for split, both in names.items():
        if any(name.lower() in folders for name in both):
            # A missing folder keeps its official name, for the error.
            image_dir, label_map_dir = (
                folders.get(name.lower(), os.path.join(data_dir, name))
                for name in both
            )
            parts.append(Part(split, image_dir, label_map_dir))
    return parts


# PH2 unpacks with blanks in this name, its mirrors with underscores.
_PH2_FOLDERS = ("ph2_dataset_images", "ph2 dataset images")
_PH2_CASE = re.compile(r"IMD\d+", re.IGNORECASE)


def _find_ph2_cases(data_dir: str, folders: Mapping[str, str]) -> list[Part]:
    """Finds PH2's cases, each with one image and one label map."""
    del data_dir
    for name in _PH2_FOLDERS:
        if name in folders:
            folders = _folders_in(folders[name])
    parts = []
    for path in folders.values():
        case = os.path.basename(path)
        if _PH2_CASE.fullmatch(case):
            image_dir = os.path.join(path, f"{case}_Dermoscopic_Image")
            label_map_dir = os.path.join(path, f"{case}_lesion")
            parts.append(Part("", image_dir, label_map_dir))
    return parts


_LABEL_MAP_FOLDERS = ("label_maps", "masks")


def _find_plain_folders(
    data_dir: str, folders: Mapping[str, str]
) -> list[Part]:
    """Finds a folder of images and one of label maps."""
    present = [name for name in _LABEL_MAP_FOLDERS if name in folders]
    if "images" not in folders or not present:
        return []
    if len(present) > 1:
        raise config.UserError(
            f"--data_dir ({data_dir}) holds both label_maps and masks; choose "
            "with --image_dir and --label_map_dir."
        )
    return [Part("", folders["images"], folders[present[0]])]


# Folders of other tasks of the challenges (attributes, diagnoses) are ignored.
LAYOUTS: tuple[Layout, ...] = (
    _isic(
        "ISIC 2016",
        ("ISBI2016_ISIC_Part1_{}_Data", "ISBI2016_ISIC_Part1_{}_GroundTruth"),
        {"train": "Training", "test": "Test"},
    ),
    _isic(
        "ISIC 2017",
        ("ISIC-2017_{}_Data", "ISIC-2017_{}_Part1_GroundTruth"),
        {"train": "Training", "validation": "Validation", "test": "Test_v2"},
    ),
    _isic(
        "ISIC 2018",
        ("ISIC2018_Task1-2_{}_Input", "ISIC2018_Task1_{}_GroundTruth"),
        {"train": "Training", "validation": "Validation", "test": "Test"},
    ),
    Layout(
        "PH2",
        _find_ph2_cases,
        example="IMDxxx/IMDxxx_Dermoscopic_Image with IMDxxx/IMDxxx_lesion",
        label_map_endings=("_lesion",),
    ),
    Layout(
        "images/ with label_maps/ or masks/",
        _find_plain_folders,
        inner_folders=frozenset({"images", *_LABEL_MAP_FOLDERS}),
        label_map_endings=("_label_map", "_mask"),
    ),
)


def known_layouts() -> str:
    """Describes the known layouts, for the remedy of an error."""
    described = [
        f"{layout.name} ({layout.example})" if layout.example else layout.name
        for layout in LAYOUTS
    ]
    return (
        f"known layouts are {', '.join(described[:-1])} and {described[-1]}; "
        "for other folders pass --image_dir and --label_map_dir"
    )


def without_label_map_ending(stem: str) -> str:
    """Removes what a label map's name adds to the name of its image."""
    for layout in LAYOUTS:
        for ending in layout.label_map_endings:
            if stem.lower().endswith(ending):
                return stem[: -len(ending)]
    return stem


def is_ignored(stem: str) -> bool:
    """Tells by its name whether a file belongs to a layout but to no pair."""
    return any(
        stem.lower().endswith(layout.ignored_endings) for layout in LAYOUTS
    )


def find_parts(data_dir: str) -> list[Part]:
    """Finds the folders of images and of label maps in a known layout.

    Raises:
      config.UserError: the folder is missing, has no known layout, or has
        several at once.
    """
    folders = _folders_in(data_dir, flag="--data_dir")
    found = {}
    for layout in LAYOUTS:
        parts = layout.find_parts(data_dir, folders)
        if parts:
            found[layout.name] = parts
    if not found:
        raise config.UserError(
            f"--data_dir ({data_dir}) has no known layout; "
            f"{_hint_at_folder_above(data_dir)}{known_layouts()}."
        )
    if len(found) > 1:
        raise config.UserError(
            f"--data_dir ({data_dir}) holds {' and '.join(found)}, which may "
            "share images; give a folder with one of them."
        )
    (parts,) = found.values()
    return parts


def list_entries(folder: str, *, flag: str = "") -> Sequence[os.DirEntry[str]]:
    """Lists the visible entries of a folder, sorted by name.

    Args:
      folder: its path.
      flag: the flag that names the folder, if one does. Then it must not be
        empty.

    Raises:
      config.UserError: the folder cannot be read, or is empty.
    """
    name = f"{flag} ({folder})" if flag else folder
    try:
        with os.scandir(folder) as found:
            visible = [e for e in found if not e.name.startswith(".")]
    except FileNotFoundError as error:
        raise config.UserError(
            f"{name} does not exist; give the folder where it is now."
        ) from error
    except OSError as error:
        raise config.UserError(
            f"{name} is not a readable folder ({error.strerror})."
        ) from error
    if flag and not visible:
        raise config.UserError(f"{name} is empty; {known_layouts()}.")
    return sorted(visible, key=lambda entry: entry.name)


def _folders_in(folder: str, *, flag: str = "") -> dict[str, str]:
    """Maps the lower-case names of the folders inside to their paths."""
    return {
        entry.name.lower(): entry.path
        for entry in list_entries(folder, flag=flag)
        if entry.is_dir()
    }


def _hint_at_folder_above(data_dir: str) -> str:
    """Suggests the folder above if data_dir is part of a known layout."""
    own_name = os.path.basename(os.path.abspath(data_dir)).lower()
    is_part = any(own_name in layout.inner_folders for layout in LAYOUTS)
    return "give the folder above it; " if is_part else ""
