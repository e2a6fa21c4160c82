"""Checks pairs: by their headers before training, in full with --mode=check."""

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

# Decoding releases Python's lock, so threads help. Each holds an image of up to
# images.MAX_PIXELS.
_MIN_THREADS = 2
_MAX_THREADS = 8
# A label map is probably inverted if it marks most of the image's border and
# little of its middle: a lesion may touch the border, but photographers place
# it in the middle.
_BORDER_SHARE = 0.9
_MIDDLE_SHARE = 0.5
_USED_SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class _PairStatistics:
    """What the report needs of a readable pair."""

    warning: str
    size: tuple[int, int]
    share: float
    label_shares: tuple[float, ...]
    values: tuple[str, ...]
    thumbnail: np.ndarray


def find_header_problems(all_pairs: Iterable[pairs.Pair]) -> dict[str, str]:
    """Finds the pairs that cannot be used, from the headers of their files.

    Returns:
      A line for each bad pair, by id: a file is missing, empty, not an image,
      too small or too large, or the two differ in size.
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
      progress: wraps an iterable to show its progress, like tqdm.
      labels: of the label maps.
      unmatched: problems of finding the pairs, for the report.
      notes: of finding the pairs, for the report.
    """
    named = [
        (split, pair)
        for split in _USED_SPLITS
        for pair in getattr(by_split, split)
    ]
    counts = {split: len(ids) for split, ids in by_split.ids().items()}
    if not counts["unused"]:
        del counts["unused"]
    with _threads() as threads:
        reading = threads.map(lambda item: _read_pair(item[1], labels), named)
        results = list(
            progress(reading, total=len(named), desc="checking", unit="pair")
        )
    problems = {}
    good = []
    for (split, pair), result in zip(named, results, strict=True):
        if isinstance(result, str):
            problems[pair.id] = result
        else:
            good.append((result, split, pair))
    folders = {os.path.dirname(pair.image_path) for _, pair in named}
    return check_report.Report(
        folder=os.path.commonpath(folders) if folders else "",
        counts=counts,
        sizes=tuple(
            sorted((s.size for s, *_ in good), key=lambda x: (x[0] * x[1], x))
        ),
        shares=tuple(sorted(s.share for s, *_ in good)),
        values=_count_values(s.values for s, *_ in good),
        labels=_label_statistics(labels, [(s, split) for s, split, _ in good]),
        problems=problems,
        warnings={pair.id: s.warning for s, _, pair in good if s.warning},
        near_duplicates=_find_near_duplicates(good),
        unmatched=tuple(unmatched),
        notes=tuple(notes),
    )


def _threads() -> concurrent.futures.ThreadPoolExecutor:
    """Creates a pool of threads for reading."""
    count = min(_MAX_THREADS, max(_MIN_THREADS, os.cpu_count() or 1))
    return concurrent.futures.ThreadPoolExecutor(count)


def _header_problem(pair: pairs.Pair) -> str:
    """Explains why a pair cannot be used, from its headers, or returns ""."""
    sizes, problem = _read_both(
        pair, images.image_size_of, label_maps.label_map_size
    )
    return problem or label_maps.size_problem(pair, *sizes)


def _read_pair(
    pair: pairs.Pair, labels: labels_lib.Labels
) -> _PairStatistics | str:
    """Reads a pair completely; returns why it cannot be used if it cannot."""
    arrays, problem = _read_both(
        pair,
        images.read_image,
        lambda pair: label_maps.read_label_map(pair, labels),
    )
    if problem:
        return problem
    image, label_map = arrays
    size = image.shape[1::-1]
    problem = label_maps.size_problem(pair, size, label_map.shape[1::-1])
    if problem:
        return problem
    foreground = label_map.any(axis=2)
    return _PairStatistics(
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
    """Reads both files; returns what was read, and the problems in a line."""
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
    """Counts the label maps that hold each value, sorted by value."""
    counts = collections.Counter(v for values in found for v in values)
    return dict(sorted(counts.items(), key=lambda item: _by_number(item[0])))


def _by_number(value: str) -> tuple[int, str]:
    return len(value), value  # "9" before "10"; colors are of one length


def _label_statistics(
    labels: labels_lib.Labels, good: Sequence[tuple[_PairStatistics, str]]
) -> dict[str, check_report.LabelStatistics]:
    """Sums up each label over the readable pairs and their splits."""
    return {
        name: check_report.LabelStatistics(
            share=float(np.mean([s.label_shares[i] for s, _ in good] or [0])),
            images={
                split: sum(
                    of == split and s.label_shares[i] > 0 for s, of in good
                )
                for split in _USED_SPLITS
            },
        )
        for i, name in enumerate(labels.names)
    }


def _warning(pair: pairs.Pair, foreground: np.ndarray) -> str:
    """Describes what is odd about bool [height, width], or returns ""."""
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
    if border > _BORDER_SHARE and middle < _MIDDLE_SHARE:
        return (
            f"{path} may be inverted, it marks {border:.0%} of "
            f"the border and {middle:.0%} of the middle"
        )
    return ""


def _find_near_duplicates(
    good: Sequence[tuple[_PairStatistics, str, pairs.Pair]],
) -> tuple[check_report.NearDuplicate, ...]:
    """Finds near duplicates among readable pairs, the most similar first."""
    thumbnails = [s.thumbnail for s, *_ in good]
    found = []
    for near in near_duplicates.find_near_duplicates(thumbnails):
        _, split_a, a = good[near.first]
        _, split_b, b = good[near.second]
        found.append(
            check_report.NearDuplicate(
                (a.id, b.id), (split_a, split_b), near.similarity
            )
        )
    return tuple(sorted(found, key=lambda near: -near.similarity))
