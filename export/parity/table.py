"""The parity record in words: a table, and what was refused and why."""

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


def format_table(record: dict) -> str:
    """Formats what parity.json holds, one row an artifact.

    Args:
      record: see parity.export_all.
    """
    header = [name.format(record["all_threads"]) for name in _COLUMNS]
    reference = record["keras"]
    rows = [
        header,
        ["Keras", "", *map(_number, (reference["dice"], reference["iou"]))],
        *(_cells(row) for row in record["artifacts"].values()),
    ]
    rows = [row + [""] * (len(header) - len(row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            # Names to the left, numbers to the right.
            cell.rjust(width) if 0 < i < len(row) - 1 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join(
        [f"compared on {record['images']} images: {record['source']}", *lines]
    )


def failures(record: dict) -> list[str]:
    """Says of each artifact beyond its limit which, and by how much."""
    return [
        f"{row['path']} {_JUDGED[row['judged_by']].format(row['value'])}, more "
        f"than {row['limit']:g}; it was not handed out (--allow_parity_loss "
        "hands it out and marks it)."
        for row in record["artifacts"].values()
        if not row["published"]
    ]


def _cells(row: dict) -> list[str]:
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


def _verdict(row: dict) -> str:
    if row["within_limit"]:
        return "within its limit"
    return "BEYOND ITS LIMIT" if row["published"] else "REFUSED"


def _number(value: float | None, *, digits: int = 4) -> str:
    return _UNKNOWN if value is None else f"{value:.{digits}f}"
