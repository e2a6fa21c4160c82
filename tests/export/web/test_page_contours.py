"""Tests of the page's contours, and of the files they are saved as."""

import itertools
import json
import re

import numpy as np
import page_modules
import pytest

pytestmark = pytest.mark.any_edition

TRACE = """
import { groupPolygons, signedArea, traceContours } from "./contours.js";
import { toGeoJson, toSvg } from "./vector_files.js";
const { values, width, height } = given;
const contours = traceContours(Uint8Array.from(values), { width, height });
const labels = {
  names: ["core", "a <rim>"],
  colors: [[86, 180, 233], [230, 159, 0]],
};
answer = {
  contours,
  areas: contours.map(({ points }) => signedArea(points)),
  polygons: groupPolygons(contours.map(({ points }) => points)),
  svg: toSvg(contours, { width, height }, labels),
  geojson: toGeoJson(contours, { width, height }, {
    ...labels, image: "an image.png", pixelsPerMm: 12.5,
  }),
};
"""


def trace(folder, label_map):
    label_map = np.uint8(label_map)
    height, width = label_map.shape
    given = {
        "values": label_map.ravel().tolist(),
        "width": width,
        "height": height,
    }
    return page_modules.run(folder, TRACE, given)


def test_one_pixel_is_a_square(tmp_path):
    saw = trace(tmp_path, [[0, 0, 0], [0, 1, 0]])

    # Clockwise, as seen on a screen, from the upper left corner.
    square = [1, 1, 2, 1, 2, 2, 1, 2]
    assert saw["contours"] == [{"label": 1, "points": square}]
    assert saw["areas"] == [1]


def test_pixels_that_touch_at_a_corner_are_two_rings(tmp_path):
    saw = trace(tmp_path, [[1, 0], [0, 1]])

    assert [len(one["points"]) for one in saw["contours"]] == [8, 8]
    assert saw["areas"] == [1, 1]


def test_island_in_a_hole_is_a_polygon_of_its_own(tmp_path):
    ring = np.ones((7, 7), int)
    ring[1:-1, 1:-1] = 0
    ring[3, 3] = 1

    saw = trace(tmp_path, ring)

    assert saw["areas"] == [7 * 7, -5 * 5, 1]
    assert [len(polygon) for polygon in saw["polygons"]] == [2, 1]


def test_hole_of_an_island_belongs_to_the_island(tmp_path):
    rings = np.ones((11, 11), int)
    rings[1:-1, 1:-1] = 0
    rings[3:-3, 3:-3] = 1
    rings[5, 5] = 0

    saw = trace(tmp_path, rings)

    sides = [[max(r) - min(r) for r in polygon] for polygon in saw["polygons"]]
    assert sides == [[11, 9], [5, 1]]


@pytest.mark.parametrize("size", [(40, 52), (33, 37), (1, 9), (9, 1)])
def test_areas_of_random_maps_are_their_pixels(tmp_path, size):
    generator = np.random.default_rng(0)
    label_map = np.kron(
        generator.integers(0, 3, [(side + 2) // 3 for side in size]),
        np.ones((3, 3), int),
    )[: size[0], : size[1]]

    saw = trace(tmp_path, label_map)

    for label in (1, 2):
        areas = [
            area
            for area, contour in zip(saw["areas"], saw["contours"], strict=True)
            if contour["label"] == label
        ]
        assert sum(areas) == np.sum(label_map == label)


def is_inside(ring, shape):
    """Tells which pixels have their middle in a ring, by rays to the left."""
    rows, columns = np.indices(shape) + 0.5
    inside = np.zeros(shape, bool)
    for (x, y), (_, next_y) in itertools.pairwise(ring):
        inside ^= ((y > rows) != (next_y > rows)) & (x < columns)
    return inside


def test_geojson_polygons_cover_the_label_map(tmp_path):
    label_map = np.zeros((40, 60), int)
    label_map[5:30, 8:50] = 1
    label_map[10:20, 15:25] = 0  # a hole
    label_map[13:16, 18:21] = 1  # and an island in it
    label_map[32:38, 2:9] = 2

    features = json.loads(trace(tmp_path, label_map)["geojson"])["features"]

    for label, feature in enumerate(features, 1):
        covered = sum(
            is_inside(outer, label_map.shape)
            & ~np.any([is_inside(h, label_map.shape) for h in holes], axis=0)
            for outer, *holes in feature["geometry"]["coordinates"]
        )
        np.testing.assert_array_equal(covered, label_map == label)
        for polygon in feature["geometry"]["coordinates"]:
            for ring in polygon:
                assert ring[0] == ring[-1]  # closed
    properties = features[0]["properties"]
    assert properties == {
        "label": "core",
        "image": "an image.png",
        "width": 60,
        "height": 40,
        "pixels_per_mm": 12.5,
    }
    assert [len(f["geometry"]["coordinates"]) for f in features] == [2, 1]


def test_svg_has_the_size_and_a_path_for_each_label(tmp_path):
    label_map = np.zeros((20, 30), int)
    label_map[2:8, 3:9] = 1

    svg = trace(tmp_path, label_map)["svg"]

    assert 'viewBox="0 0 30 20"' in svg
    paths = re.findall(r'stroke="(#\w+)".* d="([^"]*)"><title>(.*)</title', svg)
    assert paths == [
        ("#56b4e9", "M3 2H9V8H3Z", "core"),
        ("#e69f00", "", "a &#60;rim&#62;"),
    ]
