"""Segments a folder of images on a server: python serving_client.py --help.

Sends JPEG, PNG and BMP files unchanged to TF Serving, by REST (needs only
Python) or gRPC (needs tensorflow-serving-api), and writes a label map for each
and a table of them all.
"""

import argparse
import base64
import collections
import csv
import dataclasses
import http.client
import json
import pathlib
import random
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent import futures

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp")
COLUMNS = ("image", "label", "fraction", "mean_probability")
FIRST_SECONDS = 0.5  # the longest wait before the second attempt, ...
MAX_SECONDS = 10.0  # ... and before any


@dataclasses.dataclass(frozen=True)
class Answer:
    """A server's answer for one image.

    Attributes:
      label_map: a PNG file of the image's size.
      labels: (name, fraction of the pixels, mean probability there) of each.
    """

    label_map: bytes
    labels: list[tuple[str, float, float]]


class ServerError(Exception):
    """An error of the server, or of the connection to it.

    Attributes:
      is_passing: the same request may succeed a little later.
    """

    def __init__(self, message: str, *, is_passing: bool) -> None:
        super().__init__(message)
        self.is_passing = is_passing


Segment = Callable[[bytes], Answer]


def make_rest_client(server: str, model: str, *, timeout: float) -> Segment:
    """Makes a function that segments an image by REST."""
    url = f"http://{server}/v1/models/{model}:predict"

    def segment(image: bytes) -> Answer:
        encoded = base64.b64encode(image).decode()
        body = json.dumps({"instances": [{"b64": encoded}]}).encode()
        try:
            with urllib.request.urlopen(url, body, timeout=timeout) as reply:
                (outputs,) = json.load(reply)["predictions"]
        except urllib.error.HTTPError as error:
            raise ServerError(
                f"HTTP {error.code}: {_reason(error)}",
                is_passing=error.code
                in (
                    http.HTTPStatus.SERVICE_UNAVAILABLE,
                    http.HTTPStatus.GATEWAY_TIMEOUT,
                ),
            ) from error
        # No connection, a broken one, or no answer within the time.
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(
                str(error) or type(error).__name__, is_passing=True
            ) from error
        return _make_answer(
            base64.b64decode(outputs["label_map_bytes"]["b64"]),
            outputs["label_names"],
            outputs["label_fractions"],
            outputs["mean_probability"],
        )

    return segment


def make_grpc_client(server: str, model: str, *, timeout: float) -> Segment:
    """Makes a function that segments an image by gRPC."""
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2
    from tensorflow_serving.apis import prediction_service_pb2_grpc as services

    # gRPC's limit of 4 MiB is not enough for a label map of a large image.
    options = [("grpc.max_receive_message_length", -1)]
    stub = services.PredictionServiceStub(
        grpc.insecure_channel(server, options)
    )
    passing = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)

    def segment(image: bytes) -> Answer:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = model
        request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([image]))
        try:
            reply = stub.Predict(request, timeout=timeout).outputs
        except grpc.RpcError as error:
            raise ServerError(
                f"{error.code().name}: {error.details().splitlines()[0]}",
                is_passing=error.code() in passing,
            ) from error
        outputs = {
            name: tf.make_ndarray(value) for name, value in reply.items()
        }
        return _make_answer(
            outputs["label_map_bytes"][0],
            [name.decode() for name in outputs["label_names"][0]],
            outputs["label_fractions"][0].tolist(),
            outputs["mean_probability"][0].tolist(),
        )

    return segment


def _make_answer(
    label_map: bytes,
    names: list[str],
    fractions: list[float],
    means: list[float] | float,
) -> Answer:
    # The mean of a single label is no list.
    means = means if isinstance(means, list) else [means]
    return Answer(label_map, list(zip(names, fractions, means, strict=True)))


def _reason(error: urllib.error.HTTPError) -> str:
    """Reads TF Serving's message; a proxy in between has another."""
    text = error.read().decode(errors="replace")
    try:
        return json.loads(text)["error"].splitlines()[0]
    except (ValueError, LookupError, TypeError, AttributeError):
        return error.reason


def with_retries(segment: Segment, image: bytes, *, attempts: int) -> Answer:
    """Retries failures that pass, after ever longer waits.

    The wait is drawn between 0 and FIRST_SECONDS * 2 ** failures: if it were
    the same for all, clients that failed together would return together.

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
        time.sleep(random.uniform(0, longest))
    raise ValueError(f"attempts ({attempts}) must be at least 1")


def segment_folder(
    segment: Segment, paths: list[pathlib.Path], *, options: argparse.Namespace
) -> int:
    """Segments images, a few at a time, and continues after one that fails.

    Returns:
      How many failed; each is named on stderr.
    """

    def run(path: pathlib.Path) -> list[tuple[str, float, float]]:
        answer = with_retries(
            segment, path.read_bytes(), attempts=options.attempts
        )
        name = f"{path.stem}_label_map.png"
        (options.output_dir / name).write_bytes(answer.label_map)
        return answer.labels

    num_failed = 0
    options.output_dir.mkdir(parents=True, exist_ok=True)
    with (
        open(options.output_dir / "label_maps.csv", "w", newline="") as file,
        futures.ThreadPoolExecutor(options.concurrency) as pool,
    ):
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for path, running in [(path, pool.submit(run, path)) for path in paths]:
            try:
                labels = running.result()
            except (ServerError, OSError) as error:
                num_failed += 1
                print(f"failed: {path}: {error}", file=sys.stderr)
                continue
            for name, fraction, mean in labels:
                table.writerow(
                    (path.name, name, f"{fraction:.6f}", f"{mean:.6f}")
                )
    return num_failed


def find_images(folder: pathlib.Path) -> list[pathlib.Path]:
    """Lists a folder's images; exits with one line if it cannot be used."""
    if not folder.is_dir():
        sys.exit(f"error: {folder} is not a folder")
    paths = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in ENDINGS
    )
    if not paths:
        sys.exit(f"error: {folder} has no {', '.join(ENDINGS)} file")
    stems = collections.Counter(path.stem for path in paths)
    for stem, count in stems.items():
        if count > 1:
            sys.exit(
                f"error: {folder} has {count} images called {stem}, which "
                "would write one label map; rename them"
            )
    return paths


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("folder", type=pathlib.Path, help="of JPEG, PNG and BMP images")
    add("output_dir", type=pathlib.Path, help="for label maps and a table")
    add("--protocol", choices=("rest", "grpc"), default="rest")
    add("--server", help="host:port; default localhost, 8501 or 8500 for grpc")
    add("--model", default="segan", help="its name on the server")
    add("--timeout", type=float, default=30.0, help="seconds per attempt")
    add("--attempts", type=int, default=5, help="per image")
    add("--concurrency", type=int, default=4, help="images in flight")
    options = parser.parse_args(argv)
    for name in ("timeout", "attempts", "concurrency"):
        if getattr(options, name) <= 0:
            parser.error(f"--{name} must be above 0")
    return options


def main(argv: list[str] | None = None) -> int:
    """Runs the client; returns 1 if an image failed."""
    options = parse(argv)
    paths = find_images(options.folder)
    if options.protocol == "grpc":
        make, port = make_grpc_client, 8500
    else:
        make, port = make_rest_client, 8501
    server = options.server or f"localhost:{port}"
    segment = make(server, options.model, timeout=options.timeout)
    num_failed = segment_folder(segment, paths, options=options)
    print(f"{len(paths) - num_failed} of {len(paths)} label maps written")
    return 1 if num_failed else 0


if __name__ == "__main__":
    sys.exit(main())
