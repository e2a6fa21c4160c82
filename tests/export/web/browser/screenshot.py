"""Takes the documentation's images of the web page, with a drawn lesion.

python tests/export/web/browser/screenshot.py EXPORT_DIR/web docs
(after scripts/browser, and python main.py --mode=export --web)
"""

import functools
import http.server
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading

from PIL import Image

from segan_tf.imaging import images
from segan_tf.synthetic import lesions

_DRIVER = pathlib.Path(__file__).parent / "drive.mjs"
_SCREENS = {
    "web_page.png": {"viewport": {"width": 1366, "height": 768}},
    "web_page_phone.png": {
        "viewport": {"width": 390, "height": 844},
        "hasTouch": True,
        "isMobile": True,
    },
}
# A drawing that no training with the default flags has seen.
_INDEX, _SEED = 11, 1


def main(page: str, folder: str) -> None:
    """Serves a bundled page, segments a drawing there, writes what is seen."""
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=page
    )
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    with server, tempfile.TemporaryDirectory() as shots:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        image_path = f"{shots}/drawn lesion.png"
        drawing = lesions.draw_lesion(_INDEX, _SEED, size=(600, 800))
        images.write_png(image_path, drawing.image)
        for name, context in _SCREENS.items():
            task = {
                "scenario": "measure",
                "url": f"http://127.0.0.1:{server.server_port}/",
                "chromium": shutil.which("chromium"),
                "image": image_path,
                "shots": f"{shots}/shot",
                "context": context,
            }
            subprocess.run(["node", str(_DRIVER), json.dumps(task)], check=True)
            with Image.open(f"{shots}/shot_result.png") as shot:
                # 256 colors: a third of the bytes, and no difference to see.
                shot.convert("RGB").quantize(
                    256, Image.Quantize.MAXCOVERAGE
                ).save(f"{folder}/{name}", optimize=True)
        server.shutdown()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
