"""Tests of what the example client does with a server and files gone wrong."""

import base64
import contextlib
import csv
import errno
import http.server
import io
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
import unicodedata

import certificates
import numpy as np
import pytest
import running
from PIL import Image

from segan_tf import expected_dice

sys.path.insert(0, str(running.ROOT / "examples"))
import serving_client
from segan_client import answers, connection, printing, sending


def _encode(kind="PNG"):
    stream = io.BytesIO()
    Image.new("L", (20, 16)).save(stream, kind)
    return stream.getvalue()


PNG = _encode()


def _answer(label_map=PNG, **changes):
    row = {
        "label_map_bytes": {"b64": base64.b64encode(label_map).decode()},
        "label_names": ["lesion"],
        "label_fractions": [0.25],
        "mean_probability": 0.5,
        **changes,
    }
    return json.dumps({"predictions": [row]}).encode()


class Server:
    """Answers every request with `status` and `body`, after `seconds`."""

    def __init__(self):
        self.status, self.body, self.seconds = 200, _answer(), 0.0
        self.requests = 0
        self.failures = 0  # of the next requests, which get HTTP 503
        self.sent = []  # the files of all requests
        self.paths = []
        self.passwords = set()
        self.tls = None
        self.location = ""  # of a redirection
        self.redirected = []  # the password of each GET


@pytest.fixture
def server():
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            state.requests += 1
            state.paths.append(self.path)
            state.passwords.add(self.headers["Authorization"])
            body = self.rfile.read(int(self.headers["Content-Length"]))
            (instance,) = json.loads(body)["instances"]
            state.sent.append(base64.b64decode(instance["b64"]))
            time.sleep(state.seconds)
            status = 503 if state.failures > 0 else state.status
            state.failures -= 1
            with contextlib.suppress(ConnectionError):
                self._answer(status)

        def do_GET(self):
            state.redirected.append(self.headers["Authorization"])
            self._answer(404)

        def _answer(self, status):
            self.send_response(status)
            if state.location:
                self.send_header("Location", state.location)
            self.send_header("Content-Length", str(len(state.body)))
            self.end_headers()
            self.wfile.write(state.body)

    class HttpServer(http.server.ThreadingHTTPServer):
        def get_request(self):
            connection, address = super().get_request()
            if state.tls:
                connection = state.tls.wrap_socket(connection, server_side=True)
            return connection, address

    running_server = HttpServer(("127.0.0.1", 0), Handler)
    state.address = f"127.0.0.1:{running_server.server_port}"
    threading.Thread(
        target=running_server.serve_forever, kwargs={"poll_interval": 0.01}
    ).start()
    yield state
    running_server.shutdown()
    running_server.server_close()


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "images"
    path.mkdir()
    for name in ("a.png", "b.png"):
        (path / name).write_bytes(PNG)
    return path


@pytest.fixture
def client(server, folder, tmp_path, capsys, monkeypatch):
    """Returns a function that runs the client: status and lines of stderr."""
    monkeypatch.setattr(sending, "FIRST_SECONDS", 0.01)

    def run(*options):
        status = serving_client.main(
            [
                str(folder),
                str(tmp_path / "out"),
                f"--server={server.address}",
                *options,
            ]
        )
        return status, capsys.readouterr().err.splitlines()

    return run


def _rows(folder, name="label_maps.csv"):
    with open(folder / name, newline="", encoding="utf-8") as file:
        return [row["image"] for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    "body",
    [
        b"<html>log in</html>",
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"[" * 100_000,
        _answer()[:-20],
        b'{"predictions": []}',
        json.dumps({"predictions": [{}, {}]}).encode(),
        json.dumps({"predictions": [{"probability_map": [[0]]}]}).encode(),
        _answer(label_map_bytes={"b64": "A"}),
        _answer(b"GIF89a"),
        _answer(PNG[:-5]),
        _answer(label_fractions=["a"]),
        _answer(label_fractions=[float("nan")]),
        _answer(label_fractions=[0.1, 0.2]),
        _answer(mean_probability=None),
        _answer(expected_dice=float("nan")),
    ],
    ids=range(18),
)
def test_foreign_answer_is_one_line_for_each_image(
    body, server, client, tmp_path
):
    server.body = body

    status, lines = client()

    assert status == 1
    assert len(lines) == 2
    for line in lines:
        assert "the answer is none of an exported SegAN model" in line
        assert "--server and --model" in line
        start = body[:80].decode(errors="replace")
        assert line.endswith(
            f"it begins: {printing.printable(start)}"
            + ("..." if len(body) > 80 else "")
        )
    assert server.requests == 2
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("expected", "fraction"),
    [
        (expected_dice.LOW - 0.01, 0.25),
        (expected_dice.LOW, 0.25),
        (0.9, 0.0),
        (None, 0.0),
    ],
)
def test_client_warns_as_predict_does(
    expected, fraction, server, client, tmp_path
):
    (tmp_path / "images" / "b.png").unlink()
    known = {} if expected is None else {"expected_dice": expected}
    server.body = _answer(label_fractions=[fraction], **known)

    status, lines = client()

    warning, cell = "", ""
    if expected is not None:
        cell = f"{expected:.4f}"
        warning = expected_dice.warning(expected, is_empty=fraction == 0)
    wanted = f"warning: a.png: {warning} (expected Dice {cell[:4]})"
    assert (status, lines) == (0, [wanted] if warning else [])
    with open(tmp_path / "out" / "label_maps.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["expected_dice"], row["warning"]) == (cell, warning)


@pytest.mark.parametrize("status", [404, 500])
@pytest.mark.parametrize("body", [b"away", b'{"error": ""}', b'{"error": []}'])
def test_error_page_is_one_line_for_each_image(status, body, server, client):
    server.status, server.body = status, body

    exit_status, lines = client()

    assert exit_status == 1
    assert [f"HTTP {status}: " in line for line in lines] == [True, True]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_status_of_a_busy_server_is_retried(status, server, client):
    server.status = status

    exit_status, _ = client("--attempts=3")

    assert exit_status == 1
    assert server.requests == 2 * 3


def test_outage_of_60_seconds_loses_no_image(monkeypatch, folder, tmp_path):
    for i in range(40):
        (folder / f"{i}.png").write_bytes(PNG)
    clock = threading.local()  # of each worker, which waits for itself
    monkeypatch.setattr(
        sending.time,
        "sleep",
        lambda seconds: setattr(clock, "now", clock.now + seconds),
    )
    monkeypatch.setattr(sending.random, "uniform", min)

    def segment(_):
        clock.now = getattr(clock, "now", 0.0)
        if clock.now < 60:
            raise answers.ServerError("away", is_passing=True)
        return answers.Answer(PNG, [("lesion", 0.25, 0.5)])

    monkeypatch.setattr(serving_client, "make_client", lambda _: segment)

    assert serving_client.main([str(folder), str(tmp_path / "out")]) == 0
    assert len(_rows(tmp_path / "out")) == 42


def test_image_with_an_error_of_its_own_is_named_and_sent_once(
    server, client, tmp_path
):
    server.body = _answer(
        b"", error="is empty", label_fractions=[0], mean_probability=0
    )

    status, lines = client("--concurrency=1")

    assert status == 1
    assert [line.partition(": the image ")[2] for line in lines] == (
        ["is empty"] * 2
    )
    assert server.requests == 2
    assert not list((tmp_path / "out").iterdir())


class SharedBatches:
    """A server that joins what arrives together and fails all for one.

    Attributes:
      strangers: how many of the next batches hold another client's bad image.
    """

    def __init__(self, strangers=0):
        self.strangers, self.calls = strangers, []
        self._gate = threading.Condition()
        self._batch = []

    def __call__(self, image):
        with self._gate:
            batch, position = self._batch, len(self._batch)
            batch.append(image)
            self.calls.append(image)
            # Until four are there, or no more arrive.
            self._gate.wait_for(lambda: len(batch) == 4, timeout=0.2)
            self._gate.notify_all()
            if batch is self._batch:
                self._batch = []
        assert position < len(batch)
        if self.strangers:
            self.strangers -= 1
            self._fail(3)
        for i, other in enumerate(batch):
            if other == b"bad":
                self._fail(i)
        return answers.Answer(PNG, [("lesion", 0.25, 0.5)])

    def _fail(self, position):
        raise answers.ServerError(
            f"HTTP 400: image_bytes[{position}] is damaged", is_of_image=True
        )


@pytest.mark.parametrize("strangers", [0, 2])
def test_images_that_shared_a_batch_with_a_bad_one_are_sent_again_alone(
    strangers, monkeypatch, folder, tmp_path, capsys
):
    monkeypatch.setattr(sending, "FIRST_SECONDS", 0.01)
    (folder / "bad.png").write_bytes(b"bad")
    (folder / "c.png").write_bytes(PNG)
    segment = SharedBatches(strangers)
    monkeypatch.setattr(serving_client, "make_client", lambda _: segment)

    status = serving_client.main([str(folder), str(tmp_path / "out")])

    assert status == 1
    assert sorted(_rows(tmp_path / "out")) == ["a.png", "b.png", "c.png"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"failed: {folder}/bad.png: ")
    assert "image_bytes[0] is damaged" in line


def test_copy_of_the_client_needs_python_alone(server, folder, tmp_path):
    examples, copied = running.ROOT / "examples", tmp_path / "elsewhere"
    shutil.copytree(examples / "segan_client", copied / "segan_client")
    shutil.copy(examples / "serving_client.py", copied)

    done = subprocess.run(
        [
            *(sys.executable, "-S"),  # without installed packages
            *(copied / "serving_client.py", folder, tmp_path / "out"),
            f"--server={server.address}",
        ],
        env={},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "2 of 2 label maps written\n"


def test_label_of_a_version_is_in_the_address(server, client):
    client("--version_label=blue green")

    assert set(server.paths) == {"/v1/models/segan/labels/blue%20green:predict"}


@pytest.mark.parametrize(
    ("http_status", "attempts"), [(503, 2), (404, 1), (200, 1)]
)
def test_images_are_not_sent_after_three_without_an_answer(
    http_status, attempts, server, client, folder
):
    for i in range(38):
        (folder / f"{i}.png").write_bytes(PNG)
    server.status, server.body = http_status, b"no label map"

    status, lines = client("--attempts=2", "--concurrency=1")

    assert status == 1
    *failed, line = lines
    assert 3 <= len(failed) < 20  # some may be on their way
    assert all(named.startswith("failed: ") for named in failed)
    assert server.requests == attempts * len(failed)
    assert f"{40 - len(failed)} more were not sent" in line
    assert f"served at {server.address} (--server)?" in line
    assert line.endswith("run the command again with --resume")


@pytest.mark.parametrize("http_status", [400, 413])
def test_images_that_the_server_rejects_do_not_stop_the_others(
    http_status, server, client, folder
):
    for i in range(8):
        (folder / f"{i}.png").write_bytes(PNG)
    server.status = http_status

    status, lines = client("--concurrency=1")

    assert status == 1
    assert len(lines) == 10


def test_two_failures_in_a_row_do_not_stop_the_others(server, client, folder):
    for i in range(4):
        (folder / f"{i}.png").write_bytes(PNG)
    server.failures = 2

    status, lines = client("--attempts=1", "--concurrency=1")

    assert status == 1
    assert len(lines) == 2
    assert server.requests == 6


def test_what_is_not_sent_is_named_and_counted(
    client, folder, tmp_path, capsys
):
    (folder / "scan.tif").write_bytes(b"II*\0")
    (folder / "photo").write_bytes(_encode("JPEG"))
    (folder / "deeper").mkdir()
    (folder / "deeper" / "c.jpg").write_bytes(_encode("JPEG"))
    (folder / "gone.png").symlink_to(folder / "nothing")
    os.mkfifo(folder / "pipe.png")

    status, lines = client()

    assert status == 1
    assert [line.partition(": ")[2].partition(": ")[0] for line in lines] == [
        str(folder / name)
        for name in ("deeper", "gone.png", "photo", "pipe.png", "scan.tif")
    ]
    assert all(line.startswith("not sent: ") for line in lines)
    assert sorted(_rows(tmp_path / "out")) == ["a.png", "b.png"]


def test_number_of_files_not_sent_is_in_the_last_line(
    server, folder, tmp_path, capsys
):
    (folder / "scan.tif").write_bytes(b"II*\0")

    serving_client.main(
        [str(folder), str(tmp_path / "out"), f"--server={server.address}"]
    )

    assert capsys.readouterr().out == (
        "2 of 2 label maps written; 1 files not sent\n"
    )


def test_hidden_images_are_named_and_notes_are_passed_over(client, folder):
    for name in (".b.JPG", "._a.png", ".DS_Store", "notes.txt", "Thumbs.db"):
        (folder / name).write_bytes(b"\0\5\x16\7")
    (folder / "empty.png").mkdir()
    (folder / "out.jpg").mkdir()

    assert client() == (
        0,
        ["note: hidden files are not sent: ._a.png, .b.JPG"],
    )

    for i in range(3):
        (folder / f".{i}.png").touch()
    assert ".0.png, .1.png, .2.png and 2 more" in client()[1][0]


def test_output_folder_among_the_images_is_passed_over(
    server, client, folder, tmp_path
):
    (tmp_path / "out").symlink_to(folder / "out")
    (folder / "out").mkdir()
    (folder / "out" / "earlier_label_map.png").write_bytes(PNG)

    assert client() == (0, [])


def test_folder_of_the_images_is_no_output_folder(server, folder):
    with pytest.raises(SystemExit, match="is the folder of the images"):
        serving_client.main([str(folder), f"{folder}/../images"])

    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    "names",
    [
        ("c.png", "c.jpg"),
        ("C.png", "c.png"),
        tuple(
            unicodedata.normalize(form, "\u00e9.png") for form in ("NFC", "NFD")
        ),
    ],
)
def test_images_that_would_write_one_label_map_are_an_error(
    names, folder, tmp_path
):
    for name in names:
        (folder / name).write_bytes(PNG)

    with pytest.raises(SystemExit, match="one label map; rename one"):
        serving_client.main([str(folder), str(tmp_path / "out")])

    assert not (tmp_path / "out").exists()


def test_earlier_table_is_kept(client, tmp_path):
    client()
    (tmp_path / "images" / "b.png").unlink()

    status, lines = client()

    assert status == 0
    assert [line.partition(" is now ")[2] for line in lines] == [
        "label_maps_1.csv"
    ]
    assert _rows(tmp_path / "out") == ["a.png"]
    assert sorted(_rows(tmp_path / "out", "label_maps_1.csv")) == [
        "a.png",
        "b.png",
    ]


def test_resumed_run_sends_what_has_no_row_and_label_map(
    server, client, folder, tmp_path
):
    for name in ("c.png", "d.png", "=e.png"):
        (folder / name).write_bytes(PNG)
    client()
    out = tmp_path / "out"
    (out / "a_label_map.png").unlink()
    os.utime(folder / "b.png", (2**31, 2**31))  # changed since
    (folder / "new.png").write_bytes(PNG)
    before, server.sent = _rows(out), []

    status, lines = client("--resume")

    assert (status, lines) == (0, [])
    assert len(server.sent) == 3
    assert sorted(_rows(out)) == sorted([*before, "new.png"])
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["label_maps.csv"]
        + [f"{path.stem}_label_map.png" for path in folder.iterdir()]
    )


@pytest.mark.parametrize("kept", ["a.png", "a.png,lesion,0.2", ""])
def test_half_a_row_of_a_killed_run_is_written_again(
    kept, server, client, tmp_path
):
    client("--concurrency=1")
    table = tmp_path / "out" / "label_maps.csv"
    whole = table.read_bytes()
    table.write_bytes(whole[: whole.index(b"a.png")] + kept.encode())
    server.sent = []

    status, _ = client("--resume", "--concurrency=1")

    assert status == 0
    assert table.read_bytes() == whole
    assert len(server.sent) == 2


def test_image_that_lacks_the_row_of_a_label_is_sent_again(
    server, client, tmp_path
):
    server.body = _answer(
        label_names=["hair", "lesion"],
        label_fractions=[0.25, 0.5],
        mean_probability=[0.5, 0.75],
    )
    client("--concurrency=1")
    table = tmp_path / "out" / "label_maps.csv"
    whole = table.read_bytes()
    table.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    server.sent = []

    status, _ = client("--resume")

    assert status == 0
    assert table.read_bytes() == whole
    assert len(server.sent) == 1


def test_table_with_other_columns_is_not_continued(client, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "label_maps.csv").write_text("image,area\na.png,1\n")

    with pytest.raises(SystemExit, match="has other columns than image, label"):
        client("--resume")


def test_folder_of_10000_images_is_resumed(monkeypatch, tmp_path, capsys):
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    for i in range(10_000):
        (images / f"{i:05}.png").write_bytes(b"%d" % i)
    sent = []

    def segment(image):
        sent.append(image)
        if len(sent) == 9_000:
            raise OSError(errno.ENOSPC, "No space left on device", "out")
        return answers.Answer(PNG, [("lesion", 0.25, 0.5)])

    monkeypatch.setattr(serving_client, "make_client", lambda _: segment)
    argv = [str(images), str(out), "--resume"]

    assert serving_client.main(argv) == 1
    num_done = len(_rows(out))
    assert 8_900 < num_done < 9_000
    before = len(sent)
    assert serving_client.main(argv) == 0

    # The four workers may have held one each.
    assert 0 <= len(sent) - before - (10_000 - num_done) <= 4
    assert sorted(_rows(out)) == sorted(os.listdir(images))
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"{10_000 - num_done} of {10_000 - num_done} label maps written; "
        f"{num_done} were there"
    )


def test_earlier_table_stays_where_no_image_is_answered(
    server, client, tmp_path
):
    client()
    server.status = 500

    status, _ = client()

    assert status == 1
    assert sorted(_rows(tmp_path / "out")) == ["a.png", "b.png"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t"])
def test_cells_are_no_formulas(start, client, folder, tmp_path):
    (folder / f"{start}1+1.png").write_bytes(PNG)

    status, _ = client()

    assert status == 0
    assert f"'{start}1+1.png" in _rows(tmp_path / "out")


def test_control_characters_are_escaped(server, client, folder):
    (folder / "c\x1b[31m\n\u202e.png").write_bytes(PNG)
    server.status, server.body = 500, b'{"error": "\\u001b[2J"}'

    _, lines = client()

    assert len(lines) == 3
    assert any(
        "c\\x1b[31m\\n\\u202e.png: HTTP 500: \\x1b[2J" in line for line in lines
    )


def _run_program(server, folder, *options, **environment):
    return subprocess.Popen(
        [
            sys.executable,
            running.ROOT / "examples" / "serving_client.py",
            folder,
            folder.parent / "out",
            f"--server={server.address}",
            *options,
        ],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what runs in the background with SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_names_beyond_the_locale_are_written_in_utf_8(server, folder, tmp_path):
    (folder / "\u75c5\u53d8.jpg").write_bytes(PNG)
    (folder / os.fsdecode(b"\xe9.jpg")).write_bytes(PNG)
    ascii_only = {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }

    program = _run_program(server, folder, **ascii_only)
    out, err = program.communicate(timeout=60)

    assert (program.returncode, err) == (0, "")
    assert out == "4 of 4 label maps written\n"
    assert sorted(_rows(tmp_path / "out")) == [
        "\\xe9.jpg",
        "a.png",
        "b.png",
        "\u75c5\u53d8.jpg",
    ]
    assert (tmp_path / "out" / "\u75c5\u53d8_label_map.png").exists()


def test_interrupt_is_one_line_and_keeps_the_rows(server, folder, tmp_path):
    server.seconds = 0.3
    for i in range(30):
        (folder / f"{i}.png").write_bytes(PNG)
    table = tmp_path / "out" / "label_maps.csv"

    program = _run_program(server, folder, "--concurrency=1")
    until = time.monotonic() + 30
    while not table.exists() and time.monotonic() < until:
        time.sleep(0.02)
    program.send_signal(signal.SIGINT)
    try:
        out, err = program.communicate(timeout=60)
    finally:
        program.kill()

    assert program.returncode == 130
    (line,) = err.splitlines()
    assert line.startswith("error: stopped by Ctrl+C")
    rows = _rows(tmp_path / "out")
    assert out == f"{len(rows)} of 32 label maps written\n"
    assert 1 <= len(rows) < 32


def serve_tls(server, tmp_path, monkeypatch):
    """Has the server use TLS, and the client know it and a password."""
    certificate, key = certificates.make(tmp_path)
    server.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.tls.load_cert_chain(certificate, key)
    monkeypatch.setenv("SERVING_AUTHORIZATION", "Basic dTpw")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


def test_tls_and_password_are_those_of_the_environment(
    server, client, tmp_path, monkeypatch
):
    serve_tls(server, tmp_path, monkeypatch)

    assert client("--tls") == (0, [])
    assert server.passwords == {"Basic dTpw"}

    monkeypatch.delenv("SSL_CERT_FILE")
    status, lines = client("--tls", "--attempts=1000")

    assert status == 1
    assert ["certificate verify failed" in line for line in lines] == [True] * 2


def test_password_is_not_sent_where_the_server_redirects_to(
    server, client, tmp_path, monkeypatch
):
    serve_tls(server, tmp_path, monkeypatch)
    server.status, server.location = 302, f"https://{server.address}/other"

    client("--tls")

    assert server.redirected == [None] * 2


def test_password_is_not_sent_in_clear(server, client, monkeypatch):
    monkeypatch.setenv("SERVING_AUTHORIZATION", "Basic dTpw")

    with pytest.raises(SystemExit, match="in clear without --tls; add it"):
        client()

    assert server.requests == 0


@pytest.mark.parametrize("proxy", ["http_proxy", "HTTP_PROXY"])
def test_proxy_is_not_used_for_a_near_server(proxy, client, monkeypatch):
    monkeypatch.setenv(proxy.lower(), "http://127.0.0.1:9")

    assert client() == (0, [])


@pytest.mark.parametrize(
    ("server", "uses_proxy"),
    [
        ("localhost:8501", False),
        ("127.0.0.1:8501", False),
        ("[::1]:8501", False),
        ("192.168.1.7:8501", False),
        ("inside.example:8501", False),
        ("outside.example:8501", True),
        ("8.8.8.8:8501", True),
    ],
)
def test_proxy_of_the_environment_is_for_far_servers(
    server, uses_proxy, monkeypatch
):
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "inside.example")

    options = serving_client.parse(["a", "b", f"--server={server}"])

    proxy = connection.find_proxy(options)

    assert proxy == ("http://proxy.example:3128" if uses_proxy else None)


def test_proxy_is_named(monkeypatch, capsys):
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")

    serving_client.make_client(
        serving_client.parse(["a", "b", "--server=far.example:8501"])
    )

    (line,) = capsys.readouterr().err.splitlines()
    assert "through the proxy http://proxy.example:3128" in line


def test_output_folder_that_is_a_file_is_one_line(client, tmp_path):
    (tmp_path / "out").write_text("")

    status, lines = client()

    assert status == 1
    (line,) = lines
    assert line.startswith(f"error: {tmp_path / 'out'}: ")


def test_full_disk_ends_the_work_with_one_line(
    server, client, folder, tmp_path, monkeypatch
):
    for i in range(9):
        (folder / f"{i}.png").write_bytes(PNG)

    def fail(path, _):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(pathlib.Path, "write_bytes", fail)

    status, lines = client("--concurrency=1")

    assert status == 1
    assert len(lines) == 1
    assert "No space left on device" in lines[0]
    assert server.requests <= 3
    assert not list((tmp_path / "out").iterdir())


def test_name_too_long_fails_alone(client, folder, tmp_path):
    name = "n" * 250
    (folder / f"{name}.png").write_bytes(PNG)

    status, lines = client()

    assert status == 1
    (line,) = lines
    assert line.startswith(f"failed: {folder / name}.png: ")
    assert "too long" in line
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a_label_map.png",
        "b_label_map.png",
        "label_maps.csv",
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["", "out"], "folder is empty"),
        (["images", ""], "output_dir is empty"),
        (["images", "out", "--model="], "model is empty"),
        (["images", "out", "--server="], "--server () must be host:port"),
        (["images", "out", "--server=http://a:1"], "without http://"),
        (["images", "out", "--server=a"], "must be host:port"),
        (["images", "out", "--server=a:x"], "must be host:port"),
        (["images", "out", "--timeout=nan"], "--timeout must be above 0"),
        (["images", "out", "--timeout=inf"], "and at most 86400"),
        (["images", "out", "--attempts=0"], "--attempts must be above 0"),
    ],
)
def test_value_that_cannot_be_meant_is_an_error(options, words, capsys):
    with pytest.raises(SystemExit) as caught:
        serving_client.parse(options)

    assert caught.value.code == 2
    assert words in capsys.readouterr().err


@pytest.fixture
def scan(folder):
    """Returns a DICOM image of the folder, its UID and its pixels."""
    import dicom_files  # skips without pydicom

    values = np.arange(32 * 40 * 3, dtype=np.uint8).reshape(32, 40, 3)
    path = folder / "Mustermann_Erika"
    return path, dicom_files.save(path, dicom_files.make(values)), values


def test_dicom_is_decoded_and_called_by_its_uid(server, client, tmp_path, scan):
    _, uid, values = scan

    status, lines = client("--concurrency=1")

    assert (status, lines) == (0, [])
    assert _rows(tmp_path / "out") == [uid, "a.png", "b.png"]
    assert (tmp_path / "out" / f"{uid}_label_map.png").read_bytes() == PNG
    with Image.open(io.BytesIO(server.sent[0])) as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), values)
    names = " ".join(os.listdir(tmp_path / "out"))
    assert "Mustermann" not in names


def test_dicom_that_cannot_be_sent_is_one_line(client, folder, tmp_path, scan):
    path, uid, _ = scan
    content = path.read_bytes()
    (folder / "copy").write_bytes(content)  # is found first
    (folder / "bad.dcm").write_bytes(bytes(128) + b"DICM" + b"nonsense")
    (folder / "DICOMDIR").write_bytes(content)

    status, lines = client()

    assert status == 1
    bad, again = lines
    assert bad.startswith(f"not sent: {folder}/bad.dcm: it ")
    assert again == f"not sent: {uid}: another file has its SOP instance UID"
    assert sorted(_rows(tmp_path / "out")) == [uid, "a.png", "b.png"]

    (folder / "bad.dcm").unlink()
    path.unlink()
    (folder / "copy").write_bytes(content[:-100])  # without the last pixels

    status, lines = client()
    assert status == 1
    (line,) = [line for line in lines if line.startswith("failed: ")]
    assert f"{uid}: it is damaged or truncated" in line


@pytest.mark.parametrize("package", ["segan_tf", "pydicom"])
def test_missing_package_for_dicom_is_named(
    client, folder, monkeypatch, package
):
    (folder / "scan").write_bytes(bytes(128) + b"DICM")
    for name in [package, f"{package}.imaging"]:
        monkeypatch.setitem(sys.modules, name, None)

    status, (line,) = client()

    assert status == 1
    assert line.startswith(f"not sent: {folder}/scan: ")
    assert line.endswith("python -m pip install 'segan-tf[dicom]'")
