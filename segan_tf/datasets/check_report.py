"""The report of the complete check of a data set."""

import dataclasses
from collections.abc import Iterable

import numpy as np


@dataclasses.dataclass(frozen=True)
class NearDuplicate:
    """Two images that show the same photograph.

    Attributes:
      names: of the two images, their ids and, if need be, their paths.
      splits: of the two images.
      similarity: correlation of their fine detail, 0.5 to 1.
    """

    names: tuple[str, str]
    splits: tuple[str, str]
    similarity: float

    @property
    def leaks(self) -> bool:
        """Whether the two are in different splits."""
        return self.splits[0] != self.splits[1]

    def __str__(self) -> str:
        (a, b), (split_a, split_b) = self.names, self.splits
        return (
            f"{a} ({split_a}) and {b} ({split_b}), similarity "
            f"{self.similarity:.2f}"
        )


@dataclasses.dataclass(frozen=True)
class LabelStatistics:
    """How much there is of a label.

    Attributes:
      share: mean share of a label map's pixels.
      images: how many label maps of each split hold the label.
    """

    share: float
    images: dict[str, int]


@dataclasses.dataclass(frozen=True)
class StyleStatistics:
    """The pairs of an annotation style.

    Attributes:
      median_share: median foreground share of their label maps.
      images: their number by split.
    """

    median_share: float
    images: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Report:
    """What the complete check found.

    Attributes:
      folder: the common folder of the images.
      counts: number of pairs by split.
      sizes: (width, height) of the readable images, smallest area first.
      shares: foreground share of the readable label maps, smallest first.
      values: how many of the readable label maps hold each value; empty for
        shards.
      labels: statistics by name of the label.
      styles: statistics by annotation style, if there are any.
      problems: by id, why a pair cannot be used.
      warnings: by id, what is odd about a pair.
      near_duplicates: images that show the same photograph, the most similar
        first.
      doubts: by id, why image and label map may not match.
      contradictions: why it would be wrong to train on the label maps together.
      unmatched: problems of finding the pairs, such as files without a partner.
      notes: what was left out on purpose.
    """

    folder: str
    counts: dict[str, int]
    sizes: tuple[tuple[int, int], ...]
    shares: tuple[float, ...]
    values: dict[str, int]
    labels: dict[str, LabelStatistics]
    problems: dict[str, str]
    warnings: dict[str, str]
    near_duplicates: tuple[NearDuplicate, ...]
    styles: dict[str, StyleStatistics] = dataclasses.field(default_factory=dict)
    doubts: dict[str, str] = dataclasses.field(default_factory=dict)
    contradictions: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def leaks(self) -> tuple[NearDuplicate, ...]:
        """Near duplicates in different splits."""
        return tuple(found for found in self.near_duplicates if found.leaks)

    @property
    def blocks_training(self) -> bool:
        """Whether training on these pairs ends with an error."""
        return bool(self.problems or self.unmatched or self.contradictions)

    @property
    def is_sound(self) -> bool:
        """Whether it is right to train on these pairs."""
        return not (self.blocks_training or self.doubts)

    def summary(self) -> str:
        """Returns the report as plain text."""
        by_split = ", ".join(f"{n} {name}" for name, n in self.counts.items())
        lines = [
            f"{sum(self.counts.values())} pairs in {self.folder}: {by_split}",
            *self._statistics(),
            *self._label_statistics(),
            *self._style_statistics(),
            *self.notes,
            *_section("files without a partner", self.unmatched),
            *_section("pairs that cannot be used", self.problems.values()),
            *_section("wrong to train on", self.contradictions),
            *_section(
                "pairs that may not match, wrong to train on",
                self.doubts.values(),
            ),
            *_section("odd label maps (warning)", self.warnings.values()),
            *_section("labels absent from a split (warning)", self._absent()),
            *_section(
                "near duplicates in different splits (warning: leakage; "
                "similarity 1 is the same image)",
                map(str, self.leaks),
            ),
            "near duplicates within one split: "
            f"{len(self.near_duplicates) - len(self.leaks)}",
        ]
        if self.contradictions:
            lines.append(
                "training would end with an error: fix the label maps as said "
                "above"
            )
        elif self.blocks_training:
            lines.append(
                "training would end with an error: fix or remove the files "
                "above, or pass --skip_bad_pairs"
            )
        elif self.doubts:
            lines.append(
                "training may go wrong: fix the pairs that may not match"
            )
        else:
            lines.append("training can use these pairs")
        return "\n".join(lines)

    def _statistics(self) -> list[str]:
        """Describes the image sizes and the foreground shares."""
        if not self.sizes:
            return []
        small, median, large = (
            "{}x{}".format(*self.sizes[place])
            for place in (0, len(self.sizes) // 2, -1)
        )
        low, high = self.shares[0], self.shares[-1]
        return [
            f"image size: smallest {small}, median {median}, largest {large}",
            f"share of the image marked: minimum {low:.1%}, median "
            f"{np.median(self.shares):.1%}, maximum {high:.1%}, mean "
            f"{np.mean(self.shares):.1%}",
        ]

    def _label_statistics(self) -> list[str]:
        """Describes the values found and, of several labels, each of them."""
        lines = []
        if self.values:
            lines.append("values in the label maps: " + ", ".join(self.values))
        if len(self.labels) > 1 and self.sizes:
            lines += [
                f"{name}: {label.share:.2%} of all pixels, in "
                f"{sum(label.images.values())} pairs"
                for name, label in self.labels.items()
            ]
        return lines

    def _style_statistics(self) -> list[str]:
        """Describes each annotation style."""
        lines = []
        for name, style in self.styles.items():
            by_split = ", ".join(f"{n} {s}" for s, n in style.images.items())
            lines.append(
                f"style {name}: {sum(style.images.values())} pairs "
                f"({by_split}), median share {style.median_share:.1%}"
            )
        return lines

    def _absent(self) -> list[str]:
        """Names each label that no label map of a split holds."""
        return [
            f"{name}: in none of the {self.counts[split]} pairs for {split}"
            for name, label in self.labels.items()
            for split, count in label.images.items()
            if not count and self.counts[split]
        ]


def _section(title: str, lines: Iterable[str]) -> list[str]:
    """Puts lines under a title with their count; nothing for no lines."""
    indented = [f"  {line}" for line in lines]
    return [f"{title}: {len(indented)}", *indented] if indented else []
