"""Tests that the proxy's configuration keeps out what it is there for."""

import base64
import http.client
import http.server
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent import futures

import certificates
import pytest
import running

pytestmark = pytest.mark.serving
grpc = pytest.importorskip("grpc", reason="scripts/test --all installs it")

sys.path.insert(0, str(running.ROOT / "examples"))
from segan_client import grpc_client  # noqa: E402

CONFIGURATION = running.ROOT / "deploy" / "tf_serving" / "nginx.conf"
PASSWORD = "Basic " + base64.b64encode(b"alice:secret").decode()
PREDICT = "/v1/models/segan:predict"
# Where a user who is not root may write, and no log.
OWN = """http {
  access_log off;
  client_body_temp_path "FOLDER/body";
  proxy_temp_path "FOLDER/proxy";
  fastcgi_temp_path "FOLDER/fastcgi";
  uwsgi_temp_path "FOLDER/uwsgi";
  scgi_temp_path "FOLDER/scgi";
"""


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Backend:
    """Stands in for TF Serving.

    Attributes:
      requests: method, path, Authorization header and length of each request
        by REST.
      calls: method and authorization of each by gRPC.
    """

    def __init__(self):
        self.requests, self.calls = [], []
        backend = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                password = self.headers["Authorization"]
                backend.requests.append(
                    (self.command, self.path, password, len(body))
                )
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_GET = do_POST

        class Services(grpc.GenericRpcHandler):
            def service(self, details):
                given = dict(details.invocation_metadata)
                backend.calls.append(
                    (details.method, given.get("authorization"))
                )
                return grpc.unary_unary_rpc_method_handler(lambda *_: b"answer")

        self.rest = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.rest.serve_forever).start()
        self.grpc = grpc.server(futures.ThreadPoolExecutor(2))
        self.grpc.add_generic_rpc_handlers([Services()])
        self.grpc_port = self.grpc.add_insecure_port("127.0.0.1:0")
        self.grpc.start()

    def close(self):
        self.rest.shutdown()
        self.rest.server_close()
        self.grpc.stop(None).wait()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    """Returns the proxy's port, certificate, what is behind it, and log."""
    program = shutil.which("nginx")
    if not program:
        pytest.skip("needs nginx; scripts/test --all installs it")
    folder = tmp_path_factory.mktemp("nginx")
    certificate, _ = certificates.make(folder)
    (folder / "passwords").write_text("alice:{PLAIN}secret\n")
    backend, port = Backend(), _free_port()
    text = CONFIGURATION.read_text()
    for old, new in {
        "http {": OWN.replace("FOLDER", str(folder)),
        "listen 443": f"listen 127.0.0.1:{port}",
        "/etc/nginx/": f"{folder}/",
        "127.0.0.1:8501": f"127.0.0.1:{backend.rest.server_port}",
        "127.0.0.1:8500": f"127.0.0.1:{backend.grpc_port}",
    }.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "nginx.conf"
    path.write_text(text)
    options = f"pid {folder}/pid; daemon off; error_log {folder}/log warn;"
    if os.getuid() == 0:
        options += "user root;"  # another could not read the folder
    process = subprocess.Popen(
        [program, "-c", path, "-p", folder, "-e", folder / "log", "-g", options]
    )
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
        yield port, certificate, backend, folder / "log"
    finally:
        process.terminate()
        process.wait(timeout=30)
        backend.close()


def _ask(proxy, path=PREDICT, *, method="POST", body=b"{}", password=PASSWORD):
    port, certificate, *_ = proxy
    context = ssl.create_default_context(cafile=str(certificate))
    connection = http.client.HTTPSConnection(
        "127.0.0.1", port, context=context, timeout=30
    )
    headers = {"Authorization": password} if password else {}
    try:
        connection.request(method, path, body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize(
    "path", [PREDICT, "/v1/models/segan/labels/stable:predict"]
)
def test_images_with_a_password_reach_the_server_without_it(proxy, path):
    *_, backend, log = proxy
    body = json.dumps({"instances": [{"b64": "A" * 5_000_000}]}).encode()

    assert _ask(proxy, path, body=body) == 200

    assert backend.requests[-1] == ("POST", path, None, len(body))
    # As nginx's default would, which leaves images of patients on the disk.
    assert "buffered to a temporary file" not in log.read_text()


@pytest.mark.parametrize(
    ("status", "options"),
    [
        (401, {"password": ""}),
        (401, {"password": "Basic " + base64.b64encode(b"alice:no").decode()}),
        (403, {"method": "GET"}),
        (404, {"path": "/v1/models/segan", "method": "GET"}),
        (404, {"path": "/v1/models/segan/metadata", "method": "GET"}),
        (404, {"path": "/monitoring/prometheus/metrics", "method": "GET"}),
        (404, {"path": "/v1/models/segan/versions/1:predict"}),
        (
            404,
            {
                "path": "/tensorflow.serving.ModelService/"
                "HandleReloadConfigRequest"
            },
        ),
        (413, {"body": b"A" * (64 * 1024 * 1024 + 1)}),
    ],
    ids=range(9),
)
def test_other_requests_end_at_the_proxy(proxy, status, options):
    *_, backend, _ = proxy
    before = len(backend.requests)

    try:
        answered = _ask(proxy, **options)
    except (BrokenPipeError, ConnectionResetError):
        # nginx answers 413 and hangs up while the client still sends.
        answered = 413

    assert answered == status
    assert len(backend.requests) == before
    assert not backend.calls


def test_one_method_of_grpc_reaches_the_server(proxy, monkeypatch):
    port, certificate, backend, _ = proxy
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    predict = grpc_client.make_predict(
        f"127.0.0.1:{port}",
        timeout=30,
        uses_tls=True,
        uses_proxy=False,
        authorization=PASSWORD,
    )

    assert predict(b"request") == b"answer"

    method = "/tensorflow.serving.PredictionService/Predict"
    assert backend.calls == [(method, None)]
    credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
        reload = channel.unary_unary(
            "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
        )
        with pytest.raises(grpc.RpcError, match="UNIMPLEMENTED|404"):
            reload(b"", metadata=[("authorization", PASSWORD)], timeout=30)
    assert len(backend.calls) == 1
    backend.calls.clear()
