"""Measures the memory and the CPU time of images on the served graph.

Each line is a process of its own: TensorFlow's C++ session, which TF Serving
runs too, with so many requests of one image at once. Linux only.

    python -m benchmarks.serving_memory exported/saved_model/1 --megapixels=50
"""

import argparse
import io
import math
import multiprocessing
import pathlib
import resource
import sys
import threading
import time

from PIL import Image

_SIDES = (4, 3)  # of a photograph


def make_image(megapixels: float) -> bytes:
    """Makes a JPEG file of a dark disc that has so many pixels at most."""
    unit = math.isqrt(int(megapixels * 1e6) // math.prod(_SIDES))
    width, height = (unit * side for side in _SIDES)
    disc = Image.radial_gradient("L").resize((width, height))
    stream = io.BytesIO()
    Image.merge("RGB", [disc] * 3).save(stream, "JPEG")
    return stream.getvalue()


def read_memory() -> float:
    """Reads the most memory that this process had so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(saved_model_dir: str, image: bytes, at_once: int) -> None:
    """Sends so many requests of an image at once; prints what they took."""
    sys.path.insert(
        0, str(pathlib.Path(__file__).parent.parent / "tests/support")
    )
    import c_loader

    with c_loader.CSession(saved_model_dir) as session:

        def ask(content: bytes) -> None:
            answer = session.run("serving_default", {"image_bytes": [content]})
            for error in answer["error"]:
                if error:
                    print(error.decode())

        ask(make_image(0.1))
        before = read_memory()
        threads = [
            threading.Thread(target=ask, args=(image,)) for _ in range(at_once)
        ]
        start, cpu_start = time.monotonic(), time.process_time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - start
        cpu_seconds = time.process_time() - cpu_start
    print(
        f"{at_once} at once: {before:.0f} MB before, {read_memory():.0f} MB at "
        f"most, {seconds:.1f} s, {cpu_seconds / at_once:.2f} s of CPU time an "
        "image"
    )


def main() -> None:
    """Prints the lines of the table in docs/serving.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("saved_model", help="folder of a version")
    parser.add_argument("--megapixels", type=float, default=50.0)
    options = parser.parse_args()
    image = make_image(options.megapixels)
    for at_once in (1, 4, 8):
        # A new process, since the most so far never falls.
        process = multiprocessing.get_context("spawn").Process(
            target=run, args=(options.saved_model, image, at_once)
        )
        process.start()
        process.join()


if __name__ == "__main__":
    main()
