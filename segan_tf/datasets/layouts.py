"""Knows the folders that archives of images and label maps unpack to."""

import dataclasses
import os
import re

from segan_tf import config

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
UNDERSTOOD = (
    "understood are the official folders of ISIC 2016, 2017 or 2018 (such as "
    "ISIC-2017_Training_Data with ISIC-2017_Training_Part1_GroundTruth), PH2 "
    "(IMDxxx/IMDxxx_Dermoscopic_Image with IMDxxx_lesion), and images/ with "
    "label_maps/ or masks/; or give --image_dir and --label_map_dir"
)


@dataclasses.dataclass(frozen=True)
class Part:
    """A folder of images and its folder of label maps; either may miss."""

    split: str
    image_dir: str
    label_map_dir: str


def find_parts(data_dir: str) -> list[Part]:
    """Finds the folders of images and of label maps in a known layout.

    Raises:
      config.UserError: the folder is missing, of no known layout, or of
        several at once.
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
            "may share images; give a folder with one of them."
        )
    (parts,) = layouts.values()
    return parts


def entries(folder: str, *, flag: str = "") -> list[os.DirEntry]:
    """Lists a folder's visible entries in the order of their names.

    Raises:
      config.UserError: the folder cannot be read, or a flag names it and
        it is empty.
    """
    name = f"{flag} ({folder})" if flag else folder
    try:
        with os.scandir(folder) as found:
            visible = [e for e in found if not e.name.startswith(".")]
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
        for entry in entries(folder, flag=flag)
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
) -> list[Part]:
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
            parts.append(Part(split, *paths))
    return parts


def _ph2_parts(folders: dict[str, str]) -> list[Part]:
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
            parts.append(Part("", image_dir, label_map_dir))
    return parts


def _plain_parts(data_dir: str, folders: dict[str, str]) -> list[Part]:
    """Lists the one part of a folder with images and label maps."""
    present = [name for name in LABEL_MAP_FOLDERS if name in folders]
    if "images" not in folders or not present:
        return []
    if len(present) > 1:
        raise config.UserError(
            f"--data_dir ({data_dir}) holds both label_maps and masks; say "
            "which with --image_dir and --label_map_dir."
        )
    return [Part("", folders["images"], folders[present[0]])]
