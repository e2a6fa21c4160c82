"""The released models: trained segmentors for skin lesions.

Each has a folder here, named by its number, with weights for Keras (float16),
TFLite models, decision.json with its expected Dice, and release.json, which
records how the segmentor is built, its labels and annotation styles, how it was
trained, and the SHA-256 of each file. Older releases keep only what Keras
needs. docs/model_card.md says what the models can and cannot do.

TensorFlow is imported only by what makes or takes Keras models, so that the
TFLite models run without it.
"""

import dataclasses
import functools
import hashlib
import io
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from segan_tf import decision as decision_lib
from segan_tf import files, records
from segan_tf import labels as labels_lib
from segan_tf import styles as styles_lib
from segan_tf.config import (
    MODEL_FIELDS,
    PRETRAINED,
    RELEASES,
    Config,
    UserError,
    renamed,
)

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from segan_tf.models import restore

WEIGHTS = "weights.npz"

FOLDER = os.path.dirname(os.path.abspath(__file__))
_RELEASE = "release.json"
_TFLITE = "segan_{}.tflite"


def find(name: str = PRETRAINED) -> "Release":
    """Returns a released model by its name; the newest by default."""
    number = (RELEASES[-1] if name == PRETRAINED else name).rpartition("-")[2]
    return Release(os.path.join(FOLDER, number))


@dataclasses.dataclass(frozen=True)
class Release:
    """A released model.

    Every property and method raises UserError if a file that it reads is
    missing or has changed since the release.

    Attributes:
      folder: that holds its files.
    """

    folder: str

    def load(self) -> "restore.Restored":
        """Builds the segmentor with its trained weights."""
        from segan_tf.models import restore, weights

        segmentor = restore.build_segmentor(
            self.config, num_styles=self.styles.count
        )
        content = io.BytesIO(self._read(WEIGHTS))
        arrays = np.load(content, allow_pickle=False)
        for name, weight in weights.named_weights(segmentor).items():
            weight.assign(arrays[name])
        return restore.Restored(
            segmentor, self.step, self.describe(), self.styles
        )

    def load_segmentor(self) -> "keras.Model":
        """Builds the segmentor of the image alone, in the mean style.

        Returns:
          A functional model ``segmentor``: image float32 [batch, image_size,
          image_size, 3], normalized by `preprocessing.normalize` -> float32
          [batch, image_size, image_size, labels] in [0, 1].
        """
        from segan_tf.models import restore

        return restore.fix_style(self.config, self.load())

    @property
    def config(self) -> Config:
        """The configuration that builds the segmentor."""
        return Config(**self.model_settings)

    @property
    def model_settings(self) -> dict[str, Any]:
        """The segmentor's values of MODEL_FIELDS."""
        return renamed(self._record["model"])

    @property
    def labels(self) -> labels_lib.Labels:
        """The labels of the segmentor's channels."""
        return labels_lib.described(self._record)

    @property
    def styles(self) -> styles_lib.Styles:
        """The annotation styles that it can draw in, if any."""
        return styles_lib.described(self._record)

    @property
    def step(self) -> int:
        """The step that the weights are from."""
        return self._record["made_by"]["step"]

    @property
    def parity(self) -> dict[str, Any]:
        """How the TFLite models compare with Keras.

        "images" and "source" of the comparison, and "dice" by "keras" and by
        quantization.
        """
        return self._record["parity"]

    @property
    def decision(self) -> decision_lib.Decision:
        """The decision, with the expected Dice."""
        return decision_lib.read(self.folder)

    @property
    def quantizations(self) -> tuple[str, ...]:
        """The TFLite models that it comes with."""
        known = self._record["parity"]["dice"]
        return tuple(q for q in known if _TFLITE.format(q) in self._hashes)

    def tflite_path(self, quantization: str) -> str:
        """Returns the path of a TFLite model after checking its SHA-256.

        Args:
          quantization: one of `quantizations`.
        """
        name = _TFLITE.format(quantization)
        self._read(name)
        return os.path.join(self.folder, name)

    def describe(self) -> str:
        """Returns the release's name and the SHA-256 of its weights."""
        return f"{self._record['name']} (SHA-256 {self._hashes[WEIGHTS][:12]})"

    @functools.cached_property
    def _record(self) -> dict[str, Any]:
        try:
            return records.read(os.path.join(self.folder, _RELEASE))
        except records.NewerFormatError:
            raise
        except (OSError, ValueError) as error:
            raise self._damaged(_RELEASE) from error

    @property
    def _hashes(self) -> dict[str, str]:
        return self._record["sha256"]

    def _read(self, name: str) -> bytes:
        """Reads a file and checks its SHA-256."""
        try:
            with open(os.path.join(self.folder, name), "rb") as file:
                data = file.read()
        except OSError as error:
            raise self._damaged(name) from error
        if hashlib.sha256(data).hexdigest() != self._hashes.get(name):
            raise self._damaged(name)
        return data

    def _damaged(self, name: str) -> UserError:
        return UserError(
            f"the released model: {os.path.join(self.folder, name)} is "
            "missing or is not the file that was released; install segan_tf "
            "again."
        )


def write(
    restored: "restore.Restored",
    *,
    config: Config,
    labels: labels_lib.Labels,
    name: str,
    tflite: Mapping[str, bytes],
    parity: Mapping[str, Any],
    made_by: Mapping[str, Any],
    folder: str,
) -> None:
    """Writes a release.

    Kernels of convolutions are rounded to float16; the few vectors of batch
    normalization, whose range is wider, stay in float32.

    Args:
      restored: the trained segmentor.
      config: the configuration it was trained with.
      labels: labels of its channels.
      name: name of the release.
      tflite: quantization -> content of the TFLite file.
      parity: see `Release.parity`.
      made_by: record of the runs' commands, versions, commits and dates, and
        "step", that of the weights.
      folder: of the release; made if missing.
    """
    from segan_tf.models import weights

    arrays = io.BytesIO()
    named: dict[str, Any] = {
        name: _small(weight)
        for name, weight in weights.named_weights(restored.segmentor).items()
    }
    np.savez_compressed(arrays, **named)
    content = {WEIGHTS: arrays.getvalue()}
    for quantization, data in tflite.items():
        content[_TFLITE.format(quantization)] = data
    os.makedirs(folder, exist_ok=True)
    for file_name, data in content.items():
        files.write_bytes(os.path.join(folder, file_name), data)
    release = {
        "name": name,
        "model": {field: getattr(config, field) for field in MODEL_FIELDS},
        **labels_lib.description(labels),
        **styles_lib.description(restored.styles),
        "sha256": {
            file_name: hashlib.sha256(data).hexdigest()
            for file_name, data in content.items()
        },
        "parity": dict(parity),
        "made_by": dict(made_by),
    }
    records.write(os.path.join(folder, _RELEASE), release)


def _small(weight: "tf.Variable") -> np.ndarray:
    value = weight.numpy()
    return value.astype(np.float16) if value.ndim > 1 else value
