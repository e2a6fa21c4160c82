"""The images of a folder, as they are sent."""

import contextlib
import dataclasses
import os
import pathlib
import unicodedata

from . import printing

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp")
# Files that are expected among images; any other may be one.
NOT_IMAGES = (".csv", ".txt", ".json", ".xml", ".md", ".pdf", ".ini", ".db")
DICOM_MAGIC = (128, b"DICM")  # its place in a file; many have no ending
DICOM_INDEX = "DICOMDIR"  # of a medium, no image


class ImageError(Exception):
    """An image that cannot be read."""


@dataclasses.dataclass(frozen=True)
class Source:
    """An image to send.

    Attributes:
      path: of the file.
      uid: its SOP instance UID, if it is DICOM. It is then called so, since
        the file may have the name of a patient.
    """

    path: pathlib.Path
    uid: str = ""

    @property
    def stem(self) -> str:
        """What its label map is named after."""
        return self.uid or self.path.stem

    @property
    def name(self) -> str:
        """What the table calls it."""
        return self.uid or printing.text_of(self.path.name)

    @property
    def shown_as(self) -> str:
        """What messages call it."""
        return self.uid or printing.text_of(self.path)

    def read(self) -> bytes:
        """Returns a file that the server reads.

        Raises:
          ImageError: it cannot be read.
        """
        if not self.uid:
            try:
                return self.path.read_bytes()
            except OSError as error:
                raise ImageError(error.strerror) from error
        from segan_tf import errors
        from segan_tf.imaging import images

        try:
            return images.encode_png(images.read_image(self.path))
        except errors.UserError as error:
            reason = str(error).replace(str(self.path), "it")
            raise ImageError(reason) from error


def find_images(
    folder: pathlib.Path, output_dir: pathlib.Path
) -> tuple[list[Source], list[str]]:
    """Lists a folder's images; exits with one line if it cannot be used.

    Hidden files, such as the `._name.jpg` of archives from a Mac, are none;
    those with the ending of an image are named in a note.

    Returns:
      The images, and for what else may hold some a line that says why it is
      not sent.
    """
    _check_folders(folder, output_dir)
    paths = sorted(folder.iterdir())
    _note_hidden(paths)
    sources, unsent = [], []
    uids: set[str] = set()
    for path in paths:
        if path.name.startswith(".") or path.name.upper() == DICOM_INDEX:
            continue
        if path.is_file() and path.suffix.lower() in ENDINGS:
            sources.append(Source(path))
        elif is_dicom(path):
            uid, reason = _read_uid(path)
            if uid in uids:
                reason = "another file has its SOP instance UID"
            if reason:
                unsent.append(f"{uid or printing.text_of(path)}: {reason}")
            else:
                uids.add(uid)
                sources.append(Source(path, uid))
        elif reason := _unsent_reason(path, output_dir):
            unsent.append(f"{printing.text_of(path)}: {reason}")
    if not sources:
        more = f" ({len(unsent)} not sent: {unsent[0]})" if unsent else ""
        printing.fail(
            f"{printing.text_of(folder)} has no {', '.join(ENDINGS)} or DICOM "
            f"file{more}; give another folder"
        )
    _check_distinct(sources)
    return sources, unsent


def _check_folders(folder: pathlib.Path, output_dir: pathlib.Path) -> None:
    if not folder.is_dir():
        printing.fail(
            f"{printing.text_of(folder)} is not a folder; check the path"
        )
    if output_dir.exists() and output_dir.samefile(folder):
        printing.fail(
            f"{printing.text_of(output_dir)} is the folder of the images; give "
            "another for the label maps"
        )


def _note_hidden(paths: list[pathlib.Path]) -> None:
    hidden = [
        printing.text_of(path.name)
        for path in paths
        if path.name.startswith(".") and path.suffix.lower() in ENDINGS
    ]
    if hidden:
        more = f" and {len(hidden) - 3} more" if len(hidden) > 3 else ""
        printing.say(
            f"note: hidden files are not sent: {', '.join(hidden[:3])}{more}"
        )


def is_dicom(path: pathlib.Path) -> bool:
    """Tells by its content whether a file is DICOM."""
    if not path.is_file():
        return False
    place, magic = DICOM_MAGIC
    with contextlib.suppress(OSError), open(path, "rb") as file:
        file.seek(place)
        return file.read(len(magic)) == magic
    return False


def _read_uid(path: pathlib.Path) -> tuple[str, str]:
    """Returns the SOP instance UID of a DICOM file, or why it is not sent."""
    try:
        from segan_tf import errors
        from segan_tf.imaging import images
    except ImportError:
        return "", (
            "DICOM is decoded by segan-tf, which is missing; install it with "
            "python -m pip install 'segan-tf[dicom]'"
        )
    try:
        return images.image_id(path), ""
    except errors.UserError as error:
        return "", str(error).replace(str(path), "it")


def _unsent_reason(path: pathlib.Path, output_dir: pathlib.Path) -> str:
    if path.is_dir():
        is_output = output_dir.exists() and output_dir.samefile(path)
        names = (
            [] if is_output else [name for *_, n in os.walk(path) for name in n]
        )
        if any(name.lower().endswith(ENDINGS) for name in names):
            return "folders are not searched; give it as a folder of its own"
        return ""
    if not path.exists():
        return "it is a broken link"
    if not path.is_file():
        return "it is not a file"
    if path.suffix.lower() in NOT_IMAGES:
        return ""
    return f"only {', '.join(ENDINGS)} files are sent; save it as PNG"


def _check_distinct(sources: list[Source]) -> None:
    """Checks that no two images write one label map, on any file system."""
    by_name: dict[str, Source] = {}
    for source in sources:
        name = unicodedata.normalize("NFC", source.stem).casefold()
        other = by_name.setdefault(name, source)
        if other != source:
            printing.fail(
                f"{other.shown_as} and {source.name} would write one label "
                "map; rename one"
            )
