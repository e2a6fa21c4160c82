"""Tests of the server for this machine, python -m segan_tf.serve."""

import base64
import csv
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import running
import small_models

from export.serving import saved_model, session
from segan_tf.config import Config, UserError
from segan_tf.imaging import images
from segan_tf.serve import command, server

sys.path.insert(0, str(running.ROOT / "examples"))
import serving_client

PREDICT = "/v1/models/segan:predict"


@pytest.fixture(scope="module")
def export_dir(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("exported"))
    saved_model.export_saved_model(
        small_models.build_segmentor(num_labels=2),
        folder,
        version=10,
        labels=small_models.TWO_LABELS,
    )
    os.mkdir(os.path.join(folder, "saved_model", "9"))  # older
    return folder


@pytest.fixture(scope="module")
def address(export_dir):
    path = command.find_newest(export_dir)
    with server.start(path, 0) as started:
        thread = threading.Thread(target=started.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{started.server_port}"
        started.shutdown()
        thread.join()


def _ask(address, path=PREDICT, body=None, *, method="POST", headers=None):
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())
    finally:
        connection.close()


def _body(*files, **more):
    rows = [{"b64": base64.b64encode(file).decode()} for file in files]
    return json.dumps({"instances": rows, **more})


def test_outputs_are_those_of_the_model(address, export_dir):
    drawn = small_models.draw_images((40, 50), (33, 20))
    files = [*map(images.encode_png, drawn), b"no image"]

    status, answer = _ask(address, body=_body(*files))

    assert status == 200
    with session.Session(command.find_newest(export_dir)) as opened:
        expected = opened.run(
            "serving_default", {"image_bytes": np.array(files, object)}
        )
    rows = answer["predictions"]
    assert len(rows) == 3
    for i, row in enumerate(rows):
        assert set(row) == set(expected)
        png = base64.b64decode(row["label_map_bytes"]["b64"])
        assert png == expected["label_map_bytes"][i]
        for name in ("label_fractions", "mean_probability"):
            assert row[name] == pytest.approx(expected[name][i].tolist())
        assert row["label_names"] == ["lesion", "hair"]
    assert [row["error"] for row in rows] == [
        *["", ""],
        "is not a JPEG, PNG or BMP image",
    ]


def test_named_input_is_read(address):
    (image,) = map(images.encode_png, small_models.draw_images((40, 50)))
    encoded = {"b64": base64.b64encode(image).decode()}
    body = json.dumps({"instances": [{"image_bytes": encoded}]})

    assert _ask(address, body=body) == _ask(address, body=_body(image))


@pytest.mark.parametrize("label", ["", "stable"])
def test_example_client_gets_label_maps(label, address, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for i, image in enumerate(small_models.draw_images((40, 50), (33, 20))):
        images.write_png(folder / f"{i}.png", image)
    out = tmp_path / "out"
    given = f"--server={address}", f"--version_label={label}"

    assert serving_client.main([str(folder), str(out), *given]) == 0

    with open(out / "label_maps.csv", newline="") as file:
        rows = [row["image"] for row in csv.DictReader(file)]
    assert sorted(rows) == ["0.png"] * 2 + ["1.png"] * 2


@pytest.mark.parametrize("version", ["", "/versions/10"])
def test_status_is_that_of_a_loaded_version(version, address):
    status, answer = _ask(address, f"/v1/models/segan{version}", method="GET")

    assert status == 200
    (of_version,) = answer["model_version_status"]
    assert (of_version["version"], of_version["state"]) == ("10", "AVAILABLE")


@pytest.mark.parametrize(
    ("status", "words", "options"),
    [
        (
            404,
            "version 9 is not served",
            {"path": "/v1/models/segan/versions/9"},
        ),
        (404, "/v1/models/other is not served", {"path": "/v1/models/other"}),
        (404, "segan is not served", {"path": PREDICT[:-8], "method": "POST"}),
        (400, "JSON Parse error", {"body": "{"}),
        (400, "Missing 'instances' key", {"body": '{"inputs": []}'}),
        (400, "Missing 'instances' key", {"body": "[]"}),
        (
            400,
            "must be a list that is not empty",
            {"body": '{"instances": []}'},
        ),
        (400, "Failed to process element", {"body": '{"instances": ["a"]}'}),
        (400, "Failed to process element", {"body": '{"instances": [1]}'}),
        (400, "Failed to process", {"body": '{"instances": [{"b64": "?"}]}'}),
        (
            400,
            '"probabilities" not found; this server has serving_default',
            {"body": _body(b"", signature_name="probabilities")},
        ),
        (411, "Content-Length", {"headers": {"Transfer-Encoding": "chunked"}}),
        (
            413,
            "more than 67,108,864",
            {"headers": {"Content-Length": "67108865"}},
        ),
    ],
    ids=range(13),
)
def test_other_requests_have_an_error(status, words, options, address):
    method = "GET" if "versions" in options.get("path", "") else "POST"

    answered, answer = _ask(address, **{"method": method, **options})

    assert answered == status
    assert words in answer["error"]


def test_server_listens_to_this_machine_only(export_dir):
    with server.start(command.find_newest(export_dir), 0) as started:
        assert started.server_address[0] == "127.0.0.1"


def test_port_that_is_taken_is_an_error(address, export_dir):
    port = int(address.partition(":")[2])
    with pytest.raises(UserError, match=rf"--port \({port}\) cannot be opened"):
        server.start(command.find_newest(export_dir), port)


def test_damaged_model_is_an_error(tmp_path):
    folder = tmp_path / "exported" / "saved_model" / "1"
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"no model")
    with pytest.raises(UserError, match="saved_model"):
        server.start(str(folder), 0)


def test_highest_version_is_served(export_dir, tmp_path):
    newest = os.path.join(export_dir, "saved_model", "10")
    assert command.find_newest(export_dir) == newest
    assert command.find_newest(str(tmp_path)) is None


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--port=70000"], r"--port \(70000\) must be 0"),
        (["--export_dir="], "--export_dir is given without a value"),
        (["--model=x"], "unrecognized arguments: --model=x"),
    ],
)
def test_mistake_in_a_flag_is_an_error(flags, words):
    with pytest.raises(UserError, match=words):
        command.parse(flags)


def test_released_model_is_exported_where_there_is_none(monkeypatch, tmp_path):
    configs = []

    class Report:
        failures = ["saved_model: differs"]

    monkeypatch.setattr(
        command.segan_tf, "export", lambda c: configs.append(c) or Report
    )

    with pytest.raises(UserError, match="got no SavedModel"):
        command.run([f"--export_dir={tmp_path}"])

    assert configs == [Config(model="pretrained", export_dir=str(tmp_path))]


def test_command_serves_until_ctrl_c(export_dir):
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "segan_tf.serve"),
            *(f"--export_dir={export_dir}", "--port=0"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=running.ROOT,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.default_int_handler
        ),
    )
    try:
        line = process.stdout.readline()
        address = re.search(r"http://(localhost:\d+)/v1/models/segan", line)[1]
        status, answer = _ask(address, body=_body(b""))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()

    assert (status, answer["predictions"][0]["error"]) == (200, "is empty")
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("error: stopped by Ctrl+C")
