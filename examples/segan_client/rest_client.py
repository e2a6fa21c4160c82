"""Asks TF Serving by REST, with Python alone."""

import argparse
import base64
import http.client
import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request

from . import answers, connection

BUSY = (
    http.HTTPStatus.TOO_MANY_REQUESTS,
    http.HTTPStatus.BAD_GATEWAY,
    http.HTTPStatus.SERVICE_UNAVAILABLE,
    http.HTTPStatus.GATEWAY_TIMEOUT,
)
# A proxy says that an image is too large.
OF_IMAGE = (
    http.HTTPStatus.BAD_REQUEST,
    http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
)


def make(options: argparse.Namespace) -> answers.Segment:
    """Makes a function that segments an image by REST."""
    password = os.environ.get(connection.PASSWORD)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler(
            {} if connection.find_proxy(options) is None else None
        )
    )

    def segment(image: bytes) -> answers.Answer:
        encoded = base64.b64encode(image).decode()
        body = json.dumps({"instances": [{"b64": encoded}]}).encode()
        try:
            request = urllib.request.Request(_url(options), body)
            if password:  # for this server only, wherever it redirects to
                request.add_unredirected_header("Authorization", password)
            with opener.open(request, timeout=options.timeout) as reply:
                content = reply.read()
        except urllib.error.HTTPError as error:
            raise answers.ServerError(
                f"HTTP {error.code}: {_reason(error)}",
                is_passing=error.code in BUSY,
                is_of_image=error.code in OF_IMAGE,
            ) from error
        # No connection, a broken one, or no answer within the time.
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise answers.ServerError(
                f"no answer ({reason}); check that the server runs and that "
                f"--server ({options.server}) is right",
                is_passing=not isinstance(
                    getattr(error, "reason", None), ssl.SSLCertVerificationError
                ),
            ) from error
        return answers.read_answer(lambda: _parse(content), content)

    return segment


def _url(options: argparse.Namespace) -> str:
    scheme = "https" if options.tls else "http"
    name = urllib.parse.quote(options.model, safe="")
    if options.version_label:
        label = urllib.parse.quote(options.version_label, safe="")
        name += f"/labels/{label}"
    return f"{scheme}://{options.server}/v1/models/{name}:predict"


def _parse(content: bytes) -> answers.Answer:
    (outputs,) = json.loads(content)["predictions"]
    answers.check_image(outputs.get("error", ""))
    return answers.make_answer(
        base64.b64decode(outputs["label_map_bytes"]["b64"], validate=True),
        outputs["label_names"],
        outputs["label_fractions"],
        outputs["mean_probability"],
        outputs.get("expected_dice"),
    )


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
