"""Tests of what the page saves of an image."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image, ImageDraw

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def files(play, image):
    saw = play("saveAll", "float_one", image=image)
    return {
        file["name"]: base64.b64decode(file["base64"]) for file in saw["files"]
    }


@pytest.fixture(scope="module")
def label_map(files):
    with Image.open(io.BytesIO(files["a lesion_label_map.png"])) as saved:
        return np.asarray(saved) > 0


def test_all_kinds_of_files_are_offered(files):
    assert list(files) == [
        "a lesion_outline.jpg",
        "a lesion_label_map.png",
        "a lesion_outline.svg",
        "a lesion_outline.geojson",
    ]


def area(ring):
    """Computes the area in a closed ring, by the shoelace formula."""
    x, y = np.transpose(ring)
    return abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2


def test_geojson_outlines_the_label_map(files, label_map):
    (feature,) = json.loads(files["a lesion_outline.geojson"])["features"]

    assert feature["properties"]["image"] == "a lesion.png"
    assert feature["properties"]["pixels_per_mm"] is None
    covered = sum(
        area(outer) - sum(map(area, holes))
        for outer, *holes in feature["geometry"]["coordinates"]
    )
    assert covered == np.sum(label_map)


def test_svg_outlines_the_label_map(files, label_map):
    svg = files["a lesion_outline.svg"].decode()

    assert 'viewBox="0 0 317 240"' in svg
    (path,) = re.findall(r' d="([^"]+)"', svg)
    drawn = Image.new("1", (317, 240))
    for ring in path.rstrip("Z").split("Z"):
        (start,) = re.findall(r"M(\d+) (\d+)", ring)
        x, y = map(int, start)
        corners = [(x, y)]
        for direction, value in re.findall(r"([HV])(\d+)", ring):
            x, y = (int(value), y) if direction == "H" else (x, int(value))
            corners.append((x, y))
        ImageDraw.Draw(drawn).polygon(corners, fill=1)
    # Pillow's polygons also cover their edge.
    assert np.mean(np.asarray(drawn) != label_map) < 0.02


def test_saved_image_shows_the_outline(files, label_map, image):
    with Image.open(io.BytesIO(files["a lesion_outline.jpg"])) as saved:
        shown = np.asarray(saved).astype(int)
    original = np.asarray(Image.open(image)).astype(int)

    assert shown.shape == original.shape
    edge = label_map & ~(
        np.roll(label_map, 1, 0)
        & np.roll(label_map, -1, 0)
        & np.roll(label_map, 1, 1)
        & np.roll(label_map, -1, 1)
    )
    difference = np.abs(shown - original).sum(-1)
    assert difference[edge].mean() > 100
    far = ~label_map
    for _ in range(8):
        far &= np.roll(far, 1, 0) & np.roll(far, -1, 0)
        far &= np.roll(far, 1, 1) & np.roll(far, -1, 1)
    assert difference[far].mean() < 20
