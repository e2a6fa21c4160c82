"""Tests of the example client and of the contract, over the C++ session."""

import base64
import csv
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent import futures

import certificates
import numpy as np
import pytest
import running
import small_models
import tensorflow as tf
from PIL import Image

from export.serving import saved_model
from segan_tf import decision, expected_dice, labels
from segan_tf.imaging import images
from segan_tf.inference.predictor import Predictor
from segan_tf.serve import server as trying
from segan_tf.synthetic import lesions

pytestmark = pytest.mark.serving
grpc = pytest.importorskip("grpc", reason="scripts/test --all installs it")
apis = pytest.importorskip(
    "tensorflow_serving.apis", reason="scripts/test --all installs it"
)

sys.path.insert(0, str(running.ROOT / "examples"))
import contract_server  # noqa: E402
import serving_client  # noqa: E402
from segan_client import messages, sending  # noqa: E402
from tensorflow_serving.apis import (  # noqa: E402
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

SIZES = {"wide": (40, 97), "high": (131, 18), "small": (16, 16)}
PROTOCOLS = pytest.mark.parametrize("protocol", ["rest", "grpc"])


@pytest.fixture(scope="module")
def version_dir(export_dir):
    return os.path.join(export_dir, "saved_model", "2")


@pytest.fixture(scope="module")
def served(version_dir):
    """Returns the servable and its addresses."""
    servable = contract_server.Servable("segan", version_dir)
    with contract_server.serve(servable) as addresses:
        yield servable, addresses


@pytest.fixture
def servable(served):
    """Returns the servable as nobody has asked it yet."""
    servable, _ = served
    yield servable
    servable.failures.clear()
    servable.seconds = 0.0
    # What a client did not wait for is not to count in the next test.
    while servable.busy:
        time.sleep(0.01)


@pytest.fixture
def image_dir(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for index, (name, size) in enumerate(SIZES.items()):
        drawing = lesions.draw_lesion(index, 1, size=size)
        images.write_png(folder / f"{name}.png", drawing.image)
    return folder


@pytest.fixture
def segment(served, servable, image_dir, tmp_path, monkeypatch, capsys):
    """Returns a function that runs the client: status, stdout, stderr."""
    monkeypatch.setattr(sending, "FIRST_SECONDS", 0.01)

    def run(protocol, *options):
        status = serving_client.main(
            [
                str(image_dir),
                str(tmp_path / "out"),
                f"--protocol={protocol}",
                f"--server={served[1][protocol]}",
                *options,
            ]
        )
        return status, *capsys.readouterr()

    return run


def _table(folder):
    with open(folder / "label_maps.csv", newline="") as file:
        return list(csv.DictReader(file))


@PROTOCOLS
def test_each_image_gets_the_label_map_of_the_session(
    protocol, servable, segment, image_dir, tmp_path
):
    status, out, err = segment(protocol)

    assert (status, err) == (0, "")
    assert out == "3 of 3 label maps written\n"
    rows = {row["image"]: row for row in _table(tmp_path / "out")}
    assert sorted(rows) == ["high.png", "small.png", "wide.png"]
    for name, (height, width) in SIZES.items():
        image = (image_dir / f"{name}.png").read_bytes()
        expected = servable.session.run(
            "serving_default", {"image_bytes": [image]}
        )
        written = (tmp_path / "out" / f"{name}_label_map.png").read_bytes()
        assert written == expected["label_map_bytes"][0]
        assert Image.open(io.BytesIO(written)).size == (width, height)
        row = rows[f"{name}.png"]
        assert row["label"] == "lesion"
        assert float(row["fraction"]) == pytest.approx(
            expected["lesion_fraction"][0], abs=1e-6
        )
        assert float(row["mean_probability"]) == pytest.approx(
            expected["mean_probability"][0], abs=1e-6
        )


@PROTOCOLS
def test_expected_dice_of_the_server_is_in_the_table(
    protocol, image_dir, tmp_path, capsys
):
    curve = expected_dice.Curve((0.0, 1.0), (0.1, 0.6))  # low, whatever it is
    version_dir = saved_model.export_saved_model(
        small_models.build_segmentor(),
        str(tmp_path / "export"),
        version=1,
        labels=labels.LESION,
        decision=decision.Decision(expected_dice={"thresholds": curve}),
    )
    servable = contract_server.Servable("segan", version_dir)
    with contract_server.serve(servable) as addresses:
        status = serving_client.main(
            [
                str(image_dir),
                str(tmp_path / "out"),
                f"--protocol={protocol}",
                f"--server={addresses[protocol]}",
            ]
        )

    assert status == 0
    predictor = Predictor(version_dir)
    warnings = capsys.readouterr().err
    for row in _table(tmp_path / "out"):
        expected = predictor(image_dir / row["image"]).expected_dice
        assert 0.1 < expected < 0.6
        assert float(row["expected_dice"]) == pytest.approx(expected, abs=1e-4)
        assert row["warning"].startswith("the outline is doubtful")
        assert f"warning: {row['image']}: {row['warning']}" in warnings


@PROTOCOLS
def test_image_that_fails_is_named_once_and_the_others_continue(
    protocol, servable, segment, image_dir, tmp_path
):
    (image_dir / "bad.jpg").write_bytes(b"no image")
    before = servable.requests

    status, out, err = segment(protocol)

    assert status == 1
    assert out == "3 of 4 label maps written\n"
    assert err == (
        f"failed: {image_dir}/bad.jpg: the image is not a JPEG, PNG or BMP "
        "image\n"
    )
    assert not (tmp_path / "out" / "bad_label_map.png").exists()
    assert len(_table(tmp_path / "out")) == 3
    assert servable.requests - before == 4  # a bad image is sent once


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"])
@PROTOCOLS
def test_busy_server_is_retried(protocol, code, servable, segment):
    servable.failures.extend([code] * 2)
    before = servable.requests

    status, _, err = segment(protocol, "--concurrency=1")

    assert (status, err) == (0, "")
    assert servable.requests - before == 3 + 2


@PROTOCOLS
def test_unavailable_server_is_given_up_after_all_attempts(
    protocol, servable, segment
):
    servable.failures.extend(["UNAVAILABLE"] * 3)
    before = servable.requests

    status, out, err = segment(protocol, "--concurrency=1", "--attempts=3")

    code = {"rest": "HTTP 503", "grpc": "UNAVAILABLE"}[protocol]
    assert status == 1
    assert out == "2 of 3 label maps written\n"
    assert f"high.png: {code}: as the test wants it" in err
    assert servable.requests - before == 3 + 2


@PROTOCOLS
def test_other_errors_are_not_retried(protocol, servable, segment):
    servable.failures.append("INTERNAL")
    before = servable.requests

    status, _, err = segment(protocol, "--concurrency=1")

    assert status == 1
    assert err.count("failed: ") == 1
    assert servable.requests - before == 3


@PROTOCOLS
def test_answer_after_the_deadline_is_retried(protocol, servable, segment):
    servable.seconds = 1.0
    before = servable.requests

    status, out, err = segment(protocol, "--timeout=0.1", "--attempts=2")

    word = {"rest": "timed out", "grpc": "DEADLINE_EXCEEDED"}[protocol]
    assert status == 1
    assert out == "0 of 3 label maps written\n"
    assert [word in line for line in err.splitlines()] == [True] * 3
    assert servable.requests - before == 3 * 2


@PROTOCOLS
def test_missing_server_is_one_line_for_each_image(
    protocol, image_dir, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(sending, "FIRST_SECONDS", 0.01)

    status = serving_client.main(
        [
            str(image_dir),
            str(tmp_path),
            f"--protocol={protocol}",
            "--server=127.0.0.1:9",
            "--attempts=2",
        ]
    )

    assert status == 1
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_concurrency_limits_the_images_in_flight(servable, segment, image_dir):
    for i in range(9):
        shutil.copy(image_dir / "small.png", image_dir / f"copy_{i}.png")
    servable.seconds, servable.busiest = 0.1, 0

    status, _, _ = segment("rest", "--concurrency=3")

    assert status == 0
    assert servable.busiest == 3


@pytest.mark.parametrize(
    ("name", "words"),
    [("wide.jpg", "would write one label map"), (None, "is not a folder")],
)
def test_folder_that_cannot_be_sent_is_an_error(name, words, image_dir):
    folder = image_dir / "none" if name is None else image_dir
    if name:
        shutil.copy(image_dir / "wide.png", image_dir / name)

    with pytest.raises(SystemExit, match=words):
        serving_client.main([str(folder), "out"])


def _post(served, body, path="/v1/models/segan:predict"):
    """Posts JSON: the status and what came back."""
    request = urllib.request.Request(
        f"http://{served[1]['rest']}{path}", json.dumps(body).encode()
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def _get(served, path):
    with urllib.request.urlopen(f"http://{served[1]['rest']}{path}") as answer:
        return json.load(answer)


def _b64(content):
    return {"b64": base64.b64encode(content).decode()}


@pytest.fixture(scope="module")
def tried(version_dir):
    """Returns the address of python -m segan_tf.serve."""
    with trying.start(version_dir, 0) as started:
        thread = threading.Thread(target=started.serve_forever)
        thread.start()
        yield {"rest": f"127.0.0.1:{started.server_port}"}
        started.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (":predict", {"instances": [{"b64": "bm8gaW1hZ2U="}, {"b64": ""}]}),
        (":predict", {"instances": [{"b64": "?"}]}),
        (":predict", {"instances": [1]}),
        (":predict", {}),
        (":predict", {"instances": [{"b64": ""}], "signature_name": "no"}),
        ("/versions/9:predict", {"instances": [{"b64": ""}]}),
        ("2:predict", {"instances": [{"b64": ""}]}),
    ],
    ids=range(7),
)
def test_server_to_try_clients_answers_as_the_contract_says(
    path, body, served, tried
):
    path = f"/v1/models/segan{path}"

    status, answer = _post((None, tried), body, path)

    expected_status, expected = _post(served, body, path)
    assert status == expected_status
    assert set(answer) == set(expected)
    if status == 200:
        assert answer == expected


def test_server_to_try_clients_answers_images_as_the_contract_says(
    image_dir, served, tried
):
    encoded = [_b64(path.read_bytes()) for path in image_dir.iterdir()]

    _, answer = _post((None, tried), {"instances": encoded})
    _, expected = _post(served, {"instances": encoded})

    for row, wanted in zip(
        answer["predictions"], expected["predictions"], strict=True
    ):
        assert row.keys() == wanted.keys()
        for name, value in wanted.items():
            if name in ("label_map_bytes", "label_names", "error"):
                assert row[name] == value
            else:
                assert row[name] == pytest.approx(value, abs=1e-6)
    for path in ("", "/versions/2"):
        path = f"/v1/models/segan{path}"
        assert _get((None, tried), path) == _get(served, path)


def test_rest_rows_and_columns_agree(served, image_dir):
    image = _b64((image_dir / "wide.png").read_bytes())

    status, rows = _post(served, {"instances": [image] * 2})
    _, named = _post(served, {"instances": [{"image_bytes": image}] * 2})
    _, columns = _post(served, {"inputs": {"image_bytes": [image] * 2}})

    assert status == 200
    assert rows == named
    assert len(rows["predictions"]) == 2
    for name, column in columns["outputs"].items():
        assert column == [row[name] for row in rows["predictions"]]
    row = rows["predictions"][0]
    assert row["label_names"] == ["lesion"]
    label_map = base64.b64decode(row["label_map_bytes"]["b64"])
    assert label_map.startswith(b"\x89PNG")


def test_rest_takes_plain_numbers_for_probabilities(served):
    image = lesions.draw_lesion(0, 1, size=(16, 18)).image
    servable, _ = served

    _, said = _post(
        served,
        {"signature_name": "probabilities", "instances": [image.tolist()]},
    )

    expected = servable.session.run("probabilities", {"images": image[None]})
    np.testing.assert_allclose(
        said["predictions"][0]["probability_map"],
        expected["probability_map"][0],
        rtol=1e-6,
    )


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        (
            ":predict",
            {"signature_name": "no", "instances": []},
            400,
            '"no" not',
        ),
        (":predict", {}, 400, "Missing 'inputs' or 'instances'"),
        (":predict", {"instances": [{"b64": "?"}]}, 400, "Failed to process"),
        (":classify", {}, 400, "Malformed request: POST /v1/models/segan:cl"),
        ("/versions/9:predict", {}, 404, "Specific(segan, 9)"),
        ("2:predict", {}, 404, "Servable not found for request: segan2"),
    ],
)
def test_rest_errors_have_status_and_message(served, path, body, status, words):
    answer = _post(served, body, f"/v1/models/segan{path}")

    assert answer[0] == status
    assert words in answer[1]["error"]


def test_rest_returns_status_and_metadata(served):
    assert _get(served, "/v1/models/segan") == {
        "model_version_status": [
            {
                "version": "2",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
    metadata = _get(served, "/v1/models/segan/metadata")
    assert metadata["model_spec"]["version"] == "2"
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert signatures["serving_default"]["inputs"]["image_bytes"]["dtype"] == (
        "DT_STRING"
    )


@pytest.fixture(scope="module")
def channel(served):
    with grpc.insecure_channel(served[1]["grpc"]) as channel:
        yield channel


@pytest.fixture(scope="module")
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def _request(name="segan", signature="", version=None, **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    if version:
        request.model_spec.version.value = version
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        (_request("none"), "NOT_FOUND", "Servable not found"),
        (_request(version=9), "NOT_FOUND", "Specific"),
        (_request(signature="no"), "INVALID_ARGUMENT", '"no" not found'),
        (_request(images=[b""]), "INVALID_ARGUMENT", "image_bytes"),
        (_request(image_bytes=[1.0]), "INVALID_ARGUMENT", "bytes, not float"),
    ],
)
def test_grpc_errors_have_codes(stub, request_, code, words):
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(request_, timeout=30)

    assert caught.value.code().name == code
    assert words in caught.value.details()


def test_grpc_returns_status_and_metadata(channel, stub):
    asked = get_model_metadata_pb2.GetModelMetadataRequest()
    asked.model_spec.name = "segan"
    asked.metadata_field.append("signature_def")
    metadata = stub.GetModelMetadata(asked, timeout=30)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert metadata.metadata["signature_def"].Unpack(signatures)
    assert {"serving_default", "probabilities"} <= set(signatures.signature_def)

    asked = get_model_status_pb2.GetModelStatusRequest()
    asked.model_spec.name = "segan"
    models = model_service_pb2_grpc.ModelServiceStub(channel)
    (status,) = models.GetModelStatus(asked, timeout=30).model_version_status
    assert (status.version, status.State.Name(status.state)) == (2, "AVAILABLE")


def test_warm_up_requests_can_be_read_with_the_official_messages(
    version_dir, served, stub
):
    path = f"{version_dir}/assets.extra/tf_serving_warmup_requests"
    records = [record.numpy() for record in tf.data.TFRecordDataset(path)]
    logs = [prediction_log_pb2.PredictionLog.FromString(r) for r in records]

    # Byte for byte what the official classes write.
    assert [log.SerializeToString() for log in logs] == records
    signatures = []
    for log in logs:
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert request.model_spec.name == "segan"
        assert stub.Predict(request, timeout=30).outputs["label_names"]
        signatures.append(request.model_spec.signature_name)
    assert sorted(signatures) == ["probabilities", "serving_default"]
    shape = logs[signatures.index("probabilities")].predict_log.request.inputs
    assert [d.size for d in shape["images"].tensor_shape.dim] == [1, 32, 32, 3]


@pytest.mark.parametrize("label", ["", "stable"])
def test_request_of_the_client_is_that_of_the_official_messages(label):
    image = bytes(range(256)) * 100
    official = _request(image_bytes=[image])
    official.model_spec.version_label = label
    if not label:
        official.model_spec.ClearField("version_label")

    encoded = messages.encode_request("segan", label, image)

    assert predict_pb2.PredictRequest.FromString(encoded) == official


@pytest.mark.parametrize("as_content", [False, True])
def test_answer_is_read_as_by_the_official_messages(as_content):
    response = predict_pb2.PredictResponse()
    response.model_spec.name = "segan"
    response.model_spec.version.value = 1 << 40
    values = {
        "label_map_bytes": [b"\0\xff"],
        "label_names": [["lesion", "h\u00e4r"]],
        "label_fractions": np.float32([[0.25, -1e-6]]),
        "mean_probability": np.float32([[0.5, 0.5]]),
        "none": np.zeros((0, 2), np.float32),
    }
    for name, value in values.items():
        tensor = tf.make_tensor_proto(value)
        if not as_content and isinstance(value, np.ndarray):
            tensor.tensor_content = b""
            tensor.float_val.extend(value.flatten())
        response.outputs[name].CopyFrom(tensor)
    # One value for all, as TensorFlow compresses.
    shape = response.outputs["none"].tensor_shape
    response.outputs["three"].dtype = tf.float32.as_datatype_enum
    response.outputs["three"].tensor_shape.CopyFrom(shape)
    response.outputs["three"].tensor_shape.dim[0].size = 3
    response.outputs["three"].float_val.append(0.5)

    answer = messages.decode_response(response.SerializeToString())

    assert answer == {
        "label_map_bytes": [b"\0\xff"],
        "label_names": [b"lesion", "h\u00e4r".encode()],
        "label_fractions": [0.25, float(np.float32(-1e-6))],
        "mean_probability": [0.5, 0.5],
        "none": [],
        "three": [0.5] * 6,
    }


def test_answer_that_is_no_message_is_an_error():
    rng = np.random.default_rng(0)
    response = predict_pb2.PredictResponse()
    response.outputs["a"].CopyFrom(tf.make_tensor_proto(np.float32([1, 2])))
    whole = response.SerializeToString()
    errors = 0
    for _ in range(2000):
        content = bytearray(whole)
        content[rng.integers(len(whole))] = rng.integers(256)
        try:
            messages.decode_response(bytes(content))
        except ValueError:
            errors += 1
    assert errors > 500
    for content in (b"<html>log in</html>", whole[:-1], b"\xff" * 20):
        with pytest.raises(ValueError, match="."):
            messages.decode_response(content)


def test_grpc_needs_no_tensorflow(served, image_dir, tmp_path):
    blocked = {name: None for name in ("tensorflow", "tensorflow_serving")}
    code = (
        f"import runpy, sys; sys.modules.update({blocked})\n"
        f"runpy.run_path({serving_client.__file__!r}, run_name='__main__')"
    )

    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path[0] = {str(running.ROOT / 'examples')!r}; "
            + code,
            image_dir,
            tmp_path / "out",
            "--protocol=grpc",
            f"--server={served[1]['grpc']}",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "3 of 3 label maps written\n"


def test_grpc_by_tls_with_a_password(image_dir, tmp_path, monkeypatch):
    certificate, key = certificates.make(tmp_path)
    answer = predict_pb2.PredictResponse()
    for name, value in {
        "label_map_bytes": [(image_dir / "wide.png").read_bytes()],
        "label_names": [["lesion"]],
        "label_fractions": [[0.5]],
        "mean_probability": [0.5],
    }.items():
        answer.outputs[name].CopyFrom(tf.make_tensor_proto(value))
    seen = []

    def predict(request, context):
        seen.append(dict(context.invocation_metadata())["authorization"])
        return answer.SerializeToString()

    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(
                "tensorflow.serving.PredictionService",
                {"Predict": grpc.unary_unary_rpc_method_handler(predict)},
            )
        ]
    )
    credentials = grpc.ssl_server_credentials(
        [(key.read_bytes(), certificate.read_bytes())]
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("SERVING_AUTHORIZATION", "Bearer abc")
    try:
        status = serving_client.main(
            [
                str(image_dir),
                str(tmp_path / "out"),
                "--protocol=grpc",
                f"--server=127.0.0.1:{port}",
                "--tls",
            ]
        )
    finally:
        server.stop(None).wait()

    assert status == 0
    assert seen == ["Bearer abc"] * 3


def _run_cli(version_dir, folder, signature, **inputs):
    """Runs a signature with TensorFlow's own program: its outputs by name."""
    for name, value in inputs.items():
        np.save(folder / f"{name}.npy", value)
    named = ";".join(f"{name}={folder}/{name}.npy" for name in inputs)
    cli = os.path.join(os.path.dirname(sys.executable), "saved_model_cli")
    subprocess.run(
        [
            cli,
            "run",
            f"--dir={version_dir}",
            "--tag_set=serve",
            f"--signature_def={signature}",
            f"--inputs={named}",
            f"--outdir={folder}/outputs",
        ],
        check=True,
        capture_output=True,
    )
    return {
        path.stem: np.load(path, allow_pickle=True)
        for path in (folder / "outputs").iterdir()
    }


def test_saved_model_cli_runs_probabilities(version_dir, servable, tmp_path):
    images = np.full((1, 20, 30, 3), 99, np.uint8)

    answer = _run_cli(version_dir, tmp_path, "probabilities", images=images)

    expected = servable.session.run("probabilities", {"images": images})
    np.testing.assert_allclose(
        answer["probability_map"], expected["probability_map"], atol=1e-6
    )
    assert answer["label_names"].tolist() == [[b"lesion"]]


def test_saved_model_cli_runs_serving_default(
    version_dir, servable, image_dir, tmp_path
):
    # A PNG file does not end in a zero byte, which NumPy would cut off here.
    image = np.array([(image_dir / "wide.png").read_bytes()])

    answer = _run_cli(
        version_dir, tmp_path, "serving_default", image_bytes=image
    )

    expected = servable.session.run(
        "serving_default", {"image_bytes": image.tolist()}
    )
    assert answer["label_map_bytes"].tolist() == (
        expected["label_map_bytes"].tolist()
    )
    assert answer["lesion_fraction"] == expected["lesion_fraction"]
