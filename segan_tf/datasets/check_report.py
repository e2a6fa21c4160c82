"""What the complete check of a data set found, and how it is told."""

import dataclasses
from collections.abc import Iterable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Copy:
    """Two ids that show the same photograph, and the splits they stand in."""

    ids: tuple[str, str]
    splits: tuple[str, str]
    similarity: float

    @property
    def leaks(self) -> bool:
        """Tells whether the two stand in different splits."""
        return self.splits[0] != self.splits[1]

    def line(self) -> str:
        """Returns the two with their splits in one line."""
        (a, b), (split_a, split_b) = self.ids, self.splits
        return (
            f"{a} ({split_a}) and {b} ({split_b}), similarity "
            f"{self.similarity:.2f}"
        )


@dataclasses.dataclass(frozen=True)
class LabelFacts:
    """What is known of a label.

    Attributes:
      share: mean share of a label map's pixels.
      images: how many label maps of each split hold the label.
    """

    share: float
    images: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Report:
    """What the complete check found.

    Attributes:
      folder: what all images lie in.
      counts: pairs by the name of their split.
      sizes: (width, height) of the readable images, smallest area first.
      shares: foreground share of the readable label maps, smallest first.
      values: what the readable label maps hold, and in how many.
      labels: by name, what is known of each label.
      problems: by id, why training refuses the pair.
      warnings: by id, what is odd about the pair.
      copies: near-duplicates, the most similar first.
      unmatched: files without a partner, as found.
      notes: what was left aside on purpose, as found.
    """

    folder: str
    counts: dict[str, int]
    sizes: tuple[tuple[int, int], ...]
    shares: tuple[float, ...]
    values: dict[str, int]
    labels: dict[str, LabelFacts]
    problems: dict[str, str]
    warnings: dict[str, str]
    copies: tuple[Copy, ...]
    unmatched: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def leaks(self) -> tuple[Copy, ...]:
        """Near-duplicates that stand in different splits."""
        return tuple(copy for copy in self.copies if copy.leaks)

    @property
    def refuses_training(self) -> bool:
        """Tells whether training on these pairs refuses to start."""
        return bool(self.problems or self.unmatched)

    def summary(self) -> str:
        """Returns the report as plain text."""
        by_split = ", ".join(f"{n} {name}" for name, n in self.counts.items())
        lines = [
            f"{sum(self.counts.values())} pairs in {self.folder}: {by_split}",
            *self._statistics(),
            *self._label_statistics(),
            *self.notes,
            *_section("files without a partner", self.unmatched),
            *_section("pairs that cannot be used", self.problems.values()),
            *_section("odd label maps (warning)", self.warnings.values()),
            *_section("labels absent from a split (warning)", self._absent()),
            *_section(
                "near-duplicates in different splits (warning: leakage; similarity "
                "1 is the same image)",
                (copy.line() for copy in self.leaks),
            ),
            "near-duplicates within one split: "
            f"{len(self.copies) - len(self.leaks)}",
        ]
        if self.refuses_training:
            lines.append(
                "training refuses: mend or remove the files above, or go on "
                "without them with --skip_bad_pairs"
            )
        else:
            lines.append("training can use these pairs")
        return "\n".join(lines)

    def _statistics(self) -> list[str]:
        """Describes sizes and foreground shares by three figures each."""
        if not self.sizes:
            return []
        small, median, large = (
            "{}x{}".format(*self.sizes[place])
            for place in (0, len(self.sizes) // 2, -1)
        )
        low, high = self.shares[0], self.shares[-1]
        return [
            f"image size: smallest {small}, median {median}, largest {large}",
            f"share of the image marked: least {low:.1%}, median "
            f"{np.median(self.shares):.1%}, most {high:.1%}, mean "
            f"{np.mean(self.shares):.1%}",
        ]

    def _label_statistics(self) -> list[str]:
        """Describes the values found and, of several labels, each of them."""
        if not self.values:
            return []
        lines = ["values in the label maps: " + ", ".join(self.values)]
        if len(self.labels) > 1:
            lines += [
                f"{name}: {facts.share:.2%} of all pixels, in "
                f"{sum(facts.images.values())} pairs"
                for name, facts in self.labels.items()
            ]
        return lines

    def _absent(self) -> list[str]:
        """Names each label that no label map of a split holds."""
        return [
            f"{name}: in none of the {self.counts[split]} pairs for {split}"
            for name, facts in self.labels.items()
            for split, count in facts.images.items()
            if not count and self.counts[split]
        ]


def _section(title: str, lines: Iterable[str]) -> list[str]:
    """Sets lines under a title with their number; nothing for none."""
    lines = [f"  {line}" for line in lines]
    return [f"{title}: {len(lines)}", *lines] if lines else []
