"""Writes the figures of docs/model_card.md.

Usage: python benchmarks/isic2017/card.py RUN RELEASED DATA
RUN was trained without the 500 test images and evaluated on them, and RELEASED
is the run of the release, evaluated on the 150 official validation images, both
by run.sh. DATA holds the images. Replaces the card's front matter (the model
card metadata of Hugging Face) and what is between <!-- NAME --> and <!-- end -->
in it; the rest is written by hand.
"""

import csv
import glob
import itertools
import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from segan_tf import files, records
from segan_tf.evaluation import bootstrap
from segan_tf.models import pretrained

Row = dict[str, str]

IMAGES = "ISIC-2017_Training_Data"
LABEL_MAPS = "ISIC-2017_Training_Part1_GroundTruth"
SHARES = (0, 0.05, 0.1, 0.2, 0.4, 1)
CONTRASTS = (0, 10, 20, 30, math.inf)
# Individual typology angle in degrees (Chardon et al., 1991).
TONES = {
    "very light": (55, math.inf),
    "light": (41, 55),
    "intermediate": (28, 41),
    "tan": (10, 28),
    "brown or dark": (-math.inf, 10),
}
FRAME = 30  # pixels up to this brightness count as black frame
TO_LAB = ImageCms.buildTransform(
    ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
)
CARD = os.path.join(
    os.path.dirname(__file__), "..", "..", "docs", "model_card.md"
)


def main(run: str, released: str, data: str) -> None:
    """Writes the card."""
    of_500, of_150 = (
        _read_results(os.path.join(run, "evaluation_test")),
        _read_results(os.path.join(released, "evaluation_validation")),
    )
    rows = _read_rows(os.path.join(run, "evaluation_test"))
    for row in rows:
        row.update(_measure_colors(row["id"], data))
    blocks = {
        "accuracy": _accuracy_table({"500": of_500, "official 150": of_150}),
        "by_style": _style_table(of_500),
        "by_share": _table(
            "lesion's share of the image",
            _by_range(rows, "lesion_fraction_true", SHARES, "{:.0%}"),
        ),
        "by_contrast": _table(
            "contrast of lesion and skin",
            _by_range(rows, "contrast", CONTRASTS, "{:g}"),
        ),
        "by_tone": _table("skin tone, estimated", _by_tone(rows)),
        "reliability": _reliability_table(of_500),
        "training": _training_table(),
    }
    with open(CARD, encoding="utf-8") as file:
        text = file.read()
    text = _front_matter(of_500, of_150) + text.partition("\n---\n")[2]
    for name, block in blocks.items():
        before, start, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        text = f"{before}{start}{block}\n{end}{after}"
    files.write_text(CARD, text)


def _read_results(folder: str) -> dict[str, Any]:
    return records.read(os.path.join(folder, "results.json"))


def _read_rows(folder: str) -> list[Row]:
    path = os.path.join(folder, "per_image.csv")
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _measure_colors(name: str, data: str) -> Row:
    """Measures skin tone (degrees) and contrast (CIELAB units) of an image.

    Both are rough, since light and camera change them too: medians of the
    lesion's pixels and of those around it, without the black frame.
    """
    (image_path,) = glob.glob(os.path.join(data, IMAGES, f"{name}.jp*g"))
    (map_path,) = glob.glob(os.path.join(data, LABEL_MAPS, f"{name}*.png"))
    with Image.open(image_path) as image, Image.open(map_path) as label_map:
        colors, inside = np.array(image.convert("RGB")), np.array(label_map) > 0
    skin = colors[~inside & (colors.max(-1) > FRAME)]
    if not skin.size or not inside.any():
        return {"tone": "nan", "contrast": "nan"}
    lightness, a, b = _median_lab(skin)
    tone = math.degrees(math.atan2(lightness - 50, b or 1e-6))
    contrast = math.dist(_median_lab(colors[inside]), (lightness, a, b))
    return {"tone": str(tone), "contrast": str(contrast)}


def _median_lab(colors: np.ndarray) -> tuple[float, float, float]:
    """Returns CIELAB of the median of uint8 [pixels, 3]."""
    median = np.median(colors, axis=0).astype(np.uint8)[None, None]
    lab = ImageCms.applyTransform(Image.fromarray(median), TO_LAB)
    # Pillow holds L as 0..255, a and b as signed bytes.
    lightness, a, b = np.array(lab)[0, 0]
    return lightness / 2.55, float(np.int8(a)), float(np.int8(b))


def _by_range(
    rows: Sequence[Row], column: str, limits: Sequence[float], form: str
) -> dict[str, list[Row]]:
    return {
        f"{form.format(low)} to {form.format(high)}"
        if math.isfinite(high)
        else f"over {form.format(low)}": [
            row for row in rows if low < float(row[column]) <= high
        ]
        for low, high in itertools.pairwise(limits)
    }


def _by_tone(rows: Sequence[Row]) -> dict[str, list[Row]]:
    return {
        name: [row for row in rows if low < float(row["tone"]) <= high]
        for name, (low, high) in TONES.items()
    }


def _table(title: str, groups: Mapping[str, list[Row]]) -> str:
    """Formats Dice and IoU of each group of images."""
    has_told = any(
        "told_dice" in row for rows in groups.values() for row in rows
    )
    lines = [
        f"| {title} | images | Dice, untold | 95 % interval | IoU |"
        + (" Dice, told |" if has_told else ""),
        "|---|---|---|---|---|" + ("---|" if has_told else ""),
    ]
    for name, rows in groups.items():
        if not rows:
            continue
        mean = _mean_of(rows)
        low, high = bootstrap.bootstrap_interval(
            [float(row["dice"]) for row in rows], seed=0
        )
        cells = [
            name,
            str(len(rows)),
            mean("dice"),
            f"{low:.3f} to {high:.3f}",
            mean("iou"),
            *([mean("told_dice")] if has_told else []),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean_of(rows: Sequence[Row]) -> Callable[[str], str]:
    return lambda name: f"{np.mean([float(row[name]) for row in rows]):.4f}"


def _accuracy_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [
        "| images | | Dice | 95 % interval | IoU | thresholded Jaccard |",
        "|---|---|---|---|---|---|",
    ]
    for images, result in results.items():
        parts = {"untold": result["metrics"]}
        if "styles" in result:
            parts["told"] = result["styles"]["told"]["metrics"]
        for name, metrics in parts.items():
            dice = metrics["dice"]
            lines.append(
                f"| {images} | {name} | {dice['mean']:.4f} | {dice['low']:.3f} "
                f"to {dice['high']:.3f} | {metrics['iou']['mean']:.4f} | "
                f"{metrics['thresholded_jaccard']['mean']:.4f} |"
            )
    return "\n".join(lines)


def _style_table(result: Mapping[str, Any]) -> str:
    lines = [
        "| drawn with | images | Dice, untold | told | IoU, untold | told |",
        "|---|---|---|---|---|---|",
    ]
    for style, part in result["styles"]["by_style"].items():
        values = [
            f"{part[kind][metric]['mean']:.4f}"
            for metric in ("dice", "iou")
            for kind in ("untold", "told")
        ]
        lines.append(
            f"| {style} | {part['image_count']} | {' | '.join(values)} |"
        )
    return "\n".join(lines)


def _reliability_table(result: Mapping[str, Any]) -> str:
    found = result["expected_dice"]
    lines = ["| images | expected Dice | Dice |", "|---|---|---|"]
    lines += [
        f"| {part['image_count']} | {part['expected']:.3f} | "
        f"{part['dice']:.3f} |"
        for part in found["bins"]
    ]
    return "\n".join(
        [
            *lines,
            "",
            f"It is off by {found['mean_absolute_error']:.3f} on average "
            f"({found['baseline_error']:.3f} for one number for all images), "
            f"its rank correlation with the Dice is "
            f"{found['rank_correlation']:.2f}, and the tenth of the images "
            f"with the lowest expected Dice holds "
            f"{found['found_of_worst']:.0%} of the worst tenth.",
        ]
    )


def _training_table() -> str:
    """Lists the runs of the release, with the energy as hours of cores."""
    record = records.read(
        os.path.join(pretrained.find().folder, "release.json")
    )
    lines = [
        "| run | command | seed | minutes | core hours |",
        "|---|---|---|---|---|",
    ]
    total = 0.0
    for run in record["made_by"]["runs"]:
        cores = int(run["hardware"].split()[0])
        hours = cores * run["train_seconds"] / 3600
        total += hours
        lines.append(
            f"| {run['date']} | `{run['command']}` | {run.get('seed', 0)} | "
            f"{run['train_seconds'] / 60:.0f} | {hours:.1f} |"
        )
    return "\n".join([*lines, f"| all | | | | {total:.1f} |"])


def _front_matter(of_500: Mapping[str, Any], of_150: Mapping[str, Any]) -> str:
    """Formats the metadata; JSON strings are YAML, too."""
    name = records.read(os.path.join(pretrained.find().folder, "release.json"))[
        "name"
    ]
    lines = [
        "---",
        "license: apache-2.0",
        "library_name: keras",
        "pipeline_tag: image-segmentation",
        "tags: [dermoscopy, skin-lesion, medical-imaging, tflite, segan]",
        "model-index:",
        f"  - name: {json.dumps(name)}",
        "    results:",
    ]
    for title, result in (
        (
            "500 of the training images, which an earlier run has not seen",
            of_500,
        ),
        ("official validation", of_150),
    ):
        lines += [
            "      - task: {type: image-segmentation}",
            "        dataset: {name: "
            f"{json.dumps(f'ISIC 2017 Part 1, {title}')}, type: isic2017}}",
            "        metrics:",
        ]
        parts = {"untold": result["metrics"]}
        if "styles" in result:
            parts["told"] = result["styles"]["told"]["metrics"]
        for kind, metrics in parts.items():
            for metric in ("dice", "iou"):
                lines.append(
                    f"          - {{type: {metric}, name: "
                    f"{json.dumps(f'{metric}, {kind}')}, value: "
                    f"{metrics[metric]['mean']:.4f}}}"
                )
    return "\n".join([*lines, "---", ""])


if __name__ == "__main__":
    main(*sys.argv[1:])
