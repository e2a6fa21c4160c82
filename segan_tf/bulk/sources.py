"""Finds the images of a pipeline, with the ids that predict gives them."""

import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.io import fileio

from segan_tf.bulk import storage
from segan_tf.errors import UserError
from segan_tf.imaging import formats, images
from segan_tf.inference.prediction_inputs import Source

FAILURES = "failures"


class Failure(NamedTuple):
    """A file that is not predicted.

    Attributes:
      key: decides to which table it belongs.
      shown_as: what tables and messages call the file.
      reason: why it is not predicted.
    """

    key: str
    shown_as: str
    reason: str


class ReadList(beam.PTransform):
    """Reads the paths of a list, one in each line."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._folder = os.getcwd()

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        """Adds the steps."""
        return (
            pipeline
            | beam.io.ReadFromText(self._path)
            | beam.FlatMap(clean_line, self._folder)
        )


def clean_line(line: str, folder: str) -> Iterator[str]:
    """Yields the path in a line of a list, from a folder; none if blank."""
    path = line.removeprefix("\ufeff").rstrip("\r\n")
    if path.strip():
        local = storage.is_local(path)
        yield os.path.normpath(os.path.join(folder, path)) if local else path


class MatchImages(beam.PTransform):
    """Lists the files that patterns match, except hidden and own ones."""

    def __init__(
        self, patterns: Iterable[str], *, root: str, output_dir: str
    ) -> None:
        super().__init__()
        self._patterns = list(patterns)
        self._root = root
        self._output_dir = output_dir

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        """Adds the steps."""
        return (
            pipeline
            | beam.Create(self._patterns)
            | fileio.MatchAll()
            | beam.Map(lambda found: escape_bytes(found.path))
            | beam.Filter(is_searched, self._root, self._output_dir)
        )


def escape_bytes(path: str) -> str:
    """Escapes what is not UTF-8, which Beam cannot pass between workers.

    Such a file is then not found, and named in the table of failures.
    """
    return path.encode("utf-8", "surrogateescape").decode(
        "utf-8", "backslashreplace"
    )


def is_searched(path: str, root: str, output_dir: str) -> bool:
    """Tells whether a file is neither hidden nor in the output."""
    inside = path[len(root) :].split("/")
    is_hidden = any(name.startswith(".") for name in inside)
    return not is_hidden and not path.startswith(f"{output_dir}/")


class FindImage(beam.DoFn):
    """Maps paths to (id, Source), and to failures."""

    def __init__(self, *, root: str, is_listed: bool) -> None:
        self._root = root
        self._is_listed = is_listed  # such a file is an image, or a failure

    def process(self, path: str) -> Iterator[Any]:
        """Looks into files whose names do not say what they are."""
        inside = path[len(self._root) + 1 :]
        is_dicom, reason = False, ""
        try:
            if formats.may_be_dicom(path) or not formats.is_image(path):
                is_dicom, reason = self._look_into(path)
            if is_dicom:
                with storage.local_copy(path) as copy:
                    name = images.image_id(copy)
            else:
                name = os.path.splitext(inside)[0]
        except UserError as error:
            reason = str(error)
        if reason:
            failure = Failure(path, path, reason)
            yield pvalue.TaggedOutput(FAILURES, failure)
        elif is_dicom or self._is_listed or formats.is_image(path):
            yield name, Source(name, path, is_dicom)

    def _look_into(self, path: str) -> tuple[bool, str]:
        """Tells whether a file is DICOM, and why it is not read."""
        with storage.local_copy(path, size=formats.SIGNATURE_BYTES) as start:
            if formats.is_dicom(start):
                return True, ""
            if self._is_listed:
                return False, ""
            reason = formats.unread_reason(start)
            return False, reason.replace(start, path)


class TakeOne(beam.DoFn):
    """Maps ids with their sources to one source each, and to failures."""

    def process(self, element: tuple[str, Iterable[Source]]) -> Iterator[Any]:
        """Takes the first of several copies of a DICOM image, or none."""
        name, found = element
        sources = sorted(set(found))
        if len(sources) == 1:
            yield sources[0]
            return
        if all(source.is_dicom for source in sources):
            yield sources[0]
            for number in range(1, len(sources)):
                copy = f"{name}, copy {number}"
                reason = (
                    f"{name} is in several files, of which the first is used; "
                    "remove the others"
                )
                yield pvalue.TaggedOutput(FAILURES, Failure(copy, copy, reason))
            return
        shown = " and ".join(source.shown_as for source in sources)
        for source in sources:
            reason = f"{shown} would write the same files; rename one"
            yield pvalue.TaggedOutput(
                FAILURES, Failure(name, source.shown_as, reason)
            )
