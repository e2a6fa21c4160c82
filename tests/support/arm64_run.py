"""Runs TFLite files on images, under an ARM64 Python without TensorFlow.

Usage: arm64_run.py IMAGES.npy MODEL.tflite ANSWER.npy [MODEL ANSWER ...]
"""

import platform
import sys

import numpy as np
from ai_edge_litert import interpreter as litert

path, *rest = sys.argv[1:]
images = np.load(path)
for model, answer in zip(rest[::2], rest[1::2], strict=True):
    # One thread: under emulation more of them only wait for each other.
    run = litert.Interpreter(
        model_path=model, num_threads=1
    ).get_signature_runner("serving_default")
    dtype = run.get_input_details()["image"]["dtype"]
    np.save(
        answer,
        np.concatenate(
            [
                run(image=image[None].astype(dtype))["probability_map"]
                for image in images
            ]
        ),
    )
print(platform.machine())
