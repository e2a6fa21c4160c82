"""Writes label maps as DICOM Segmentations with highdicom."""

import contextlib
import copy
import importlib
import io
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from segan_tf import errors, files
from segan_tf import labels as labels_lib
from segan_tf.imaging import pillow
from segan_tf.version import VERSION

ENDING = "_seg.dcm"
_NAME = "SegAN for TensorFlow"
_SERIES_NUMBER = 1001
# Of labels that have no code here; "99" begins the names of private schemes.
_PRIVATE_SCHEME = "99SEGAN"
# Of type 2, part 3, C.7.1.1 and C.7.2.1: they must be there and may be empty.
# Many archives remove them, or hold values of other forms.
_MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber"),
)
_SEXES = ("M", "F", "O", "")
# Characters of a code and of its meaning, part 5, 6.2.
_MAX_CODE, _MAX_MEANING = 16, 64


def write(
    path: str | os.PathLike[str],
    header: Any,
    label_map: np.ndarray,
    *,
    labels: labels_lib.Labels,
) -> None:
    """Writes a segmentation that refers to its source image.

    As DICOM requires, it has the patient and the study of the source.

    Args:
      path: of the file.
      header: of the source image, as `dicom.read_header` returns it.
      label_map: uint8 [height, width, labels] in {0, 1}, of the stored pixels.
      labels: of the channels, a segment each.

    Raises:
      errors.UserError: highdicom is missing, or the source lacks attributes.
      OSError: the file cannot be written.
    """
    highdicom = errors.import_extra(
        "highdicom", what=f"{path} (DICOM Segmentation)", extra="dicom"
    )
    # Its warnings are about values of the source, names among them.
    with pillow.ignored_warnings(), _named_gaps(path):
        segmentation = highdicom.seg.Segmentation(
            source_images=[_as_flat_image(header)],
            pixel_array=label_map[None],
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=_describe_segments(highdicom, labels),
            series_instance_uid=highdicom.UID(),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer=_NAME,
            manufacturer_model_name=_NAME,
            software_versions=VERSION,
            device_serial_number="none",  # of software; must not be empty
            content_label="SEGAN",
            content_description="Automatic segmentation",
            omit_empty_frames=False,  # an empty label map is a result too
        )
        # Of type 2C, part 3, C.7.6.1: present without a place in the patient.
        segmentation.PatientOrientation = header.get("PatientOrientation", "")
        stream = io.BytesIO()
        segmentation.save_as(stream)
    files.write_bytes(path, stream.getvalue(), sync=False)


def _as_flat_image(header: Any) -> Any:
    """Returns a header that is changed to what highdicom reads back.

    A photograph has no place in the patient. Where it has a pixel spacing,
    highdicom's reader asks for a thickness, too, which may not be 0: that of a
    pixel's height says nothing about the patient.
    """
    flat = copy.deepcopy(header)
    if "ImagePositionPatient" not in flat and "FrameOfReferenceUID" in flat:
        del flat.FrameOfReferenceUID
    if "SharedFunctionalGroupsSequence" not in flat and (
        "NumberOfFrames" in flat
    ):
        del flat.NumberOfFrames
    if "PixelSpacing" in flat and not flat.get("SliceThickness"):
        flat.SliceThickness = flat.PixelSpacing[0]
    _blank_unsound(flat)
    return flat


def _blank_unsound(image: Any) -> None:
    """Empties what a segmentation must have and may have empty."""
    valuerep = importlib.import_module("pydicom.valuerep")
    checks = {
        "PatientBirthDate": valuerep.DA,
        "StudyDate": valuerep.DA,
        "StudyTime": valuerep.TM,
        "PatientSex": _SEXES.index,
    }
    for keyword in _MAY_BE_EMPTY:
        value = image.get(keyword)
        try:
            checks.get(keyword, str)(value or "")
        except ValueError:
            value = None
        if value is None:
            setattr(image, keyword, "")
    known = importlib.import_module("pydicom.charset").python_encoding
    named = image.get("SpecificCharacterSet") or ""
    named = [named] if isinstance(named, str) else named
    if "SpecificCharacterSet" in image and not all(
        name and name in known for name in named
    ):
        del image.SpecificCharacterSet


@contextlib.contextmanager
def _named_gaps(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns what highdicom raises on incomplete sources into a UserError."""
    try:
        yield
    except (
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise errors.UserError(
            f"{path} cannot be written, since its source lacks something that "
            f"a DICOM Segmentation needs ({type(error).__name__}: "
            f"{_missing_keyword(error)}); export it again with its patient, "
            "study and series."
        ) from error


def _missing_keyword(error: Exception) -> str:
    """Returns the name of an attribute, and no value of the source."""
    return str(getattr(error, "name", None) or "see its attributes")


def _describe_segments(highdicom: Any, labels: labels_lib.Labels) -> list[Any]:
    codes = importlib.import_module("pydicom.sr.codedict").codes
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=_NAME, version=VERSION, family=codes.DCM.ArtificialIntelligence
    )
    segments = []
    for number, (name, slug) in enumerate(
        zip(labels.names, labels.slugs, strict=True), 1
    ):
        category = codes.SCT.MorphologicallyAbnormalStructure
        kind = codes.SCT.Lesion
        if name not in labels_lib.LESION.names:
            category = codes.SCT.BodyStructure
            kind = highdicom.sr.CodedConcept(
                slug[:_MAX_CODE], _PRIVATE_SCHEME, name[:_MAX_MEANING]
            )
        segments.append(
            highdicom.seg.SegmentDescription(
                segment_number=number,
                segment_label=name[:_MAX_MEANING],
                segmented_property_category=category,
                segmented_property_type=kind,
                algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
                algorithm_identification=algorithm,
            )
        )
    return segments
