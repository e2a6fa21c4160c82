"""Tests of the server of the web page."""

import gzip
import http.client
import re
import socket
import threading

import pytest
import running

from export import export
from export.web import serve
from segan_tf.config import UserError

pytestmark = pytest.mark.any_edition

SCRIPT = b"const answer = 6 * 7;\n" * 100


@pytest.fixture
def page(tmp_path):
    (tmp_path / "page.js").write_bytes(SCRIPT)
    (tmp_path / "runtime.wasm").write_bytes(b"\0asm")
    (tmp_path / "manifest.webmanifest").write_text("{}")
    (tmp_path / "index.html").write_text("<!doctype html>")
    return tmp_path


@pytest.fixture
def get(page):
    """Serves the page; returns a function that requests a file."""
    with serve.open_server(str(page), 0) as server:
        threading.Thread(target=server.serve_forever).start()

        def get(path, **headers):
            client = http.client.HTTPConnection(*server.server_address)
            client.request("GET", path, headers=headers)
            answer = client.getresponse()
            content = answer.read()
            client.close()
            return answer, content

        yield get
        server.shutdown()


def test_files_are_compressed_for_those_who_take_it(get):
    answer, content = get("/page.js", **{"Accept-Encoding": "gzip, br"})
    plain_answer, plain = get("/page.js")

    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(content) == SCRIPT
    assert len(content) < len(SCRIPT) / 10
    assert plain_answer.headers["Content-Encoding"] is None
    assert plain == SCRIPT


def test_changed_file_is_seen_at_once(get, page):
    get("/page.js", **{"Accept-Encoding": "gzip"})
    (page / "page.js").write_bytes(b"newer")

    answer, content = get("/page.js", **{"Accept-Encoding": "gzip"})

    assert gzip.decompress(content) == b"newer"
    assert answer.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/page.js", "text/javascript"),
        ("/runtime.wasm", "application/wasm"),
        ("/manifest.webmanifest", "application/manifest+json"),
    ],
)
def test_types_are_those_that_browsers_ask_for(get, path, kind):
    answer, _ = get(path, **{"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Type"] == kind


@pytest.mark.parametrize("path", ["/../secret", "/%2e%2e/secret", "/none.js"])
def test_nothing_else_is_served(get, page, path):
    (page.parent / "secret").write_text("secret")
    answer, content = get(path, **{"Accept-Encoding": "gzip"})
    assert answer.status == 404
    assert b"secret" not in content


def test_used_port_is_named():
    with socket.create_server((serve.HOST, 0)) as used:
        port = used.getsockname()[1]
        words = rf"--serve_port \({port}\) cannot be used \(Address already in"
        with pytest.raises(UserError, match=words):
            serve.check_port(port)


def test_port_without_a_page_is_an_error():
    error = running.error_of("--mode=export", "--serve_port=8000")
    assert error.startswith("error: --serve_port has no effect without --web")


def test_ctrl_c_ends_serving(page, monkeypatch, capsys):
    def stop(server):
        assert server.server_address[0] == "127.0.0.1"
        raise KeyboardInterrupt

    monkeypatch.setattr(
        serve.http.server.ThreadingHTTPServer, "serve_forever", stop
    )

    export.ParityReport({}, [], str(page)).serve_page(0)

    said = capsys.readouterr().out
    assert re.search(r"open http://localhost:\d+ in a browser", said)
