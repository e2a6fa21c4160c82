"""Finds the pairs of image and label map in a folder."""

import collections
import dataclasses
import itertools
import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from segan_tf import config
from segan_tf import labels as labels_lib
from segan_tf.datasets import findings, layouts
from segan_tf.imaging import formats, images

_WHOLE = ""  # a label map of all labels
_OTHER = "other"  # a label map of a label that was not asked for


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """A pair that was decoded before, in a shard; see `shards`.

    Attributes:
      shape: of the record, (side, side, 3 + labels).
      offset: of the record in the shard, in bytes.
      checksum: CRC-32 of the record.
      image: fingerprint of the image's file, see `content`.
      label_maps: those of the files of the label map.
      facts: what the label map of the files tells.
      doubt: why image and label map may not match, or "".
      problem: why there is no record, or "".
    """

    shape: tuple[int, int, int]
    offset: int
    checksum: int
    image: str
    label_maps: tuple[str, ...]
    facts: findings.MapFacts
    doubt: str = ""
    problem: str = ""


@dataclasses.dataclass(frozen=True)
class Pair:
    """An image and its label map.

    Attributes:
      id: the image's file name without its ending; of DICOM, its SOP instance
        UID.
      image_path: the image, or the shard that holds it.
      label_map_paths: its label map, or a binary one for each label.
      split: "train", "validation" or "test" if its folder has the name of an
        official split, else "".
      stored: of a pair in a shard.
    """

    id: str
    image_path: str
    label_map_paths: tuple[str, ...]
    split: str = ""
    stored: Stored | None = None

    @property
    def named_with_file(self) -> str:
        """The id, and the image's path where its name does not hold the id."""
        is_in_name = self.id in os.path.basename(self.image_path)
        return self.id if is_in_name else f"{self.id} ({self.image_path})"


@dataclasses.dataclass(frozen=True)
class DiscoveredPairs:
    """The pairs in a folder, and the files that cannot be used.

    Attributes:
      pairs: every id with exactly one image and one label map, sorted by id.
      problems: a line for each image, label map or folder that is in no pair.
      notes: a line on what was left out on purpose.
      left_out: ids of the images and label maps that are in no pair.
    """

    pairs: tuple[Pair, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    left_out: frozenset[str] = frozenset()


def normalized(name: str) -> str:
    """Returns a name with its accents composed (Unicode NFC).

    macOS writes names decomposed: "a" and two dots instead of one letter. Ids
    are compared in this form, and written as the names are on the disk.
    """
    return unicodedata.normalize("NFC", name)


def find_pairs(
    data_dir: str, labels: labels_lib.Labels = labels_lib.LESION
) -> DiscoveredPairs:
    """Finds the pairs in a folder of a known layout.

    Args:
      data_dir: a folder of one of `layouts.LAYOUTS`.
      labels: their names may end the file names of binary label maps, one file
        for each label, as in `<id>_<name>.png`.

    Raises:
      config.UserError: the folder is missing, has no known layout or several,
        or holds no pair.
    """
    parts = layouts.find_parts(data_dir)
    found = _find(parts, labels, where=f"--data_dir ({data_dir})")
    loose = [e.path for e in layouts.list_entries(data_dir) if _may_be_image(e)]
    if loose:
        note = (
            f"warning: {len(loose)} images in {data_dir} itself are not used, "
            f"such as {loose[0]}; move them into the folder of images"
        )
        found = dataclasses.replace(found, notes=(*found.notes, note))
    return found


def find_pairs_in_folders(
    image_dir: str,
    label_map_dir: str,
    labels: labels_lib.Labels = labels_lib.LESION,
) -> DiscoveredPairs:
    """Finds the pairs of a folder of images and a folder of label maps.

    Raises:
      config.UserError: a folder is missing, both are the same, or there
        is no pair.
    """
    layouts.list_entries(image_dir, flag="--image_dir")
    layouts.list_entries(label_map_dir, flag="--label_map_dir")
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
) -> DiscoveredPairs:
    """Pairs up every part and sets aside ids that are in several."""
    pairs: dict[str, list[Pair]] = collections.defaultdict(list)
    problems: list[str] = []
    notes: list[str] = []
    left_out: set[str] = set()
    for part in parts:
        found = _find_in_part(part, labels)
        problems.extend(found.problems)
        notes.extend(found.notes)
        left_out |= found.left_out
        for pair in found.pairs:
            pairs[normalized(pair.id)].append(pair)
    for image_id, same in pairs.items():
        if len(same) > 1:
            left_out.add(image_id)
            paths = ", ".join(pair.image_path for pair in same)
            problems.append(
                f"{image_id} is in several folders, none is used: {paths}; "
                "keep one"
            )
    used = sorted(
        (same[0] for same in pairs.values() if len(same) == 1),
        key=lambda pair: pair.id,
    )
    if not used:
        detail = "; ".join(problems[:3]) or "there is no image"
        raise config.UserError(
            f"{where} holds no pair of image and label map: {detail}; "
            f"{layouts.known_layouts()}."
        )
    return DiscoveredPairs(
        tuple(used), tuple(problems), tuple(notes), frozenset(left_out)
    )


def _find_in_part(
    part: layouts.Part, labels: labels_lib.Labels
) -> DiscoveredPairs:
    """Pairs up the images and label maps of two folders by their ids."""
    image_paths, image_problems = _images_in(part.image_dir)
    label_map_paths, label_map_problems = _images_in(part.label_map_dir)
    problems = [*image_problems, *label_map_problems]
    if image_paths and label_map_paths:
        found = _match(image_paths, label_map_paths, labels, split=part.split)
        return dataclasses.replace(found, problems=(*problems, *found.problems))
    # One line for a folder without partners, not one for each of its files.
    for kind, paths in (
        ("images", image_paths),
        ("label maps", label_map_paths),
    ):
        if paths:
            folder = os.path.dirname(paths[0])
            problems.append(
                f"the {len(paths)} {kind} in {folder} have no partners and "
                "are not used"
            )
    return DiscoveredPairs((), tuple(problems))


def _images_in(folder: str) -> tuple[list[str], list[str]]:
    """Lists a folder's images, and the problems with its other entries."""
    if not os.path.isdir(folder):
        return [], [f"folder {folder} is missing"]
    paths: list[str] = []
    problems: list[str] = []
    inner: dict[str, list[str]] = {}
    for entry in layouts.list_entries(folder):
        if entry.is_dir():
            inner[entry.path] = _images_below(entry.path, problems)
        elif reason := formats.unread_reason(entry):
            problems.append(reason)
        elif formats.is_image(entry) and not layouts.is_ignored(
            formats.stem(entry)
        ):
            # A broken link stays in, so that the checks name it.
            paths.append(entry.path)
    problems += _inner_folder_problems(folder, paths, inner)
    if not paths:
        problems.append(
            f"folder {folder} holds no {formats.format_names()} file"
        )
    return paths, problems


def _may_be_image(entry: os.DirEntry[str]) -> bool:
    return not entry.is_dir() and formats.has_image_name(entry)


def _images_below(folder: str, problems: list[str]) -> list[str]:
    """Lists the images in a folder and in those inside it, relative to it."""

    def report(error: OSError) -> None:
        problems.append(
            f"folder {error.filename} cannot be read ({error.strerror}); check "
            "its permissions"
        )

    return [
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _, names in os.walk(folder, onerror=report)
        for name in sorted(names)
        if formats.has_image_name(name)
    ]


def _inner_folder_problems(
    folder: str, paths: Sequence[str], inner: Mapping[str, Sequence[str]]
) -> list[str]:
    """Explains that folders inside are not searched, and what to do.

    Files of equal names must not overwrite each other when they are moved.
    """
    counts = collections.Counter(
        _file_key(path) for path in itertools.chain(paths, *inner.values())
    )
    problems = []
    for path, inside in inner.items():
        if not inside:
            continue
        twice = [name for name in inside if counts[_file_key(name)] > 1]
        remedy = f"move them to {folder}"
        if twice:
            stem, ending = os.path.splitext(os.path.basename(twice[0]))
            parents = os.path.dirname(twice[0]).split(os.sep)
            parts = filter(None, [stem, os.path.basename(path), *parents])
            target = os.path.join(folder, "_".join(parts) + ending)
            remedy = (
                "other files have the same names, such as "
                f"{os.path.basename(twice[0])}, so rename each while moving "
                f"it, to {target}"
            )
            if _file_key(target) in counts:
                remedy += " or another name, as this one is taken"
        problems.append(
            f"folder {path} is not searched, its {len(inside)} images are not "
            f"used; {remedy}"
        )
    return problems


def _file_key(path: str) -> str:
    """Returns the same for files that would overwrite each other."""
    return normalized(os.path.basename(path)).lower()


def _match(
    image_paths: Sequence[str],
    label_map_paths: Sequence[str],
    labels: labels_lib.Labels,
    *,
    split: str,
) -> DiscoveredPairs:
    """Pairs images with label maps; every file ends in a pair or a line."""
    images_of, ids, problems = _identify(image_paths, label_map_paths)
    maps_of, others = _assign_label_maps(label_map_paths, images_of, labels)
    has_map_for_each_label = any(
        maps[slug] for maps in maps_of.values() for slug in labels.slugs
    )
    pairs, notes, left_out = [], [], set()
    for name in sorted({*images_of, *maps_of}):
        chosen, problem = _choose(name, images_of[name], maps_of[name], labels)
        if problem:
            problems.append(problem)
            left_out.add(name)
        else:
            path = images_of[name][0]
            pairs.append(Pair(ids[path], path, chosen, split))
    if others and has_map_for_each_label:
        notes.append(
            f"{len(others)} label map(s) of other labels than "
            f"{', '.join(labels.names)} are left out, such as {others[0]}"
        )
    else:
        problems += [
            f"label map without image, not used: {path}" for path in others
        ]
    return DiscoveredPairs(
        tuple(pairs), tuple(problems), tuple(notes), frozenset(left_out)
    )


def _identify(
    image_paths: Sequence[str], label_map_paths: Sequence[str]
) -> tuple[dict[str, list[str]], dict[str, str], list[str]]:
    """Finds the ids of images.

    Returns:
      The images by the name that their label maps begin with, which for DICOM
      is the id or the file's name; the id of each image; and a line for each
      one without an id.
    """
    # No UID holds an underscore.
    heads = {_stem_of(path).partition("_")[0] for path in label_map_paths}
    images_of: dict[str, list[str]] = collections.defaultdict(list)
    ids: dict[str, str] = {}
    problems = []
    for path in image_paths:
        try:
            ids[path] = images.image_id(path)
        except config.UserError as error:
            problems.append(str(error))
            continue
        is_named_by_id = normalized(ids[path]) in heads
        name = normalized(ids[path]) if is_named_by_id else _stem_of(path)
        images_of[name].append(path)
    return images_of, ids, problems


def _stem_of(path: str) -> str:
    return normalized(formats.stem(path))


# From the id of an image and the slug of a label, or _WHOLE, to label maps.
_MapsOf = dict[str, dict[str, list[str]]]


def _assign_label_maps(
    label_map_paths: Sequence[str],
    images_of: Mapping[str, Sequence[str]],
    labels: labels_lib.Labels,
) -> tuple[_MapsOf, list[str]]:
    """Assigns label maps to images and labels; returns the others too."""
    maps_of: _MapsOf = collections.defaultdict(
        lambda: collections.defaultdict(list)
    )
    others = []
    for path in label_map_paths:
        name, kind = _owner(_stem_of(path), images_of, labels)
        if kind == _OTHER:
            others.append(path)
        else:
            maps_of[name][kind].append(path)
    if labels.count == 1 and labels.names != labels_lib.LESION.names:
        # A label map named after the label comes first: if hairs were asked
        # for, any other label map of the image is another label's.
        for maps in maps_of.values():
            if maps[labels.slugs[0]]:
                others += maps.pop(_WHOLE, [])
    return maps_of, others


def _owner(
    stem: str, images_of: Mapping[str, object], labels: labels_lib.Labels
) -> tuple[str, str]:
    """Finds the image that a label map belongs to, and what it holds.

    Returns:
      The image's id, and the slug of a label, _WHOLE or _OTHER.
    """
    # The bare name first: an image may itself be called "a_mask".
    if stem in images_of:
        return stem, _WHOLE
    for slug, name in zip(labels.slugs, labels.names, strict=True):
        for ending in (f"_{slug}", f"_{normalized(name.lower())}"):
            head = stem[: -len(ending)]
            if stem.lower().endswith(ending) and head in images_of:
                return head, slug
    bare = layouts.without_label_map_ending(stem)
    if bare in images_of:
        return bare, _WHOLE
    head = stem
    while "_" in head:
        head = head.rpartition("_")[0]
        if head in images_of:
            return head, _OTHER
    return bare, _WHOLE


def _choose(
    name: str,
    own_images: Sequence[str],
    maps: Mapping[str, list[str]],
    labels: labels_lib.Labels,
) -> tuple[tuple[str, ...], str]:
    """Chooses an image's label maps, or explains why it is in no pair."""
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
            f"{_unicode_hint(own_images)}"
        )
    for slug, paths in zip(labels.slugs, of_label, strict=False):
        if not whole and len(paths) != 1:
            return (), (
                f"{name} has {len(paths)} label map(s) for {slug} and needs "
                f"one, {name}_{slug}.png; none is used: {files}"
            )
    return tuple(chosen), ""


def _unicode_hint(paths: Sequence[str]) -> str:
    stems = {formats.stem(path) for path in paths}
    if len(stems) < 2:
        return ""
    return " (the names look alike; their accents differ in Unicode form)"
