"""Tests that the documentation's page for LiteRT.js runs as it is pasted."""

import re
import shutil
import textwrap

import numpy as np
import pytest
import running
from ai_edge_litert import interpreter as litert
from PIL import Image

from segan_tf.imaging import images, preprocessing

pytestmark = pytest.mark.browser


def read_snippet():
    text = (running.ROOT / "docs" / "export.md").read_text()
    section = text.split("## JavaScript, LiteRT.js")[1].split("\n## ")[0]
    lines = re.findall(r"^    .*$", section, re.MULTILINE)
    return textwrap.dedent("\n".join(lines))


def test_page_of_the_documentation_runs(play, site, image):
    folder = site[0] / "snippet" / "web"
    shutil.copytree(site[0] / "float_one" / "web", folder)
    shutil.copy(site[0] / "float_one" / "segan_none.json", folder)
    (folder / "index.html").write_text(read_snippet())
    with Image.open(image) as drawing:
        drawing.save(folder / "photo.jpg", quality=95)

    saw = play("readLog", "snippet", start="highest probability")

    model = litert.Interpreter(model_path=str(folder / "segan_none.tflite"))
    run = model.get_signature_runner()
    pixels = images.read_image(str(folder / "photo.jpg"))
    (info,) = run.get_input_details().values()
    batch = preprocessing.resize_image(pixels, *info["shape"][1:3])[None]
    expected = np.max(run(image=batch.numpy())["probability_map"])
    highest = float(saw["logged"].split()[-1])
    # Chromium's canvas resizes in another way.
    assert highest == pytest.approx(expected, abs=0.02)
