"""Asks TF Serving by gRPC, with grpcio and no TensorFlow."""

import argparse
import os
import pathlib
from collections.abc import Callable
from typing import Any

import grpc

from . import answers, connection, messages

BUSY = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED")
_METHOD = "/tensorflow.serving.PredictionService/Predict"


def make(options: argparse.Namespace) -> answers.Segment:
    """Makes a function that segments an image by gRPC."""
    predict = make_predict(
        options.server,
        timeout=options.timeout,
        uses_tls=options.tls,
        uses_proxy=connection.find_proxy(options) is not None,
        authorization=os.environ.get(connection.PASSWORD),
    )

    def segment(image: bytes) -> answers.Answer:
        request = messages.encode_request(
            options.model, options.version_label, image
        )
        try:
            content = predict(request)
        except grpc.RpcError as error:
            code = error.code().name
            raise answers.ServerError(
                f"{code}: " + (error.details() or "").partition("\n")[0],
                is_passing=code in BUSY,
                is_of_image=code == "INVALID_ARGUMENT",
            ) from error
        return answers.read_answer(lambda: _parse(content), content)

    return segment


def make_predict(
    server: str,
    *,
    timeout: float,
    uses_tls: bool,
    uses_proxy: bool,
    authorization: str | None,
) -> Callable[[bytes], bytes]:
    """Makes a function from a request to the answer; raises grpc.RpcError."""
    # gRPC's limit of 4 MiB is not enough for a label map of a large image.
    options = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.enable_http_proxy", int(uses_proxy)),
    ]
    if uses_tls:
        # The variable by which Python's own TLS, for REST, is told.
        path = os.environ.get("SSL_CERT_FILE")
        roots = pathlib.Path(path).read_bytes() if path else None
        credentials = grpc.ssl_channel_credentials(roots)
        channel = grpc.secure_channel(server, credentials, options)
    else:
        channel = grpc.insecure_channel(server, options)
    predict = channel.unary_unary(_METHOD)
    metadata = [("authorization", authorization)] if authorization else []
    return lambda request: predict(request, timeout=timeout, metadata=metadata)


def _parse(content: bytes) -> answers.Answer:
    outputs: dict[str, Any] = messages.decode_response(content)
    (error,) = outputs.get("error", [b""])
    answers.check_image(error.decode())
    (label_map,) = outputs["label_map_bytes"]
    (expected,) = outputs.get("expected_dice", [None])
    return answers.make_answer(
        label_map,
        [name.decode() for name in outputs["label_names"]],
        outputs["label_fractions"],
        outputs["mean_probability"],
        expected,
    )
