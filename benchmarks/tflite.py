"""Compares the time of TFLite models on one thread, in turns.

Usage: python benchmarks/tflite.py MODEL.tflite OTHER.tflite ...
Prints CPU milliseconds of one image, without reading or resizing it, and the
ratio to the first model. The models run in turns, so that what else the machine
does slows all of them. What a ratio of int8 to float32 is depends on the
processor: on one without int8 dot products (avx512_vnni, avx_vnni, dotprod)
int8 may be slower.
"""

import os
import re
import statistics
import sys
import time

import numpy as np

from segan_tf.inference.tflite_model import TFLiteModel

WARM_UP_RUNS = 20
RUNS = 200
# Instructions that int8 kernels use, as Linux names them.
INT8_FLAGS = ("avx512_vnni", "avx_vnni", "asimddp", "i8mm")


def main(*paths: str) -> None:
    """Prints a row for each model."""
    models = [TFLiteModel(path, num_threads=1) for path in paths]
    image_of = [
        np.random.default_rng(0).integers(
            0, 256, (1, *model.size, 3), dtype=np.uint8
        )
        for model in models
    ]
    times: list[list[float]] = [[] for _ in models]
    for number in range(WARM_UP_RUNS + RUNS):
        for model, image, found in zip(models, image_of, times, strict=True):
            began = time.process_time()
            model.segment(image)
            if number >= WARM_UP_RUNS:
                found.append(1e3 * (time.process_time() - began))
    print(f"{_processor()}, one thread, {RUNS} runs in turns")
    print("| model | pixels | CPU ms, median | min to max | ratio |")
    print("|---|---|---|---|---|")
    first = statistics.median(times[0])
    for path, model, found in zip(paths, models, times, strict=True):
        median = statistics.median(found)
        print(
            f"| {os.path.basename(path)} | {model.size[0]} | {median:.2f} | "
            f"{min(found):.2f} to {max(found):.2f} | {median / first:.2f} |"
        )


def _processor() -> str:
    """Names the processor and what it has for int8, where Linux tells."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        text = file.read()
    name = re.search(r"model name\s*:\s*(.*)", text)
    flags = [flag for flag in INT8_FLAGS if re.search(rf"\b{flag}\b", text)]
    return f"{name[1] if name else 'processor'} ({', '.join(flags) or 'none'})"


if __name__ == "__main__":
    main(*sys.argv[1:])
