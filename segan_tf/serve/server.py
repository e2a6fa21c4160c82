"""A small server with TF Serving's REST protocol, for this machine only.

It answers what clients of label maps ask: one version of one model, the
signature `serving_default` and those of styles, by `instances`. TF Serving's
batching, metrics, TLS and speed are not here.
"""

import base64
import binascii
import contextlib
import errno
import json
import os
import re
import threading
from collections.abc import Mapping
from http import HTTPStatus, server
from typing import Any

import numpy as np
import tensorflow as tf

from segan_tf import files
from segan_tf.config import UserError
from segan_tf.inference import saved_model_check, signatures

NAME = "segan"  # the model's, as in deploy/tf_serving/models.config
_PATH = re.compile(
    rf"/v1/models/{NAME}(?:/versions/(?P<version>\d+)|/labels/(?:stable|canary))?"
    r"(?P<verb>:predict)?"
)
_MAX_BODY = 64 * 1024 * 1024  # as in deploy/tf_serving/nginx.conf
_AT_ONCE = 4  # as --rest_api_num_threads in deploy/tf_serving
_IDLE_SECONDS = 60


class RequestError(Exception):
    """A request that is not answered.

    Attributes:
      status: of HTTP.
    """

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class Model:
    """A SavedModel, as requests use it.

    Attributes:
      version: the number that its folder is named by.
    """

    def __init__(self, path: str) -> None:
        """Loads the model.

        Raises:
          UserError: it is damaged, or it has other operators than an export.
        """
        saved_model_check.check_operators(path)
        try:
            self._loaded = tf.saved_model.load(files.without_patterns(path))
        # A damaged file may raise anything.
        except Exception as error:
            raise UserError(
                f"{path} cannot be loaded as a SavedModel ({error}); export it "
                "again."
            ) from error
        self.version = int(os.path.basename(path))
        self._gate = threading.BoundedSemaphore(_AT_ONCE)

    def predict(self, request: object) -> dict[str, Any]:
        """Answers the JSON of a request.

        Raises:
          RequestError: it is none of TF Serving's, or of another kind than
            this server answers.
        """
        if not isinstance(request, Mapping) or "instances" not in request:
            raise RequestError(
                HTTPStatus.BAD_REQUEST,
                "Missing 'instances' key; this server has no other",
            )
        name = request.get("signature_name", signatures.DEFAULT)
        known = [
            key
            for key, signature in self._loaded.signatures.items()
            if signatures.IMAGE_BYTES in signature.structured_input_signature[1]
        ]
        if name not in known:
            raise RequestError(
                HTTPStatus.BAD_REQUEST,
                f'Serving signature key "{name}" not found; this server has '
                f"{', '.join(known)}",
            )
        images = [_read_image(one) for one in _rows(request["instances"])]
        with self._gate:
            outputs = self._loaded.signatures[name](
                **{signatures.IMAGE_BYTES: tf.constant(images, tf.string)}
            )
        columns = {key: _to_json(key, outputs[key]) for key in outputs}
        rows = zip(*columns.values(), strict=True)
        return {
            "predictions": [
                dict(zip(columns, row, strict=True)) for row in rows
            ]
        }

    def status(self) -> dict[str, Any]:
        """Says that the version is there."""
        return {
            "model_version_status": [
                {
                    "version": str(self.version),
                    "state": "AVAILABLE",
                    "status": {"error_code": "OK", "error_message": ""},
                }
            ]
        }


def start(path: str, port: int) -> server.ThreadingHTTPServer:
    """Loads a SavedModel and opens a port of this machine.

    Args:
      path: `.../<version>`.
      port: 0 for any that is free.

    Raises:
      UserError: the model cannot be loaded, or the port is taken.
    """
    handler = type("Handler", (_Handler,), {"model": Model(path)})
    try:
        return server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise UserError(
            f"--port ({port}) cannot be opened ({error.strerror}); give "
            "another."
        ) from error


class _Handler(server.BaseHTTPRequestHandler):
    model: Model
    timeout = _IDLE_SECONDS

    def log_message(self, *_: object) -> None:
        """Logs nothing: clients say what fails."""

    def do_GET(self) -> None:
        """Answers the status."""
        self._answer(verb=None)

    def do_POST(self) -> None:
        """Answers images."""
        self._answer(verb=":predict")

    def _answer(self, verb: str | None) -> None:
        try:
            self._check_path(verb)
            status = HTTPStatus.OK
            answer = (
                self.model.predict(self._read())
                if verb
                else self.model.status()
            )
        except RequestError as error:
            status, answer = error.status, {"error": str(error)}
        content = json.dumps(answer).encode()
        # A client whose deadline has passed is gone.
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def _check_path(self, verb: str | None) -> None:
        match = _PATH.fullmatch(self.path)
        if not match or match["verb"] != verb:
            raise RequestError(
                HTTPStatus.NOT_FOUND,
                f"{self.command} {self.path} is not served; "
                f"/v1/models/{NAME} and /v1/models/{NAME}:predict are",
            )
        version = match["version"]
        if version and int(version) != self.model.version:
            raise RequestError(
                HTTPStatus.NOT_FOUND,
                f"version {version} is not served, {self.model.version} is",
            )

    def _read(self) -> object:
        length = self.headers["Content-Length"] or ""
        if not length.isdecimal():
            raise RequestError(
                HTTPStatus.LENGTH_REQUIRED, "Content-Length is missing"
            )
        if int(length) > _MAX_BODY:
            raise RequestError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the request has more than {_MAX_BODY:,} bytes",
            )
        try:
            return json.loads(self.rfile.read(int(length)))
        except (OSError, ValueError, RecursionError) as error:
            raise RequestError(
                HTTPStatus.BAD_REQUEST, f"JSON Parse error: {error}"
            ) from error


def _rows(instances: object) -> list[object]:
    if not isinstance(instances, list) or not instances:
        raise RequestError(
            HTTPStatus.BAD_REQUEST,
            "'instances' must be a list that is not empty",
        )
    return instances


def _read_image(instance: Any) -> bytes:
    """Decodes {"b64": ...}, alone or as the row's `image_bytes`."""
    try:
        if signatures.IMAGE_BYTES in instance:
            instance = instance[signatures.IMAGE_BYTES]
        return base64.b64decode(instance["b64"], validate=True)
    except (TypeError, KeyError, ValueError, binascii.Error) as error:
        raise RequestError(
            HTTPStatus.BAD_REQUEST,
            f'Failed to process element: it must be {{"b64": "..."}} ({error})',
        ) from error


def _to_json(name: str, tensor: tf.Tensor) -> list[Any]:
    """Makes a list of a tensor; of an output named `..._bytes` in base64."""
    value = tensor.numpy()
    if value.dtype != object:
        return value.tolist()
    if name.endswith("_bytes"):
        return [{"b64": base64.b64encode(one).decode()} for one in value]
    return np.vectorize(bytes.decode, otypes=[object])(value).tolist()
