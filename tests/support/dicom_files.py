"""Makes DICOM files of drawn images with pydicom."""

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")

from pydicom import uid  # noqa: E402
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402

NAME = "Mustermann^Erika"
PATIENT_ID = "MRN-4711"  # its letters are in no random UID
DERMOSCOPY = "1.2.840.10008.5.1.4.1.1.77.1.7"
PHOTOGRAPH = uid.VLPhotographicImageStorage


def make(values, photometric="RGB", *, bits=8, sop_class=PHOTOGRAPH, **tags):
    """Makes an uncompressed image of the patient NAME, PATIENT_ID.

    Args:
      values: uint8 or uint16 [height, width] or [height, width, 3]; of several
        frames [frames, height, width, 3].
      photometric: how the values are meant.
      bits: that are stored of a value.
      sop_class: UID of the kind of image.
      **tags: further ones by their keywords.
    """
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = sop_class
    image.SOPInstanceUID = uid.generate_uid()
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.StudyInstanceUID, image.SeriesInstanceUID = (
        uid.generate_uid(),
        uid.generate_uid(),
    )
    image.PatientName, image.PatientID = NAME, PATIENT_ID
    image.PatientBirthDate, image.PatientSex = "19640812", "F"
    image.StudyDate, image.StudyTime = "20260101", "101010"
    image.StudyID, image.AccessionNumber = "1", ""
    image.ReferringPhysicianName = ""
    image.Modality, image.SeriesNumber, image.InstanceNumber = "XC", 1, 1
    samples = 1 if photometric.startswith(("MONO", "PAL")) else 3
    image.Rows, image.Columns = values.shape[-2:]
    if samples == 3:
        image.Rows, image.Columns = values.shape[-3:-1]
        image.PlanarConfiguration = 0
    image.SamplesPerPixel = samples
    image.PhotometricInterpretation = photometric
    image.BitsAllocated = values.dtype.itemsize * 8
    image.BitsStored, image.HighBit = bits, bits - 1
    image.PixelRepresentation = int(values.dtype.kind == "i")
    image.PixelData = np.ascontiguousarray(values).tobytes()
    for name, value in tags.items():
        setattr(image, name, value)
    return image


def save(path, image):
    """Saves a DICOM image and returns its SOP instance UID."""
    image.save_as(path, enforce_file_format=True)
    return str(image.SOPInstanceUID)


def encapsulate(image, data, syntax):
    """Replaces the pixels by those of a compressed image."""
    image.PixelData = pydicom.encaps.encapsulate([data])
    image["PixelData"].VR = "OB"
    image.file_meta.TransferSyntaxUID = syntax
    return image
