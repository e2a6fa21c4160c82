"""Bundles pages, serves them, and runs scenarios with them in Chromium."""

import functools
import http.server
import json
import pathlib
import shutil
import subprocess
import threading

import pytest
import running

INSTALLED = running.ROOT / ".browser"
DRIVER = pathlib.Path(__file__).parent / "drive.mjs"


@pytest.fixture(scope="session")
def chromium():
    """Returns the path of Chromium; skips where something is missing."""
    path = shutil.which("chromium")
    present = {
        "chromium": path,
        "node": shutil.which("node"),
        "playwright-core": (
            INSTALLED / "node_modules/playwright-core"
        ).exists(),
        "LiteRT.js": (INSTALLED / ".litertjs").exists(),
    }
    missing = [name for name, there in present.items() if not there]
    if missing:
        pytest.skip(f"{', '.join(missing)} missing; run scripts/browser")
    return path


@pytest.fixture(scope="session")
def site(chromium, tmp_path_factory):
    """Serves a bundled page for each of web_exports.MODELS.

    Returns:
      The folder that is served, and its port.
    """
    # Here, so that a run without Chromium does not wait for TensorFlow.
    import web_exports

    from export.web import bundle

    folder = tmp_path_factory.mktemp("site")
    for name, (quantization, wanted) in web_exports.MODELS.items():
        export_dir = folder / name
        shutil.copytree(INSTALLED / ".litertjs", export_dir / ".litertjs")
        web_exports.write_export(str(export_dir), quantization, wanted)
        bundle.bundle_page(str(export_dir))
    handler = functools.partial(_Noting, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield folder, server.server_port
        server.shutdown()


_REQUESTED = []


class _Noting(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        _REQUESTED.append(self.path)


@pytest.fixture
def requested(site):
    """Returns the paths that the server is asked for, workers' included."""
    return _REQUESTED


@functools.cache
def drive(task):
    """Runs a scenario once, and returns what it saw."""
    done = subprocess.run(
        ["node", str(DRIVER), task],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def play(chromium, site):
    """Returns a function that runs a scenario with the page of a model."""

    def play(scenario, name, *, host="127.0.0.1", **given):
        task = {
            "scenario": scenario,
            "url": f"http://{host}:{site[1]}/{name}/web/",
            "chromium": chromium,
            **given,
        }
        return drive(json.dumps(task))

    return play


@pytest.fixture(scope="session")
def image(tmp_path_factory):
    """Returns the path of a drawn lesion."""
    from segan_tf.imaging import images
    from segan_tf.synthetic import lesions

    path = tmp_path_factory.mktemp("images") / "a lesion.png"
    drawing = lesions.draw_lesion(10, 1, size=(240, 317))
    images.write_png(path, drawing.image)
    return str(path)
