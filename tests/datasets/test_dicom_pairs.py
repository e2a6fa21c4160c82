"""Tests of data sets whose images are DICOM."""

import dicom_files
import numpy as np
import pytest
import running
from PIL import Image

from segan_tf import config
from segan_tf.datasets import label_maps, pairs

pytestmark = pytest.mark.any_edition


def lesion(seed):
    """Draws an image with a dark lesion, and its label map."""
    noise = np.random.default_rng(seed).integers(0, 30, (32, 40, 3), np.uint8)
    values = noise + 180
    values[8:20, 10:30] -= 150
    label_map = np.zeros((32, 40), np.uint8)
    label_map[8:20, 10:30] = 255
    return values, label_map


def draw_pairs(folder, count, name="IM{number:04d}", map_name="{uid}"):
    """Writes DICOM images, whose label maps are PNGs; returns their ids."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    ids = []
    for number in range(count):
        values, label_map = lesion(number)
        file_name = name.format(number=number)
        uid = dicom_files.save(
            folder / "images" / file_name, dicom_files.make(values)
        )
        stem = map_name.format(uid=uid, number=number)
        Image.fromarray(label_map).save(folder / "masks" / f"{stem}.png")
        ids.append(uid)
    return ids


@pytest.mark.parametrize(
    ("name", "map_name"),
    [
        ("IM{number:04d}", "{uid}"),
        ("IM{number:04d}", "{uid}_label_map"),
        ("IM{number:04d}.dcm", "IM{number:04d}"),
        ("IM{number:04d}", "IM{number:04d}_mask"),
        ("1.2.3.{number}", "1.2.3.{number}"),
    ],
)
def test_label_map_is_named_after_the_id_or_the_file(tmp_path, name, map_name):
    ids = draw_pairs(tmp_path, 3, name, map_name)
    found = pairs.find_pairs(str(tmp_path))
    assert found.problems == ()
    assert [pair.id for pair in found.pairs] == sorted(ids)
    image, label_map = label_maps.read_pair(
        found.pairs[0], label_maps.labels_lib.LESION
    )
    np.testing.assert_array_equal(image, lesion(ids.index(sorted(ids)[0]))[0])
    assert label_map.sum() == 12 * 20


def test_file_without_an_id_is_a_problem(tmp_path):
    draw_pairs(tmp_path, 2)
    bad = tmp_path / "images" / "bad.dcm"
    bad.write_bytes(bytes(128) + b"DICM" + b"nonsense")
    problems = pairs.find_pairs(str(tmp_path)).problems
    assert any(str(bad) in line for line in problems)


def test_copy_of_an_image_is_a_problem(tmp_path):
    first, _ = draw_pairs(tmp_path, 2)
    original = tmp_path / "images" / "IM0000"
    (tmp_path / "images" / "again").write_bytes(original.read_bytes())
    found = pairs.find_pairs(str(tmp_path))
    assert len(found.pairs) == 1
    assert f"{first} has 2 image(s)" in found.problems[0]


def test_check_reads_dicom_and_names_no_patient(tmp_path):
    draw_pairs(tmp_path, 12)
    bad = tmp_path / "images" / "IM0003"
    bad.write_bytes(bad.read_bytes()[:-500])
    result = running.run("--mode=check", f"--data_dir={tmp_path}")
    said = result.out + result.err
    assert result.status == 1
    assert "IM0003 is damaged or truncated" in said
    assert "Mustermann" not in said
    assert dicom_files.PATIENT_ID not in said


def test_check_names_the_file_of_a_uid(tmp_path):
    (uid,) = draw_pairs(tmp_path, 1)
    Image.fromarray(lesion(1)[0]).save(tmp_path / "images" / "b.tif")
    Image.fromarray(lesion(1)[1]).save(tmp_path / "masks" / "b.png")
    dicom_pair, other = pairs.find_pairs(str(tmp_path)).pairs
    path = tmp_path / "images" / "IM0000"
    assert dicom_pair.named_with_file == f"{uid} ({path})"
    assert other.named_with_file == "b"


def test_dicom_of_two_values_is_a_label_map(tmp_path):
    label_map = lesion(0)[1]
    image = dicom_files.make(label_map // 255, "MONOCHROME2", bits=1)
    image.BitsAllocated, image.NumberOfFrames = 8, 1
    dicom_files.save(tmp_path / "a.dcm", image)
    read = label_maps.read_label_file(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read[..., 0], label_map // 255)


def test_two_colors_of_a_dicom_label_map_are_an_error(tmp_path):
    dicom_files.save(tmp_path / "a.dcm", dicom_files.make(lesion(0)[0]))
    with pytest.raises(config.UserError):
        label_maps.read_label_file(tmp_path / "a.dcm")
