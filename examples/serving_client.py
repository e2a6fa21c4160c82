"""Segments a folder of images on a server: python serving_client.py --help.

Sends JPEG, PNG and BMP files unchanged to TF Serving, by REST (needs only
Python) or gRPC (needs tensorflow-serving-api), and writes a label map for each
and a table of them all. It is one file, so that it can be copied alone. DICOM
files are decoded here, which needs segan-tf[dicom], and sent as PNG.
"""

import argparse
import base64
import contextlib
import csv
import dataclasses
import errno
import http.client
import io
import ipaddress
import json
import math
import os
import pathlib
import queue
import random
import sys
import threading
import time
import unicodedata
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp")
# Files that are expected among images; any other may be one.
NOT_IMAGES = (".csv", ".txt", ".json", ".xml", ".md", ".pdf", ".ini", ".db")
DICOM_MAGIC = (128, b"DICM")  # its place in a file; many have no ending
DICOM_INDEX = "DICOMDIR"  # of a medium, no image
TABLE = "label_maps.csv"
COLUMNS = (
    "image",
    "label",
    "fraction",
    "mean_probability",
    "expected_dice",  # of the image, in the row of each label
    "warning",
)
LOW = 0.7  # Below it a label map is to be checked, as --mode=predict says.
FIRST_SECONDS = 0.5  # the longest wait before the second attempt, ...
MAX_SECONDS = 10.0  # ... and before any
OUTAGE = 3  # images in a row without an answer; the others are not sent
BUSY = (
    http.HTTPStatus.TOO_MANY_REQUESTS,
    http.HTTPStatus.BAD_GATEWAY,
    http.HTTPStatus.SERVICE_UNAVAILABLE,
    http.HTTPStatus.GATEWAY_TIMEOUT,
)
# The largest values of options.
LARGEST = {"timeout": 86_400, "attempts": 1000, "concurrency": 1000}
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
# Spreadsheets run a cell that begins so as a formula.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


@dataclasses.dataclass(frozen=True)
class Answer:
    """A server's answer for one image.

    Attributes:
      label_map: a PNG file of the image's size.
      labels: (name, fraction of the pixels, mean probability there) of each.
      expected_dice: of the label map with the true one; None if the model does
        not know it.
    """

    label_map: bytes
    labels: list[tuple[str, float, float]]
    expected_dice: float | None = None

    @property
    def warning(self) -> str:
        """Why the label map is to be checked; "" for no reason."""
        if self.expected_dice is None:
            return ""
        if not any(fraction for _, fraction, _ in self.labels):
            return "nothing was found"
        if self.expected_dice < LOW:
            return (
                "the outline is doubtful, or this is no image like those that "
                "the model was trained on"
            )
        return ""


class ServerError(Exception):
    """An error of the server, or of the connection to it.

    Attributes:
      is_passing: the same request may succeed a little later.
      is_of_image: another image may succeed.
    """

    def __init__(
        self,
        message: str,
        *,
        is_passing: bool = False,
        is_of_image: bool = False,
    ) -> None:
        super().__init__(message)
        self.is_passing = is_passing
        self.is_of_image = is_of_image


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
        return self.uid or text_of(self.path.name)

    @property
    def shown_as(self) -> str:
        """What messages call it."""
        return self.uid or text_of(self.path)

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


Segment = Callable[[bytes], Answer]


def make_rest_client(server: str, model: str, *, timeout: float) -> Segment:
    """Makes a function that segments an image by REST."""
    name = urllib.parse.quote(model, safe="")
    url = f"http://{server}/v1/models/{name}:predict"
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({} if find_proxy(server) is None else None)
    )

    def segment(image: bytes) -> Answer:
        encoded = base64.b64encode(image).decode()
        body = json.dumps({"instances": [{"b64": encoded}]}).encode()
        try:
            with opener.open(url, body, timeout=timeout) as reply:
                content = reply.read()
        except urllib.error.HTTPError as error:
            raise ServerError(
                f"HTTP {error.code}: {_reason(error)}",
                is_passing=error.code in BUSY,
                is_of_image=error.code == http.HTTPStatus.BAD_REQUEST,
            ) from error
        # No connection, a broken one, or no answer within the time.
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise ServerError(
                f"no answer ({reason}); check that the server runs and that "
                f"--server ({server}) is right",
                is_passing=True,
            ) from error
        return _read_answer(lambda: _parse(content))

    return segment


def find_proxy(server: str) -> str | None:
    """Returns the proxy that the environment names for a server.

    A server on this machine or in a private network needs none, whatever
    http_proxy says.
    """
    host = urllib.parse.urlsplit(f"//{server}").hostname or ""
    try:
        is_near = ipaddress.ip_address(host).is_private
    except ValueError:
        is_near = host == "localhost"
    if is_near or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get("http")


def _parse(content: bytes) -> Answer:
    (outputs,) = json.loads(content)["predictions"]
    return _make_answer(
        base64.b64decode(outputs["label_map_bytes"]["b64"], validate=True),
        outputs["label_names"],
        outputs["label_fractions"],
        outputs["mean_probability"],
        outputs.get("expected_dice"),
    )


def make_grpc_client(server: str, model: str, *, timeout: float) -> Segment:
    """Makes a function that segments an image by gRPC."""
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2
    from tensorflow_serving.apis import prediction_service_pb2_grpc as services

    # gRPC's limit of 4 MiB is not enough for a label map of a large image.
    options = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.enable_http_proxy", int(find_proxy(server) is not None)),
    ]
    stub = services.PredictionServiceStub(
        grpc.insecure_channel(server, options)
    )
    passing = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    bad_image = grpc.StatusCode.INVALID_ARGUMENT

    def read(reply: Any) -> Answer:
        maps, names, fractions, means = (
            tf.make_ndarray(reply[name]).tolist()
            for name in (
                "label_map_bytes",
                "label_names",
                "label_fractions",
                "mean_probability",
            )
        )
        (label_map,) = maps
        names = [name.decode() for name in names[0]]
        expected = None
        if "expected_dice" in reply:
            (expected,) = tf.make_ndarray(reply["expected_dice"]).tolist()
        return _make_answer(label_map, names, fractions[0], means[0], expected)

    def segment(image: bytes) -> Answer:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = model
        request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([image]))
        try:
            reply = stub.Predict(request, timeout=timeout).outputs
        except grpc.RpcError as error:
            raise ServerError(
                f"{error.code().name}: "
                + (error.details() or "").partition("\n")[0],
                is_passing=error.code() in passing,
                is_of_image=error.code() == bad_image,
            ) from error
        return _read_answer(lambda: read(reply))

    return segment


def _read_answer(parse: Callable[[], Answer]) -> Answer:
    """Reads an answer, which may be of another service or another model.

    Raises:
      ServerError: it is.
    """
    try:
        return parse()
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
    ) as error:
        raise ServerError(
            "the answer is none of an exported SegAN model for one image "
            f"({type(error).__name__}: {error}); check --server and --model"
        ) from error


def _make_answer(
    label_map: bytes,
    names: list[str],
    fractions: list[float],
    means: list[float] | float,
    expected: float | None,
) -> Answer:
    # The mean of a single label is no list.
    means = means if isinstance(means, list) else [means]
    if not (label_map.startswith(_PNG) and label_map.endswith(_PNG_END)):
        raise ValueError("label_map_bytes is not a PNG file")
    numbers = [*fractions, *means, *([] if expected is None else [expected])]
    if not all(map(math.isfinite, numbers)):
        raise ValueError("a fraction, probability or Dice is not finite")
    labels = [
        (str(name), float(fraction), float(mean))
        for name, fraction, mean in zip(names, fractions, means, strict=True)
    ]
    return Answer(label_map, labels, expected)


def _reason(error: urllib.error.HTTPError) -> str:
    """Reads TF Serving's message; a proxy in between has another."""
    try:
        text = error.read().decode(errors="replace")
        return json.loads(text)["error"].splitlines()[0]
    except (
        OSError,
        http.client.HTTPException,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
    ):
        return str(error.reason)


def with_retries(segment: Segment, image: bytes, *, attempts: int) -> Answer:
    """Retries failures that pass, after ever longer waits.

    The wait is drawn between a half of FIRST_SECONDS * 2 ** failures and all
    of it: if it were the same for all, clients that failed together would
    return together.

    Raises:
      ServerError: the last attempt failed, or one with an error that stays.
    """
    for failures in range(attempts):
        try:
            return segment(image)
        except ServerError as error:
            if not error.is_passing or failures == attempts - 1:
                raise
        longest = min(FIRST_SECONDS * 2**failures, MAX_SECONDS)
        time.sleep(random.uniform(longest / 2, longest))
    raise ValueError(f"attempts ({attempts}) must be at least 1")


def segment_folder(
    segment: Segment, sources: list[Source], *, options: argparse.Namespace
) -> Iterator[tuple[Source, Answer | Exception]]:
    """Segments images, a few at a time, and continues after one that fails.

    The label map is written before its image is yielded.

    Yields:
      Each image with its answer, or with the error that it failed with; not
      those after an outage.

    Raises:
      OSError: a label map cannot be written, for a reason that the next one
        would meet too.
    """
    waiting = iter(sources)
    done: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def work() -> None:
        for source in waiting:
            try:
                answer = _segment_file(segment, source, options=options)
                done.put((source, answer))
            except Exception as error:  # raised or shown by the main thread
                done.put((source, error))
                if not _is_of_one_image(error):
                    return

    # Daemons, so that nothing waits for an answer after Ctrl+C.
    for _ in range(min(options.concurrency, len(sources))):
        threading.Thread(target=work, daemon=True).start()
    unanswered, left = 0, len(sources)
    while left:
        source, result = done.get()
        left -= 1
        if isinstance(result, Exception) and not _is_of_one_image(result):
            raise result
        yield source, result
        is_missing = isinstance(result, ServerError) and not result.is_of_image
        unanswered = unanswered + 1 if is_missing else 0
        if unanswered >= OUTAGE:
            left -= len(list(waiting))


def _segment_file(
    segment: Segment, source: Source, *, options: argparse.Namespace
) -> Answer:
    answer = with_retries(segment, source.read(), attempts=options.attempts)
    # A reader finds a whole file or none.
    temporary = options.output_dir / f".{uuid.uuid4().hex}.tmp"
    try:
        temporary.write_bytes(answer.label_map)
        temporary.replace(options.output_dir / f"{source.stem}_label_map.png")
    finally:
        temporary.unlink(missing_ok=True)
    return answer


def _is_of_one_image(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENAMETOOLONG
    return isinstance(error, ServerError | ImageError | MemoryError)


def add_rows(table: pathlib.Path, image: str, answer: Answer) -> None:
    """Adds a row for each label to a table."""
    with open(table, "a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        if not file.tell():
            writer.writerow(COLUMNS)
        dice = answer.expected_dice
        of_image = ("" if dice is None else f"{dice:.4f}", answer.warning)
        for name, fraction, mean in answer.labels:
            cells = (_as_text(image), _as_text(name))
            numbers = (f"{fraction:.6f}", f"{mean:.6f}")
            writer.writerow((*cells, *numbers, *of_image))


def keep_earlier(table: pathlib.Path) -> None:
    """Gives the table of an earlier run another name."""
    number, kept = 1, table
    while kept.exists():
        kept = table.with_stem(f"{table.stem}_{number}")
        number += 1
    if kept != table:
        table.rename(kept)
        say(f"note: {text_of(table)} of an earlier run is now {kept.name}")


def _as_text(cell: str) -> str:
    """Keeps a spreadsheet from taking a cell for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULAS) else cell


def text_of(path: str | os.PathLike[str]) -> str:
    """Returns a path as UTF-8, whatever the locale is."""
    return os.fsencode(path).decode(errors="backslashreplace")


def printable(line: str) -> str:
    """Escapes what a terminal would act on."""
    return "".join(
        char if char.isprintable() else ascii(char)[1:-1] for char in line
    )


def say(line: str) -> None:
    """Prints a line on stderr."""
    print(printable(line), file=sys.stderr, flush=True)


def fail(line: str) -> NoReturn:
    """Ends the program with a line on stderr."""
    sys.exit(printable(f"error: {line}"))


def find_images(
    folder: pathlib.Path, output_dir: pathlib.Path
) -> tuple[list[Source], list[str]]:
    """Lists a folder's images; exits with one line if it cannot be used.

    Hidden files, such as the `._name.jpg` of archives from a Mac, are none.

    Returns:
      The images, and for what else may hold some a line that says why it is
      not sent.
    """
    if not folder.is_dir():
        fail(f"{text_of(folder)} is not a folder; check the path")
    if output_dir.exists() and output_dir.samefile(folder):
        fail(
            f"{text_of(output_dir)} is the folder of the images; give "
            "another for the label maps"
        )
    sources, unsent = [], []
    uids: set[str] = set()
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.upper() == DICOM_INDEX:
            continue
        if path.is_file() and path.suffix.lower() in ENDINGS:
            sources.append(Source(path))
        elif is_dicom(path):
            uid, reason = _read_uid(path)
            if uid in uids:
                reason = "another file has its SOP instance UID"
            if reason:
                unsent.append(f"{uid or text_of(path)}: {reason}")
            else:
                uids.add(uid)
                sources.append(Source(path, uid))
        elif reason := _unsent_reason(path, output_dir):
            unsent.append(f"{text_of(path)}: {reason}")
    if not sources:
        more = f" ({len(unsent)} not sent: {unsent[0]})" if unsent else ""
        fail(
            f"{text_of(folder)} has no {', '.join(ENDINGS)} or DICOM file"
            f"{more}; give another folder"
        )
    _check_distinct(sources)
    return sources, unsent


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
            fail(
                f"{other.shown_as} and {source.name} would write one label "
                "map; rename one"
            )


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("folder", help="of JPEG, PNG, BMP and DICOM images")
    add("output_dir", help="for label maps and a table")
    add("--protocol", choices=("rest", "grpc"), default="rest")
    add("--server", help="host:port; default localhost, 8501 or 8500 for grpc")
    add("--model", default="segan", help="its name on the server")
    add("--timeout", type=float, default=30.0, help="seconds per attempt")
    add("--attempts", type=int, default=10, help="per image")
    add("--concurrency", type=int, default=4, help="images in flight")
    options = parser.parse_args(argv)
    if options.server is None:
        port = {"rest": 8501, "grpc": 8500}[options.protocol]
        options.server = f"localhost:{port}"
    for name in ("folder", "output_dir", "model"):
        if not getattr(options, name):
            parser.error(f"{name} is empty; is a shell variable unset?")
    for name, largest in LARGEST.items():
        if not 0 < getattr(options, name) <= largest:
            parser.error(f"--{name} must be above 0 and at most {largest}")
    if not _is_address(options.server):
        parser.error(
            f"--server ({options.server}) must be host:port, without http://"
        )
    options.folder = pathlib.Path(options.folder)
    options.output_dir = pathlib.Path(options.output_dir)
    return options


def _is_address(server: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(f"//{server}")
        return bool(parts.hostname and parts.port) and parts.netloc == server
    except ValueError:
        return False


def make_client(options: argparse.Namespace) -> Segment:
    """Makes the function that segments an image; says which proxy it uses."""
    if proxy := find_proxy(options.server):
        say(
            f"note: images are sent through the proxy {proxy} of http_proxy; "
            "to send them directly, add the server to no_proxy"
        )
    make = make_grpc_client if options.protocol == "grpc" else make_rest_client
    try:
        return make(options.server, options.model, timeout=options.timeout)
    except ImportError as error:
        fail(
            f"--protocol=grpc needs {error.name}; install "
            "tensorflow-serving-api, or use --protocol=rest"
        )


def run(options: argparse.Namespace) -> int:
    """Segments the folder; returns 1 if an image has no label map."""
    sources, unsent = find_images(options.folder, options.output_dir)
    for line in unsent:
        say(f"not sent: {line}")
    segment = make_client(options)
    options.output_dir.mkdir(parents=True, exist_ok=True)
    table = options.output_dir / TABLE
    num_failed, num_written = 0, 0
    try:
        answers = segment_folder(segment, sources, options=options)
        for source, result in answers:
            if isinstance(result, Exception):
                num_failed += 1
                say(f"failed: {source.shown_as}: {result}")
                continue
            if not num_written:
                keep_earlier(table)
            add_rows(table, source.name, result)
            num_written += 1
            if result.warning:
                dice = f"expected Dice {result.expected_dice:.2f}"
                say(f"warning: {source.name}: {result.warning} ({dice})")
    finally:
        more = f"; {len(unsent)} files not sent" if unsent else ""
        print(f"{num_written} of {len(sources)} label maps written{more}")
    if num_left := len(sources) - num_written - num_failed:
        say(
            f"error: {OUTAGE} images in a row got no label map, so {num_left} "
            f"more were not sent; is the exported model {options.model} "
            f"(--model) served at {options.server} (--server)? Start the "
            "server and run the command again"
        )
    return 1 if unsent or num_written < len(sources) else 0


def main(argv: list[str] | None = None) -> int:
    """Runs the client; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return run(parse(argv))
    except KeyboardInterrupt:
        say("error: stopped by Ctrl+C; the files that were written are whole")
        return 130
    except OSError as error:
        where = text_of(error.filename or "the output")
        say(
            f"error: {where}: {error.strerror}; check the path, its "
            "permissions and the free space"
        )
        return 1


if __name__ == "__main__":
    sys.exit(main())
