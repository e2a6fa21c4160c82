"""Tests of several images: strip, table, CSV and ZIP."""

import base64
import csv
import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from segan_tf import csv_files
from segan_tf.imaging import images
from segan_tf.synthetic import lesions

pytestmark = pytest.mark.browser

# A name that a spreadsheet would compute, and one that comes twice.
NAMES = ("first.png", "notes.txt", "=2+3.png", "below/first.png")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    (folder / "below").mkdir()
    for index, name in enumerate(NAMES):
        drawing = lesions.draw_lesion(index, 1, size=(120, 150 + index))
        images.write_png(folder / name, drawing.image)
    (folder / "notes.txt").write_text("no image at all")
    return [str(folder / name) for name in NAMES]


@pytest.fixture(scope="module")
def saw(play, files):
    return play("chooseMany", "float_one", files=files)


def alone(play, path):
    return play("segment", "float_one", way="choose", image=path)


def test_table_has_a_row_for_each_file(saw, play, files):
    shares = [alone(play, files[i])["shares"][0] for i in (0, 2, 3)]

    assert saw["columns"] == ["File", "Share"]
    first, third, fourth = (f"{100 * share:.1f} %" for share in shares)
    assert saw["rows"] == [
        ["first.png", first],
        ["notes.txt", "failed"],
        ["=2+3.png", third],
        ["first.png", fourth],
    ]
    assert saw["strip"][:2] == [
        "first.png, outlined",
        "notes.txt, could not be outlined",
    ]
    assert saw["complaints"] == []


def test_strip_goes_from_image_to_image(saw):
    names = [visited["name"] for visited in saw["visited"]]
    # Chosen, next, arrow right, arrow left twice, the table's last row.
    assert names == [
        *("first.png", "notes.txt", "=2+3.png", "first.png", "first.png")
    ]
    assert [visited["isStageShown"] for visited in saw["visited"]] == [
        *(True, False, True, True, True)
    ]
    bad = saw["visited"][1]
    assert bad["problem"].startswith("notes.txt is not a JPEG, PNG or BMP")
    assert bad["legend"] is None  # of the image before
    assert saw["visited"][2]["problem"] == ""
    assert saw["isLast"]
    assert saw["focusedRow"] == len(NAMES)  # where the keyboard was


def read_csv(content):
    assert content.startswith(b"\xef\xbb\xbf")  # Excel's sign for UTF-8
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


def test_csv_has_the_columns_of_the_command(saw, play, files):
    rows = read_csv(base64.b64decode(saw["csv"]["base64"]))

    assert [row["id"] for row in rows] == [
        *("first.png", "notes.txt", csv_files.text_cell("=2+3.png")),
        "first.png",
    ]
    share = alone(play, files[2])["shares"][0]
    assert rows[2]["width"] == "152"
    assert rows[2]["height"] == "120"
    assert rows[2]["lesion_area_px"] == str(round(share * 152 * 120))
    assert rows[2]["lesion_fraction"] == f"{share:.6f}"
    assert rows[2]["lesion_area_mm2"] == ""  # no scale is known
    assert rows[2]["problem"] == ""
    assert rows[1]["lesion_fraction"] == ""
    assert rows[1]["problem"].startswith("notes.txt is not a JPEG")


def test_zip_has_the_table_and_the_label_maps(saw, play, files):
    content = io.BytesIO(base64.b64decode(saw["zip"]["base64"]))
    with zipfile.ZipFile(content) as archive:
        assert archive.testzip() is None
        inside = {name: archive.read(name) for name in archive.namelist()}

    maps = {
        "first_label_map.png": files[0],
        "=2+3_label_map.png": files[2],
        "first_2_label_map.png": files[3],
    }
    assert list(inside) == ["results.csv", *maps]
    assert inside["results.csv"] == base64.b64decode(saw["csv"]["base64"])
    for name, path in maps.items():
        (file,) = alone(play, path)["files"]
        np.testing.assert_array_equal(
            np.asarray(Image.open(io.BytesIO(inside[name]))),
            np.asarray(
                Image.open(io.BytesIO(base64.b64decode(file["base64"])))
            ),
        )
