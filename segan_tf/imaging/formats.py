"""The file formats of images: those that are read, and those that are not.

Prediction, the check of a data set and training read the same ones. To read
another that Pillow knows, set `is_read` in its row of FORMATS.
"""

import dataclasses
import itertools
import os
import re

from segan_tf import files


@dataclasses.dataclass(frozen=True)
class ImageFormat:
    """A file format of images.

    Attributes:
      name: what Pillow calls it, also used in messages.
      endings: of its file names, in lower case.
      is_read: whether files of the format are read. The others are known so
        that no image is left out in silence.
      signature: of the first bytes, as a regular expression.
      extra: of this package, which installs its reader; "" if Pillow always
        has it.
      package: that reads it, if it is not Pillow.
      feature: what Pillow calls the library of its reader.
    """

    name: str
    endings: tuple[str, ...]
    is_read: bool = False
    signature: bytes = b""
    extra: str = ""
    package: str = ""
    feature: str = ""


DICOM = "DICOM"
# The index of a DICOM medium, which holds no image.
_DICOM_INDEX = "DICOMDIR"


FORMATS: tuple[ImageFormat, ...] = (
    ImageFormat(
        "JPEG",
        (
            *(".jpg", ".jpeg", ".jpe"),
            *(".jfif", ".jfi", ".jif", ".pjpeg", ".pjp"),
        ),
        is_read=True,
        signature=rb"\xff\xd8\xff",
    ),
    ImageFormat(
        "PNG", (".png", ".apng"), is_read=True, signature=rb"\x89PNG\r\n\x1a"
    ),
    ImageFormat(
        "BMP", (".bmp", ".dib"), is_read=True, signature=rb"BM.{4}\0{4}"
    ),
    ImageFormat(
        "TIFF",
        (".tif", ".tiff"),
        is_read=True,
        signature=rb"II[*+]\0|MM\0[*+]",
    ),
    ImageFormat("GIF", (".gif",), is_read=True, signature=b"GIF8"),
    ImageFormat(
        "WEBP",
        (".webp",),
        is_read=True,
        signature=rb"RIFF.{4}WEBP",
        extra="formats",
        feature="webp",
    ),
    ImageFormat(
        "JPEG2000",
        (".jp2", ".j2k", ".jpf", ".jpx", ".jpc", ".j2c"),
        is_read=True,
        signature=rb"\0\0\0\x0cjP  \r\n|\xffO\xffQ",
        extra="formats",
        feature="jpg_2000",
    ),
    ImageFormat(
        "AVIF",
        (".avif", ".avifs"),
        is_read=True,
        signature=rb".{4}ftypavi[fs]",
        extra="formats",
        feature="avif",
    ),
    ImageFormat(
        "HEIF",
        (".heic", ".heif", ".hif"),
        is_read=True,
        signature=rb".{4}ftyp(?:hei|hev|mif1|msf1)",
        extra="formats",
        package="pillow_heif",
    ),
    ImageFormat(
        DICOM,
        (".dcm", ".dicom", ".ima"),
        is_read=True,
        signature=rb".{128}DICM",
        extra="dicom",
        package="pydicom",
    ),
    ImageFormat(
        "JPEG XL", (".jxl",), signature=rb"\xff\n|\0\0\0\x0cJXL \r\n\x87\n"
    ),
    ImageFormat("JPEG XR", (".jxr", ".wdp", ".hdp"), signature=rb"II\xbc"),
    ImageFormat("NIfTI", (".nii", ".nii.gz"), signature=rb".{344}n[+i]1\0"),
    ImageFormat(
        "MetaImage", (".mha", ".mhd"), signature=rb"(?:NDims|ObjectType) ="
    ),
    ImageFormat("NRRD", (".nrrd", ".nhdr"), signature=rb"NRRD000"),
    ImageFormat("Analyze", (".hdr", ".img")),
    ImageFormat("NumPy", (".npy", ".npz"), signature=rb"\x93NUMPY"),
    ImageFormat(
        "Netpbm",
        (".pbm", ".pgm", ".ppm", ".pnm", ".pam"),
        signature=rb"P[1-7]\s+\d+\s",
    ),
    ImageFormat("PSD", (".psd", ".psb"), signature=b"8BPS"),
    ImageFormat("TGA", (".tga",)),
    ImageFormat("PCX", (".pcx",)),
    ImageFormat("ICO", (".ico", ".cur")),
    ImageFormat("SVG", (".svg",)),
    ImageFormat("OpenEXR", (".exr",), signature=rb"v/1\x01"),
    ImageFormat(
        "raw camera image",
        (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"),
    ),
    ImageFormat(
        "slide", (".svs", ".ndpi", ".mrxs", ".scn", ".czi", ".vsi", ".bif")
    ),
)

SIGNATURE_BYTES = 352
_USUAL_ENDINGS = (".jpg", ".jpeg", ".png")


def format_names(last: str = "or") -> str:
    """Lists the formats that are read: "JPEG, PNG or BMP"."""
    *names, end = (known.name for known in FORMATS if known.is_read)
    return f"{', '.join(names)} {last} {end}" if names else end


def is_image(path: str | os.PathLike[str]) -> bool:
    """Tells whether a file is an image that is read here.

    Its name decides, and the content where the name is that of another format,
    since browsers and telephones save a JPEG under many names, or of DICOM
    under any. Hidden files are none: archives packed on a Mac hold a
    `._name.jpg` for each image.
    """
    if _has_format(path, is_read=True):
        return True
    if not has_image_name(path):
        return is_dicom(path)
    found = format_of_file(path)
    return found is not None and found.is_read


def has_image_name(path: str | os.PathLike[str]) -> bool:
    """Tells by its name whether a file is an image, read here or not."""
    return any(_has_format(path, is_read=is_read) for is_read in (True, False))


def is_dicom(path: str | os.PathLike[str]) -> bool:
    """Tells whether a file is DICOM; many have no ending that says so.

    A file whose name ends as those of another format that is read is not
    opened.
    """
    if not may_be_dicom(path):
        return False
    found = format_of_file(path)
    return found is not None and found.name == DICOM


def may_be_dicom(path: str | os.PathLike[str]) -> bool:
    """Tells by its name whether a file may be DICOM."""
    name = os.path.basename(os.fspath(path))
    if name.startswith(".") or name.upper() == _DICOM_INDEX:
        return False
    ends_as_dicom = name.lower().endswith(_endings_of(DICOM))
    return ends_as_dicom or not _has_format(path, is_read=True)


def held_format(path: str | os.PathLike[str]) -> str:
    """Names the format that a file holds if its name says another, else "".

    JPEG and PNG files are not opened: that one is called as the other is of no
    interest.
    """
    name = os.path.basename(os.fspath(path)).lower()
    if name.endswith(_USUAL_ENDINGS):
        return ""
    named = [known.name for known in FORMATS if name.endswith(known.endings)]
    found = format_of_file(path) if named else None
    return found.name if found and found.name not in named else ""


def stem(path: str | os.PathLike[str]) -> str:
    """Returns a file's name without folder and ending.

    Names of DICOM files are often UIDs, whose last number is no ending.
    """
    name = os.path.basename(os.fspath(path))
    start, ending = os.path.splitext(name)
    return name if ending[1:].isdigit() and is_dicom(path) else start


def _endings_of(name: str) -> tuple[str, ...]:
    return next(known.endings for known in FORMATS if known.name == name)


def unread_reason(path: str | os.PathLike[str]) -> str:
    """Explains why a file that may be an image is not read, or returns "".

    Its format is told by the ending of its name and by its first bytes. Pipes,
    sockets and devices of any name are never opened.
    """
    path = os.fspath(path)
    if os.path.basename(path).startswith("."):
        return ""
    if not files.is_regular(path):
        return f"{path} is not used: it is {files.kind_of(path)}; remove it"
    if is_image(path):
        return ""
    found = format_of_file(path)
    if found and found.name == DICOM:
        return ""
    if found and found.is_read:
        return (
            f"{path} is not used: it holds a {found.name}, but its name does "
            f"not say so; rename it to end in {found.endings[0]}"
        )
    if found or has_image_name(path):
        return (
            f"{path} is not used: only {format_names('and')} are read; save it "
            "as PNG"
        )
    return ""


def _has_format(path: str | os.PathLike[str], *, is_read: bool) -> bool:
    name = os.path.basename(os.fspath(path))
    endings = itertools.chain.from_iterable(
        known.endings for known in FORMATS if known.is_read == is_read
    )
    return not name.startswith(".") and name.lower().endswith(tuple(endings))


def format_of_file(path: str | os.PathLike[str]) -> ImageFormat | None:
    """Finds the format of a file's content; None if it cannot be read."""
    try:
        with files.open_regular(path, "rb") as file:
            return format_of_start(file.read(SIGNATURE_BYTES))
    except OSError:
        return None


def format_of_start(start: bytes) -> ImageFormat | None:
    """Finds the format of a file by its first SIGNATURE_BYTES."""
    for known in FORMATS:
        if known.signature and re.match(known.signature, start, re.DOTALL):
            return known
    return None
