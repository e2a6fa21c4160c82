"""Formats the parity record: a table, and why artifacts were withheld."""

from collections.abc import Mapping
from typing import Any

from .. import versions

_COLUMNS = (
    "artifact",
    "99.9 %",
    "largest",
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
JUDGED = {
    "difference": "differs from Keras by {:.3g} in a thousandth of the pixels",
    "served_difference": "differs from Keras by {:.3g} on a drawing",
    "dice_loss": "has a Dice {:.4f} below Keras",
    "disagreement": "has a Dice {:.4f} below 1 with Keras' own label maps",
}


def format_table(record: Mapping[str, Any]) -> str:
    """Formats the content of parity.json: a row for each artifact.

    With several labels, a row for each of them follows. Where artifacts take
    the style, a row follows for each style too.

    Args:
      record: see gate.export_all.
    """
    header = [name.format(record["all_threads"]) for name in _COLUMNS]
    scores = record["keras"]
    rows = [
        header,
        ["Keras", "", "", *map(_number, (scores["dice"], scores["iou"]))],
        *_part_rows(scores),
    ]
    for row in record["artifacts"].values():
        rows += [_cells(row), *_part_rows(row)]
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
    return "\n".join([first, *lines, *_versions(record)])


def _versions(record: Mapping[str, Any]) -> list[str]:
    """Says what the export's version is, and what became of earlier ones."""
    lines = [
        f"exported as version {record['version']}, of step {record['step']}"
    ]
    previous = record["previous_version"]
    if previous is not None:
        if record["artifacts"]["saved_model"]["published"]:
            lines[0] += f": servers load it instead of version {previous}"
        lines.append(f"replaced files are in {versions.EARLIER}/")
    if record["earlier"]:
        names = ", ".join(record["earlier"])
        lines.append(f"still there from an earlier export: {names}")
    return lines


def failures(record: Mapping[str, Any]) -> list[str]:
    """Lists the withheld artifacts, each with its measures and limits."""
    return [
        f"{row['path']} {_reasons(row)}; it was not exported (pass "
        "--allow_parity_loss to export it all the same)."
        for row in record["artifacts"].values()
        if not row["published"]
    ]


def _reasons(row: Mapping[str, Any]) -> str:
    """Names the checks that failed, each with its label."""
    beyond = [check for check in row["checks"] if not check["within_limit"]]
    reasons = [
        JUDGED[check["measure"]].format(check["value"])
        + (f" for {check['label']}" if check["label"] else "")
        + (f" in the style {check['style']}" if check["style"] else "")
        + f", more than {check['limit']:g}"
        for check in beyond
    ]
    return ", and ".join(reasons) or "gives numbers that are not finite"


def _part_rows(row: Mapping[str, Any]) -> list[list[str]]:
    """Makes a row for each of several labels, and for each style.

    The labels of an artifact that takes the style are below each style.
    """
    rows = []
    styles = row.get("styles", {})
    if not (styles and "difference" in row) and len(row["labels"]) > 1:
        for label, part in row["labels"].items():
            rows.append(_part_cells(f"  {label}", part))
    for style, part in styles.items():
        rows.append(_part_cells(f"  in style {style}", part))
        if len(part["labels"]) > 1:
            for label, of_label in part["labels"].items():
                rows.append(_part_cells(f"    {label}", of_label))
    return rows


def _part_cells(name: str, part: Mapping[str, Any]) -> list[str]:
    is_keras = "difference" not in part
    # Of a label only the percentile is known.
    farthest = part.get("largest_difference")
    return [
        name,
        "" if is_keras else _small(part["difference"]),
        "" if farthest is None else _small(farthest),
        _number(part["dice"]),
        _number(part["iou"]),
        "" if is_keras else _number(part["dice_to_keras"]),
    ]


def _cells(row: Mapping[str, Any]) -> list[str]:
    latency = row["latency_ms"]
    operators, share = row["operators"], row["delegated_share"]
    num_bytes = sum(file["bytes"] for file in row["files"].values())
    return [
        row["path"],
        _small(row["difference"]),
        _small(row["largest_difference"]),
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


def _small(value: float) -> str:
    return f"{value:.1e}"


def _number(value: float | None, *, digits: int = 4) -> str:
    return _UNKNOWN if value is None else f"{value:.{digits}f}"
