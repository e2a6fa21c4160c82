"""A contract server: TF Serving's two protocols, and not TF Serving.

It speaks gRPC with TF Serving's own stubs, and REST as TF Serving documents
it, over a SavedModel in TensorFlow's C++ session, which TF Serving runs too.
It tests clients against the official messages, names and error codes, and says
nothing about TF Serving's batching, polling, metrics or speed.
"""

import collections
import contextlib
import json
import os
import re
import threading
import time
from concurrent import futures
from http import server as http_server

import c_loader
import contract_json
import grpc
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

_DEFAULT_SIGNATURE = "serving_default"
_HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_PATH = re.compile(
    r"/v1/models/(?P<name>[^/:]+)(/versions/(?P<version>\d+))?"
    r"(?P<verb>|/metadata|:predict)"
)


class Servable:
    """One version of a model, as both protocols use it.

    Attributes:
      failures: codes, such as "UNAVAILABLE", that the next requests get.
      seconds: that each request takes.
      requests: how many there were.
      busy: how many are being answered now.
      busiest: how many were at most.
    """

    def __init__(self, name: str, saved_model_dir: str):
        self.name = name
        self.version = int(os.path.basename(saved_model_dir))
        self.session = c_loader.CSession(saved_model_dir)
        self.failures = collections.deque()
        self.seconds = 0.0
        self.busiest = self.requests = self.busy = 0
        self._lock = threading.Lock()
        saved = saved_model_pb2.SavedModel()
        with open(os.path.join(saved_model_dir, "saved_model.pb"), "rb") as f:
            saved.ParseFromString(f.read())
        self._signatures = saved.meta_graphs[0].signature_def

    def find(self, name: str, version: int | None) -> None:
        """Checks the model's name and version."""
        if name != self.name or version not in (None, self.version):
            asked = f"Specific({name}, {version})" if version else name
            raise c_loader.CSessionError(
                "NOT_FOUND", f"Servable not found for request: {asked}"
            )

    def predict(self, signature_name: str, make_inputs) -> dict:
        """Answers one request; `make_inputs` turns a signature into inputs."""
        with self._counted():
            if self.failures:
                code = self.failures.popleft()
                raise c_loader.CSessionError(code, "as the test wants it")
            time.sleep(self.seconds)
            name = signature_name or _DEFAULT_SIGNATURE
            if name not in self.session.signatures:
                raise c_loader.CSessionError(
                    "INVALID_ARGUMENT",
                    f'Serving signature key "{name}" not found.',
                )
            inputs = make_inputs(self.session.signatures[name])
            return self.session.run(name, inputs)

    def metadata(self) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Describes the signatures."""
        answer = get_model_metadata_pb2.GetModelMetadataResponse()
        answer.model_spec.name = self.name
        answer.model_spec.version.value = self.version
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, definition in self._signatures.items():
            signatures.signature_def[name].CopyFrom(definition)
        answer.metadata["signature_def"].Pack(signatures)
        return answer

    def status(self) -> get_model_status_pb2.GetModelStatusResponse:
        """Says that the version is there."""
        answer = get_model_status_pb2.GetModelStatusResponse()
        status = answer.model_version_status.add(
            version=self.version,
            state=get_model_status_pb2.ModelVersionStatus.AVAILABLE,
        )
        status.status.SetInParent()  # OK
        return answer

    @contextlib.contextmanager
    def _counted(self):
        with self._lock:
            self.requests += 1
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
        try:
            yield
        finally:
            with self._lock:
                self.busy -= 1


@contextlib.contextmanager
def serve(servable: Servable):
    """Serves on two free ports of this machine.

    Yields:
      The addresses "host:port" by protocol, "grpc" and "rest".
    """
    grpc_server = grpc.server(
        futures.ThreadPoolExecutor(),
        options=[("grpc.max_receive_message_length", -1)],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        _PredictionService(servable), grpc_server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        _ModelService(servable), grpc_server
    )
    grpc_port = grpc_server.add_insecure_port("127.0.0.1:0")
    grpc_server.start()

    handler = type("Handler", (_RestHandler,), {"servable": servable})
    rest_server = http_server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=rest_server.serve_forever)
    thread.start()
    try:
        yield {
            "grpc": f"127.0.0.1:{grpc_port}",
            "rest": f"127.0.0.1:{rest_server.server_port}",
        }
    finally:
        grpc_server.stop(None).wait()
        rest_server.shutdown()
        rest_server.server_close()
        thread.join()


@contextlib.contextmanager
def _aborting(context):
    try:
        yield
    except c_loader.CSessionError as error:
        context.abort(grpc.StatusCode[error.code], error.message)


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, servable):
        self._servable = servable

    def Predict(self, request, context):
        spec = request.model_spec
        with _aborting(context):
            _find(self._servable, spec)
            outputs = self._servable.predict(
                spec.signature_name,
                lambda _: {
                    name: tf.make_ndarray(value)
                    for name, value in request.inputs.items()
                },
            )
        answer = predict_pb2.PredictResponse()
        answer.model_spec.name = self._servable.name
        answer.model_spec.version.value = self._servable.version
        answer.model_spec.signature_name = (
            spec.signature_name or _DEFAULT_SIGNATURE
        )
        for name, value in outputs.items():
            answer.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return answer

    def GetModelMetadata(self, request, context):
        with _aborting(context):
            _find(self._servable, request.model_spec)
            if list(request.metadata_field) != ["signature_def"]:
                raise c_loader.CSessionError(
                    "INVALID_ARGUMENT", "Metadata field is not supported"
                )
        return self._servable.metadata()


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, servable):
        self._servable = servable

    def GetModelStatus(self, request, context):
        with _aborting(context):
            _find(self._servable, request.model_spec)
        return self._servable.status()


def _find(servable, spec):
    version = spec.version.value if spec.HasField("version") else None
    servable.find(spec.name, version)


class _RestHandler(http_server.BaseHTTPRequestHandler):
    servable: Servable

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._answer({"": self._status, "/metadata": self._metadata})

    def do_POST(self):
        self._answer({":predict": self._predict})

    def _answer(self, verbs):
        try:
            match = _PATH.fullmatch(self.path)
            if not match or match["verb"] not in verbs:
                raise c_loader.CSessionError(
                    "INVALID_ARGUMENT",
                    f"Malformed request: {self.command} {self.path}",
                )
            version = match["version"]
            self.servable.find(match["name"], version and int(version))
            status, said = 200, verbs[match["verb"]]()
        except c_loader.CSessionError as error:
            status = _HTTP_STATUS.get(error.code, 500)
            said = {"error": error.message}
        content = json.dumps(said).encode()
        # A client whose deadline has passed is gone.
        with contextlib.suppress(ConnectionError):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def _status(self):
        return _to_dict(self.servable.status())

    def _metadata(self):
        return _to_dict(self.servable.metadata())

    def _predict(self):
        length = int(self.headers["Content-Length"])
        try:
            asked = json.loads(self.rfile.read(length))
        except ValueError as error:
            raise c_loader.CSessionError(
                "INVALID_ARGUMENT", f"JSON Parse error: {error}"
            ) from error
        if ("instances" in asked) == ("inputs" in asked):
            raise c_loader.CSessionError(
                "INVALID_ARGUMENT", "Missing 'inputs' or 'instances' key"
            )
        by_row = "instances" in asked
        outputs = self.servable.predict(
            asked.get("signature_name", ""),
            lambda signature: contract_json.from_json(
                signature, asked["instances" if by_row else "inputs"], by_row
            ),
        )
        columns = {
            name: contract_json.to_json(value, binary=name.endswith("_bytes"))
            for name, value in outputs.items()
        }
        if len(columns) == 1:  # a single output loses its name
            (only,) = columns.values()
            return {"predictions" if by_row else "outputs": only}
        if not by_row:
            return {"outputs": columns}
        rows = zip(*columns.values(), strict=True)
        return {
            "predictions": [
                dict(zip(columns, row, strict=True)) for row in rows
            ]
        }


def _to_dict(message):
    return json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )
