"""Checks pairs: by their headers before training, in full with --mode=check."""

import collections
import concurrent.futures
import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from segan_tf import config, styles
from segan_tf import labels as labels_lib
from segan_tf.datasets import (
    check_report,
    findings,
    label_maps,
    near_duplicates,
    pairs,
    splits,
)
from segan_tf.imaging import images

# Decoding releases Python's lock, so threads help. Each holds an image of up to
# size_limits.MAX_PIXELS.
_MIN_THREADS = 2
_MAX_THREADS = 8
_USED_SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class _PairStatistics:
    """What the report needs of a readable pair."""

    doubt: str
    facts: findings.MapFacts
    size: tuple[int, int]
    share: float
    label_shares: tuple[float, ...]
    values: tuple[str, ...]
    thumbnail: np.ndarray


@dataclasses.dataclass(frozen=True)
class HeaderFindings:
    """What the headers of pairs tell, by id.

    Attributes:
      problems: why a pair cannot be used: a file is missing, empty, not an
        image, too small or too large, or the two differ in size.
      warnings: why a pair may be wrong.
    """

    problems: dict[str, str]
    warnings: dict[str, str]


def check_headers(all_pairs: Iterable[pairs.Pair]) -> HeaderFindings:
    """Checks the headers of the files of pairs."""
    all_pairs = list(all_pairs)
    problems, warnings = {}, {}
    with _threads() as threads:
        found = threads.map(_check_header, all_pairs)
        for pair, (problem, warning) in zip(all_pairs, found, strict=True):
            if problem:
                problems[pair.id] = problem
            elif warning:
                warnings[pair.id] = warning
    return HeaderFindings(problems, warnings)


def check_pairs(
    by_split: splits.Splits,
    *,
    progress: Callable[..., Iterable],
    labels: labels_lib.Labels = labels_lib.LESION,
    style_of: Mapping[str, str] | None = None,
    unmatched: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> check_report.Report:
    """Reads every pair of the splits completely and reports on them.

    Args:
      by_split: the pairs; the unused ones are not read.
      progress: wraps an iterable to show its progress, like tqdm.
      labels: of the label maps.
      style_of: from the normalized id of a pair to its annotation style; None
        if there are no styles.
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
        styles=_style_statistics(good, style_of or {}),
        problems=problems,
        warnings={p.id: s.facts.oddity for s, _, p in good if s.facts.oddity},
        doubts={pair.id: s.doubt for s, _, pair in good if s.doubt},
        contradictions=_find_contradictions(good, labels),
        near_duplicates=_find_near_duplicates(good),
        unmatched=tuple(unmatched),
        notes=tuple(notes),
    )


def _threads() -> concurrent.futures.ThreadPoolExecutor:
    """Creates a pool of threads for reading."""
    count = min(_MAX_THREADS, max(_MIN_THREADS, os.cpu_count() or 1))
    return concurrent.futures.ThreadPoolExecutor(count)


def _check_header(pair: pairs.Pair) -> tuple[str, str]:
    """Returns why a pair cannot be used, and why it may be wrong."""
    try:
        return label_maps.header_findings(pair)
    except config.UserError as error:
        problems = _problems_of(
            lambda: images.read_header(pair.image_path),
            lambda: [images.read_header(p) for p in pair.label_map_paths],
        )
        return problems or str(error), ""


def _read_pair(
    pair: pairs.Pair, labels: labels_lib.Labels
) -> _PairStatistics | str:
    """Reads a pair completely; returns why it cannot be used if it cannot."""
    problem, doubt = _check_header(pair)
    if problem:
        return problem
    try:
        image, label_map, facts = label_maps.read_pair_and_facts(pair, labels)
    except config.UserError:
        return _problems_of(
            lambda: label_maps.read_image(pair),
            lambda: label_maps.read_label_map(pair, labels),
        )
    return _PairStatistics(
        doubt=doubt,
        facts=facts,
        size=image.shape[1::-1],
        share=float(label_map.any(axis=2).mean()),
        label_shares=tuple(label_map.mean(axis=(0, 1)).tolist()),
        values=label_maps.values_found(pair, labels),
        thumbnail=near_duplicates.make_thumbnail(image),
    )


def _problems_of(*readers: Callable[[], object]) -> str:
    """Calls functions that read; returns the problems of all in a line."""
    problems = []
    for read in readers:
        try:
            read()
        except config.UserError as error:
            problems.append(str(error))
    return " ".join(dict.fromkeys(problems))


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


def _style_statistics(
    good: Sequence[tuple[_PairStatistics, str, pairs.Pair]],
    style_of: Mapping[str, str],
) -> dict[str, check_report.StyleStatistics]:
    """Sums up each annotation style over the readable pairs."""
    if not style_of:
        return {}
    members = collections.defaultdict(list)
    for statistics, split, pair in good:
        style = style_of.get(pairs.normalized(pair.id), styles.UNKNOWN)
        members[style].append((statistics.share, split))
    return {
        style: check_report.StyleStatistics(
            median_share=float(np.median([share for share, _ in found])),
            images={
                split: sum(of == split for _, of in found)
                for split in _USED_SPLITS
            },
        )
        for style, found in sorted(members.items())
    }


def _find_contradictions(
    good: Sequence[tuple[_PairStatistics, str, pairs.Pair]],
    labels: labels_lib.Labels,
) -> tuple[str, ...]:
    """Finds what would be wrong to train on, as training does."""
    training, others = (
        {
            p.id: s.facts
            for s, split, p in good
            if (split == "train") == is_train
        }
        for is_train in (True, False)
    )
    return (
        findings.judge(training, labels, what=findings.TRAINING).errors
        or findings.judge({**training, **others}, labels).errors
    )


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
                (a.named_with_file, b.named_with_file),
                (split_a, split_b),
                near.similarity,
            )
        )
    return tuple(sorted(found, key=lambda near: -near.similarity))
