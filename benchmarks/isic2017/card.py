"""Writes the figures of docs/model_card.md.

Usage: python benchmarks/isic2017/card.py RUN PHOTOGRAPHS DATA
RUN is the run of the release, evaluated on the 500 test images and on the
official validation images; PHOTOGRAPHS holds an evaluation and a prediction of
drawn photographs. run.sh makes all of it. DATA is the folder of ISIC 2017.
Replaces the card's front matter (model card metadata of Hugging Face) and what
is between <!-- NAME --> and <!-- end -->; the rest of the card is written by
hand.
"""

import csv
import glob
import json
import os
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import groups
import numpy as np
import release

from segan_tf import files, records
from segan_tf.models import pretrained

CARD = os.path.join(
    os.path.dirname(__file__), "..", "..", "docs", "model_card.md"
)
TITLES = {
    "the 500": "500 of the training images, which this model has not seen",
    "official 150": "official validation",
}

Results = Mapping[str, Any]


def main(run: str, photographs: str, data: str) -> None:
    """Writes the card."""
    kept = os.path.join(os.path.dirname(__file__), os.path.basename(run))
    results = {
        "the 500": _read_results(kept),
        "official 150": _read_results(f"{kept}_official"),
    }
    rows = groups.read_rows(os.path.join(run, "evaluation_test"), data)
    with open(CARD, encoding="utf-8") as file:
        text = _front_matter(results) + file.read().partition("\n---\n")[2]
    for name, block in {
        "accuracy": _accuracy_table(results),
        "by_style": _style_table(results["the 500"]),
        "by_share": groups.by_share(rows),
        "by_contrast": groups.by_contrast(rows),
        "by_tone": groups.by_tone(rows),
        "reliability": _reliability_table(results["the 500"]),
        "photographs": _photograph_table(photographs),
        "training": _training_table(),
    }.items():
        text = _replace(text, name, block)
    files.write_text(CARD, text)


def _read_results(folder: str) -> Results:
    return records.read(os.path.join(folder, "results.json"))


def _release() -> dict[str, Any]:
    return records.read(os.path.join(pretrained.find().folder, "release.json"))


def _replace(text: str, name: str, block: str) -> str:
    before, start, rest = text.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition("<!-- end -->")
    if not end:
        raise SystemExit(f"{CARD}: <!-- {name} --> ... <!-- end --> is missing")
    return f"{before}{start}{block}\n{end}{after}"


def _kinds(result: Results) -> Iterator[tuple[str, Results]]:
    """Yields the metrics without and with knowledge of the styles."""
    yield "untold", result["metrics"]
    yield "told", result["styles"]["told"]["metrics"]


def _accuracy_table(results: Mapping[str, Results]) -> str:
    lines = [
        "| images | | Dice | 95 % interval | IoU | 95 % interval | thresholded "
        "Jaccard |",
        "|---|---|---|---|---|---|---|",
    ]
    for images, result in results.items():
        for kind, metrics in _kinds(result):
            cells = [
                images,
                kind,
                *_mean_and_interval(metrics["dice"]),
                *_mean_and_interval(metrics["iou"]),
                f"{metrics['thresholded_jaccard']['mean']:.4f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean_and_interval(metric: Mapping[str, float]) -> tuple[str, str]:
    interval = f"{metric['low']:.3f} to {metric['high']:.3f}"
    return f"{metric['mean']:.4f}", interval


def _style_table(result: Results) -> str:
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


def _reliability_table(result: Results) -> str:
    found = result["expected_dice"]
    lines = ["| images | expected Dice | Dice |", "|---|---|---|"]
    lines += [
        f"| {part['image_count']} | {part['expected']:.3f} | "
        f"{part['dice']:.3f} |"
        for part in found["bins"]
    ]
    sentences = (
        f"It is off by {found['mean_absolute_error']:.3f} on average "
        f"({found['baseline_error']:.3f} for one number for all images). Its "
        f"rank correlation with the Dice is {found['rank_correlation']:.2f}. "
        "The tenth of the images with the lowest expected Dice holds "
        f"{found['found_of_worst']:.0%} of the tenth with the lowest Dice."
    )
    return "\n".join([*lines, "", *textwrap.wrap(sentences, 80)])


def _photograph_table(folder: str) -> str:
    """Compares the drawn photographs that the product warns of with others."""
    (path,) = glob.glob(os.path.join(folder, "evaluation_all_*"))
    with open(
        os.path.join(path, "per_image.csv"), encoding="utf-8", newline=""
    ) as file:
        dice = {row["id"]: float(row["dice"]) for row in csv.DictReader(file)}
    path = os.path.join(folder, "predictions", "predictions.csv")
    with open(path, encoding="utf-8", newline="") as file:
        warned = {
            row["id"] for row in csv.DictReader(file) if row["warning"]
        } & set(dice)
    lines = ["| drawn photographs | images | Dice |", "|---|---|---|"]
    for name, ids in {
        "all": set(dice),
        "warned of": warned,
        "not warned of": set(dice) - warned,
    }.items():
        mean = f"{np.mean([dice[i] for i in ids]):.4f}" if ids else ""
        lines.append(f"| {name} | {len(ids)} | {mean} |")
    return "\n".join(lines)


def _training_table() -> str:
    """Lists the runs of the release; energy is given as hours of cores."""
    lines = [
        "| run | size | epochs | learning rate | seed | commit | minutes | "
        "core hours |",
        "|---|---|---|---|---|---|---|---|",
    ]
    total = [0.0, 0.0]
    for run in _release()["made_by"]["runs"]:
        # Of a resumed run the time since it was resumed is known.
        share = 1 - run["first_step"] / run["last_step"]
        minutes = run["train_seconds"] / share / 60
        hours = int(run["hardware"].split()[0]) * minutes / 60
        total = [total[0] + minutes, total[1] + hours]
        cells = [
            f"`{run['run']}`",
            *(run[name] for name in release.SHOWN),
            run["commit"],
            f"{minutes:.0f}",
            f"{hours:.1f}",
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines.append(f"| all | | | | | | {total[0]:.0f} | {total[1]:.1f} |")
    return "\n".join(lines)


def _front_matter(results: Mapping[str, Results]) -> str:
    """Formats the metadata; strings of JSON are strings of YAML, too."""
    lines = [
        "---",
        "license: apache-2.0",
        "library_name: keras",
        "pipeline_tag: image-segmentation",
        "tags: [dermoscopy, skin-lesion, medical-imaging, tflite, segan]",
        "model-index:",
        f"  - name: {json.dumps(_release()['name'])}",
        "    results:",
    ]
    for images, result in results.items():
        name = json.dumps(f"ISIC 2017 Part 1, {TITLES[images]}")
        lines += [
            "      - task: {type: image-segmentation}",
            f"        dataset: {{name: {name}, type: isic2017}}",
            "        metrics:",
        ]
        lines += [
            f"          - {{type: {metric}, name: "
            f"{json.dumps(f'{metric}, {kind}')}, value: "
            f"{metrics[metric]['mean']:.4f}}}"
            for kind, metrics in _kinds(result)
            for metric in ("dice", "iou")
        ]
    return "\n".join([*lines, "---", ""])


if __name__ == "__main__":
    main(*sys.argv[1:])
