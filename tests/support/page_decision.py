"""Runs the decision of the web page in Node, without a browser."""

import json
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
import running

PAGE = running.ROOT / "export" / "web" / "page"
MODULES = ("label_map.js", "expected_dice.js", "resize.js", "pause.js")
MAIN = """
import { readFileSync } from "node:fs";
import { expectDice } from "./expected_dice.js";
import { decideLabelMaps } from "./label_map.js";

const { values, width, height, count, size, rule, curve } = JSON.parse(
  readFileSync("task.json", "utf8"),
);
const map = { data: Float32Array.from(values), width, height, count };
const labelMaps = await decideLabelMaps(map, size, rule);
const answer = curve
  ? await expectDice(map, size, rule, curve)
  : labelMaps.map((one) => Array.from(one));
console.log(JSON.stringify(answer));
"""


def decide(folder, probability_map, size, *, multiclass, thresholds):
    """Decides as the page does; skips the test where there is no Node.

    Args:
      folder: an empty one.
      probability_map: float32 [height, width, labels], of the model's size.
      size: (height, width) of the image.
      multiclass: at most one label at a pixel.
      thresholds: one for each label.

    Returns:
      uint8 [*size, labels] in {0, 1}.
    """
    rule = {"multiclass": multiclass, "thresholds": list(thresholds)}
    answer = _run(folder, probability_map, size, {"rule": rule})
    count = probability_map.shape[-1]
    maps = np.uint8(answer).reshape(-1, *size)
    if len(maps) == count:
        return (maps > 0).transpose(1, 2, 0).astype(np.uint8)
    numbers = np.arange(1, count + 1)
    return (maps[0][..., None] == numbers).astype(np.uint8)


def expect_dice(
    folder, probability_map, size, *, multiclass, thresholds, curve
):
    """Computes the expected Dice as the page does.

    Args:
      folder, probability_map, size, multiclass, thresholds: as for `decide`.
      curve: as in a contract.
    """
    rule = {"multiclass": multiclass, "thresholds": list(thresholds)}
    task = {"rule": rule, "curve": curve}
    return _run(folder, probability_map, size, task)


def _run(folder, probability_map, size, task):
    node = shutil.which("node")
    if not node:
        pytest.skip("node is missing")
    folder = pathlib.Path(folder)
    for name in MODULES:
        shutil.copy(PAGE / name, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "main.js").write_text(MAIN)
    height, width, count = probability_map.shape
    task = {
        "values": probability_map.ravel().tolist(),
        "width": width,
        "height": height,
        "count": count,
        "size": {"height": size[0], "width": size[1]},
        **task,
    }
    (folder / "task.json").write_text(json.dumps(task))
    answer = subprocess.run(
        [node, "main.js"],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=60,
    )
    return json.loads(answer.stdout)
