"""Tests of predicting DICOM images: segmentations, areas and privacy."""

import csv
import os
import shutil
import subprocess
import sys
import warnings

import dicom_files
import numpy as np
import pytest
import running
from PIL import Image

from segan_tf import labels as labels_lib
from segan_tf.errors import UserError
from segan_tf.imaging import dicom
from segan_tf.inference import dicom_segmentation, prediction_inputs
from segan_tf.synthetic import lesions

pytestmark = pytest.mark.any_edition

highdicom = pytest.importorskip("highdicom", reason="needs the extra dicom")


def lesion(seed=0):
    """Draws uint8 [120, 160, 3]: skin with a lesion."""
    return lesions.draw_lesion(seed, 1, size=(120, 160)).image


def predict(source, output_dir, *given):
    return running.run(
        "--mode=predict",
        "--runtime=int8",
        f"--input={source}",
        f"--output_dir={output_dir}",
        *given,
    )


def read_table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Returns a folder of DICOM images, and their ids."""
    folder = tmp_path_factory.mktemp("archive") / dicom_files.NAME
    folder.mkdir()
    spaced = dicom_files.make(lesion(), PixelSpacing=[0.5, 0.25])
    plain = dicom_files.make(lesion(1), sop_class=dicom_files.DERMOSCOPY)
    ids = (
        dicom_files.save(folder / f"{dicom_files.NAME}.dcm", spaced),
        dicom_files.save(folder / "IM0002", plain),
    )
    copy = (folder / "IM0002").read_bytes()
    (folder / "IM0003").write_bytes(copy)
    broken = dicom_files.make(lesion(2))
    ids += (dicom_files.save(folder / "broken", broken),)
    content = (folder / "broken").read_bytes()
    (folder / "broken").write_bytes(content[:-900])
    Image.fromarray(lesion(3)).save(folder / "d.png")
    return folder, ids


@pytest.fixture(scope="module")
def predicted(archive, tmp_path_factory):
    """Returns the folder of a prediction, and what it printed."""
    output_dir = tmp_path_factory.mktemp("predicted")
    result = predict(archive[0], output_dir)
    assert result.status == 1  # a copy and a broken file
    return output_dir, result.out + result.err


def test_files_are_named_by_ids(archive, predicted):
    spaced, plain, _ = archive[1]
    names = os.listdir(predicted[0])
    for uid in (spaced, plain):
        for ending in ("label_map.png", "overlay.jpg", "seg.dcm"):
            assert f"{uid}_{ending}" in names
    assert "d_seg.dcm" not in names
    assert "3 of 5 images have a label map" in predicted[1]


def test_segmentation_read_back_equals_the_label_map(archive, predicted):
    folder, (uid, _, _) = archive
    output_dir, _ = predicted
    found = highdicom.seg.segread(output_dir / f"{uid}_seg.dcm")
    source = dicom_files.pydicom.dcmread(folder / f"{dicom_files.NAME}.dcm")
    pixels = found.get_pixels_by_source_instance([uid])[0, :, :, 0]
    with Image.open(output_dir / f"{uid}_label_map.png") as label_map:
        expected = np.asarray(label_map) > 0
    assert 0.02 < expected.mean() < 0.8
    np.testing.assert_array_equal(pixels > 0, expected)
    assert found.StudyInstanceUID == source.StudyInstanceUID
    assert found.PatientID == dicom_files.PATIENT_ID  # which DICOM requires


def test_segment_has_codes_and_an_algorithm(archive, predicted):
    found = highdicom.seg.segread(predicted[0] / f"{archive[1][0]}_seg.dcm")
    segment = found.get_segment_description(1)
    assert segment.segment_label == "lesion"
    kind = segment.segmented_property_type
    assert (kind.value, kind.scheme_designator) == ("52988006", "SCT")
    assert segment.algorithm_type.value == "AUTOMATIC"
    (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
    assert algorithm.AlgorithmName == "SegAN for TensorFlow"


@pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="needs Debian's dicom3tools"
)
def test_segmentations_conform_to_the_standard(archive, predicted):
    for uid in archive[1][:2]:
        checked = subprocess.run(
            ["dciodvfy", str(predicted[0] / f"{uid}_seg.dcm")],
            capture_output=True,
            text=True,
        )
        assert "Error" not in checked.stdout + checked.stderr


def test_area_in_mm2_where_the_spacing_is_known(archive, predicted):
    rows = {
        row["id"]: row for row in read_table(predicted[0] / "predictions.csv")
    }
    spaced, plain, _ = archive[1]
    area = int(rows[spaced]["lesion_area_px"]) * 0.5 * 0.25
    assert area > 100
    assert float(rows[spaced]["lesion_area_mm2"]) == pytest.approx(area)
    assert rows[plain]["lesion_area_mm2"] == ""
    assert rows["d"]["lesion_area_mm2"] == ""


def test_no_name_of_a_patient_is_written(archive, predicted):
    output_dir, said = predicted
    texts = [said, *os.listdir(output_dir)]
    texts += [path.read_text() for path in output_dir.glob("*.csv")]
    texts += [path.read_text() for path in output_dir.glob("*.json")]
    for text in texts:
        assert "Mustermann" not in text
        assert dicom_files.PATIENT_ID not in text


def test_failures_are_named_by_ids(archive, predicted):
    _, plain, broken = archive[1]
    failed = read_table(predicted[0] / "failed.csv")
    assert [row["file"] for row in failed] == [f"{plain}, copy 1", broken]
    assert failed[1]["reason"].startswith(f"{broken} is damaged or truncated")


def test_resume_predicts_nothing_twice(archive, predicted):
    result = predict(archive[0], predicted[0])
    assert "3 of them from before" in result.out + result.err


def test_two_workers_write_the_same(archive, predicted, tmp_path):
    predict(archive[0], tmp_path, "--workers=2")
    assert sorted(os.listdir(tmp_path)) == sorted(os.listdir(predicted[0]))
    for path in predicted[0].glob("*.csv"):
        assert (tmp_path / path.name).read_text() == path.read_text()


def test_image_named_as_a_uid_is_predicted_too(archive, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    uid = archive[1][1]
    name = f"{dicom_files.NAME}.dcm"
    (folder / name).write_bytes((archive[0] / "IM0002").read_bytes())
    Image.fromarray(lesion(3)).save(folder / f"{uid}.png")
    result = predict(folder, tmp_path / "out")
    said = result.out + result.err
    assert result.status == 0
    rows = read_table(tmp_path / "out" / "predictions.csv")
    assert sorted(row["id"] for row in rows) == [uid, f"{uid}.png"]
    assert "Mustermann" not in said


def test_images_of_other_formats_have_no_column_in_mm2(archive, tmp_path):
    predict(archive[0] / "d.png", tmp_path)
    (row,) = read_table(tmp_path / "predictions.csv")
    assert "lesion_area_mm2" not in row


def test_missing_pydicom_is_one_line_per_file(archive, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    found = prediction_inputs.find([str(archive[0])])
    assert [source.id for source in found.images] == ["d"]
    assert all("the extra dicom" in why for why in found.unread.values())
    assert len(found.unread) == 4


def test_missing_highdicom_names_the_extra(archive, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    result = predict(archive[0] / "IM0002", tmp_path)
    assert result.status == 1
    assert "needs the package highdicom; install the extra dicom" in (
        result.out + result.err
    )


@pytest.mark.parametrize("fill", [(0, 0), (0, 1), (1, 1)])
def test_segments_of_several_labels_may_overlap_or_be_empty(tmp_path, fill):
    image = dicom_files.make(lesion())
    uid = dicom_files.save(tmp_path / "a.dcm", image)
    label_map = np.zeros((120, 160, 2), np.uint8)
    label_map[10:20, 30:50, 0] = fill[0]
    label_map[15:40, 40:90, 1] = fill[1]
    labels = labels_lib.Labels(("lesion", "hair"))
    path = tmp_path / "a_seg.dcm"
    dicom_segmentation.write(
        path, dicom.read_header(tmp_path / "a.dcm"), label_map, labels=labels
    )
    found = highdicom.seg.segread(path)
    pixels = found.get_pixels_by_source_instance([uid])[0]
    np.testing.assert_array_equal(pixels, label_map)
    assert found.NumberOfFrames == 2  # empty ones are stored, too
    assert found.get_segment_description(2).segment_label == "hair"


@pytest.mark.parametrize(
    "changes",
    [
        {"NumberOfFrames": 1},
        {"FrameOfReferenceUID": "1.2.3"},
        {"PixelSpacing": [0.5, 0.5], "FrameOfReferenceUID": "1.2.3"},
        {"PatientOrientation": ["L", "F"]},
    ],
)
def test_sources_of_many_kinds_have_a_segmentation(tmp_path, changes):
    image = dicom_files.make(lesion(), **changes)
    dicom_files.save(tmp_path / "a.dcm", image)
    label_map = np.ones((120, 160, 1), np.uint8)
    path = tmp_path / "a_seg.dcm"
    header = dicom.read_header(tmp_path / "a.dcm")
    dicom_segmentation.write(path, header, label_map, labels=labels_lib.LESION)
    assert highdicom.seg.segread(path).pixel_array.all()


def test_what_an_archive_removed_is_empty_in_the_segmentation(tmp_path):
    removed = ("PatientID", "PatientSex", "StudyDate", "AccessionNumber")
    image = dicom_files.make(lesion())
    for keyword in removed:
        delattr(image, keyword)
    image.SpecificCharacterSet = "ISO_IR 999"  # there is none
    uid = image.SOPInstanceUID
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dicom_files.save(tmp_path / "a.dcm", image)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        result = predict(tmp_path / "a.dcm", tmp_path / "out")
    assert shown == []  # they quote values, names among them
    assert result.status == 0, result.out
    found = highdicom.seg.segread(tmp_path / "out" / f"{uid}_seg.dcm")
    assert [found[keyword].value or "" for keyword in removed] == [""] * 4
    assert "SpecificCharacterSet" not in found
    assert found.PatientName == dicom_files.NAME


def test_source_without_a_study_is_one_line(tmp_path):
    image = dicom_files.make(lesion())
    del image.StudyInstanceUID
    dicom_files.save(tmp_path / "a.dcm", image)
    header = dicom.read_header(tmp_path / "a.dcm")
    with pytest.raises(UserError, match="needs .AttributeError.*export it"):
        dicom_segmentation.write(
            tmp_path / "a_seg.dcm",
            header,
            np.ones((120, 160, 1), np.uint8),
            labels=labels_lib.LESION,
        )
