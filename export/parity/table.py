"""Formats the parity record: a table, and why artifacts were withheld."""

from collections.abc import Mapping
from typing import Any

_COLUMNS = (
    "artifact",
    "difference",
    "Dice",
    "IoU",
    "Dice to Keras",
    "MB",
    "ms, 1 thread",
    "ms, {} threads",
    "memory MB",
    "operators",
    "XNNPACK",
    "",
)
_UNKNOWN = "-"
_JUDGED = {
    "largest_difference": "differs from Keras by {:.3g}",
    "dice_loss": "has a Dice {:.4f} below Keras",
    "disagreement": "has a Dice {:.4f} below 1 with Keras' own label maps",
}


def format_table(record: Mapping[str, Any]) -> str:
    """Formats the content of parity.json, one row per artifact.

    Args:
      record: see gate.export_all.
    """
    header = [name.format(record["all_threads"]) for name in _COLUMNS]
    scores = record["keras"]
    rows = [
        header,
        ["Keras", "", *map(_number, (scores["dice"], scores["iou"]))],
        *(_cells(row) for row in record["artifacts"].values()),
    ]
    rows = [row + [""] * (len(header) - len(row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            # Names are left-aligned, numbers right-aligned.
            cell.rjust(width) if 0 < i < len(row) - 1 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    first = f"compared on {record['images']} images: {record['source']}"
    return "\n".join([first, *lines, *_earlier(record)])


def _earlier(record: Mapping[str, Any]) -> list[str]:
    names = ", ".join(record.get("earlier", []))
    return [f"still there from an earlier export: {names}"] if names else []


def failures(record: Mapping[str, Any]) -> list[str]:
    """Lists the withheld artifacts, each with its measure and limit."""
    return [
        f"{row['path']} {_JUDGED[row['judged_by']].format(row['value'])}, more "
        f"than {row['limit']:g}; it was not exported (pass "
        "--allow_parity_loss to export it all the same)."
        for row in record["artifacts"].values()
        if not row["published"]
    ]


def _cells(row: Mapping[str, Any]) -> list[str]:
    latency = row["latency_ms"]
    operators, share = row["operators"], row["delegated_share"]
    num_bytes = sum(file["bytes"] for file in row["files"].values())
    return [
        row["path"],
        f"{row['largest_difference']:.1e}",
        _number(row["dice"]),
        _number(row["iou"]),
        _number(row["dice_to_keras"]),
        f"{num_bytes / 1e6:.2f}",
        f"{latency['one_thread']:.1f}",
        f"{latency['all_threads']:.1f}",
        _number(row["peak_memory_mb"], digits=0),
        str(sum(operators.values())) if operators else _UNKNOWN,
        _UNKNOWN if share is None else f"{share:.0%}",
        _verdict(row),
    ]


def _verdict(row: Mapping[str, Any]) -> str:
    if row["within_limit"]:
        return "within its limit"
    return "BEYOND ITS LIMIT" if row["published"] else "WITHHELD"


def _number(value: float | None, *, digits: int = 4) -> str:
    return _UNKNOWN if value is None else f"{value:.{digits}f}"
