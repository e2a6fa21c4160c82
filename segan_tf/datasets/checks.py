"""Checks the pairs: cheaply before training, completely with --mode=check."""

import collections
import concurrent.futures
import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from segan_tf import config
from segan_tf import labels as labels_lib
from segan_tf.datasets import (
    check_report,
    label_maps,
    near_duplicates,
    pairs,
    splits,
)
from segan_tf.imaging import images

# Decoding releases Python's lock, so threads help; each holds one image of
# up to 100 million pixels.
FEWEST_THREADS = 2
MOST_THREADS = 8
# A label map is taken for inverted when it marks most of the frame around the
# image and little of its middle: lesions may touch the frame, but the
# photographer puts them in the middle.
BORDER_SHARE = 0.9
MIDDLE_SHARE = 0.5
_USED = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class _Facts:
    """What reading one pair told; only `problem` where it is not empty."""

    problem: str = ""
    warning: str = ""
    size: tuple[int, int] = (0, 0)
    share: float = 0.0
    label_shares: tuple[float, ...] = ()
    values: tuple[str, ...] = ()
    thumbnail: np.ndarray | None = None


def cheap_problems(all_pairs: Iterable[pairs.Pair]) -> dict[str, str]:
    """Finds what the headers of the files tell is wrong.

    Returns:
      One line for each bad pair, by id: a file that is missing, empty, no
      image, too small or too large, or two different sizes.
    """
    all_pairs = list(all_pairs)
    with _threads() as threads:
        found = threads.map(_header_problem, all_pairs)
        return {
            pair.id: problem
            for pair, problem in zip(all_pairs, found, strict=True)
            if problem
        }


def check_pairs(
    by_split: splits.Splits,
    *,
    progress: Callable[..., Iterable],
    labels: labels_lib.Labels = labels_lib.LESION,
    unmatched: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> check_report.Report:
    """Reads every pair of the splits completely and reports on them.

    Args:
      by_split: the pairs; the unused ones are not read.
      progress: wraps an iterable to show how far it is, as tqdm does.
      labels: of the label maps.
      unmatched: problems of finding the pairs, to be in the report.
      notes: of finding the pairs, to be in the report.
    """
    named = [
        (split, pair) for split in _USED for pair in getattr(by_split, split)
    ]
    counts = {split: len(ids) for split, ids in by_split.ids().items()}
    if not counts["unused"]:
        del counts["unused"]
    with _threads() as threads:
        reading = threads.map(lambda item: _read_pair(item[1], labels), named)
        facts = list(
            progress(reading, total=len(named), desc="checking", unit="pair")
        )
    read = [(f, *item) for f, item in zip(facts, named, strict=True)]
    good = [(f, split, pair) for f, split, pair in read if not f.problem]
    folders = {os.path.dirname(pair.image_path) for _, pair in named}
    return check_report.Report(
        folder=os.path.commonpath(folders) if folders else "",
        counts=counts,
        sizes=tuple(
            sorted((f.size for f, *_ in good), key=lambda s: (s[0] * s[1], s))
        ),
        shares=tuple(sorted(f.share for f, *_ in good)),
        values=_count_values(f.values for f, *_ in good),
        labels=_label_facts(labels, [(f, split) for f, split, _ in good]),
        problems={pair.id: f.problem for f, _, pair in read if f.problem},
        warnings={pair.id: f.warning for f, _, pair in read if f.warning},
        copies=_copies([(f.thumbnail, split, pair) for f, split, pair in good]),
        unmatched=tuple(unmatched),
        notes=tuple(notes),
    )


def _threads() -> concurrent.futures.ThreadPoolExecutor:
    """Creates threads for reading, as many as the machine serves well."""
    count = min(MOST_THREADS, max(FEWEST_THREADS, os.cpu_count() or 1))
    return concurrent.futures.ThreadPoolExecutor(count)


def _header_problem(pair: pairs.Pair) -> str:
    """Returns what the two headers of a pair tell is wrong, or ""."""
    sizes, problem = _read_both(
        pair, images.image_size_of, label_maps.label_map_size
    )
    return problem or label_maps.size_problem(pair, *sizes)


def _read_pair(pair: pairs.Pair, labels: labels_lib.Labels) -> _Facts:
    """Reads a pair completely and returns what of it the report needs."""
    arrays, problem = _read_both(
        pair,
        images.read_image,
        lambda pair: label_maps.read_label_map(pair, labels),
    )
    if problem:
        return _Facts(problem=problem)
    image, label_map = arrays
    size = image.shape[1::-1]
    problem = label_maps.size_problem(pair, size, label_map.shape[1::-1])
    if problem:
        return _Facts(problem=problem)
    foreground = label_map.any(axis=2)
    return _Facts(
        warning=_warning(pair, foreground),
        size=size,
        share=float(foreground.mean()),
        label_shares=tuple(label_map.mean(axis=(0, 1)).tolist()),
        values=label_maps.values_found(pair, labels),
        thumbnail=near_duplicates.make_thumbnail(image),
    )


def _read_both(
    pair: pairs.Pair, read_image: Callable, read_label_map: Callable
) -> tuple[list, str]:
    """Reads both files; returns what came and all that is wrong, in a line."""
    read, problems = [], []
    for reader, what in (
        (read_image, pair.image_path),
        (read_label_map, pair),
    ):
        try:
            read.append(reader(what))
        except config.UserError as error:
            problems.append(str(error))
    return read, " ".join(problems)


def _count_values(found: Iterable[tuple[str, ...]]) -> dict[str, int]:
    """Counts in how many label maps each value is, in the values' order."""
    counts = collections.Counter(v for values in found for v in values)
    return dict(sorted(counts.items(), key=lambda item: _by_number(item[0])))


def _by_number(value: str) -> tuple[int, str]:
    return len(value), value  # "9" before "10"; colors are of one length


def _label_facts(
    labels: labels_lib.Labels, good: Sequence[tuple[_Facts, str]]
) -> dict[str, check_report.LabelFacts]:
    """Sums up each label over (facts, split) of the readable pairs."""
    return {
        name: check_report.LabelFacts(
            share=float(np.mean([f.label_shares[i] for f, _ in good] or [0])),
            images={
                split: sum(
                    of == split and facts.label_shares[i] > 0
                    for facts, of in good
                )
                for split in _USED
            },
        )
        for i, name in enumerate(labels.names)
    }


def _warning(pair: pairs.Pair, foreground: np.ndarray) -> str:
    """Says what is odd about bool [height, width], or returns ""."""
    path = ", ".join(pair.label_map_paths)
    if not foreground.any():
        return f"{path} is empty, it marks nothing"
    if foreground.all():
        return f"{path} is full, it marks the whole image"
    height, width = foreground.shape
    border = np.concatenate(
        [foreground[[0, -1]].ravel(), foreground[:, [0, -1]].ravel()]
    ).mean()
    middle = foreground[
        height // 3 : height - height // 3, width // 3 : width - width // 3
    ].mean()
    if border > BORDER_SHARE and middle < MIDDLE_SHARE:
        return (
            f"{path} may be inverted, it marks {border:.0%} of "
            f"the frame and {middle:.0%} of the middle"
        )
    return ""


def _copies(
    pictures: Sequence[tuple[np.ndarray, str, pairs.Pair]],
) -> tuple[check_report.Copy, ...]:
    """Finds near-duplicates among (thumbnail, split, pair), most similar first."""
    found = near_duplicates.find_near_duplicates([item[0] for item in pictures])
    copies = []
    for near_duplicate in found:
        _, split_a, a = pictures[near_duplicate.first]
        _, split_b, b = pictures[near_duplicate.second]
        copies.append(
            check_report.Copy(
                (a.id, b.id), (split_a, split_b), near_duplicate.similarity
            )
        )
    return tuple(sorted(copies, key=lambda copy: -copy.similarity))
