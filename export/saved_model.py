"""The SavedModel for servers: plain RGB pictures in, probability maps out."""

import os

import keras
import tensorflow as tf

from segan_tf import config, files, quiet
from segan_tf import labels as labels_lib
from segan_tf.data import preprocessing

from . import staging

SIGNATURE = "serving_default"
EXTRA_FOLDER = "assets.extra"  # where TF Serving looks for what is no asset
# The signature that gives probabilities: `images` -> `probability_map`.
PROBABILITIES = SIGNATURE


def export_saved_model(
    segmentor: keras.Model,
    export_dir: str,
    version: int,
    *,
    labels: labels_lib.Labels = labels_lib.LESION,
) -> str:
    """Writes `<export_dir>/saved_model/<version>/` as TF Serving expects it.

    Its signature `serving_default` takes `images`, uint8 [batch, height,
    width, 3] RGB of any size, and gives `probability_map`, float32 [batch,
    height, width, labels] in [0, 1] at the same size, and `label_names`,
    string [batch, labels]. assets.extra/labels.json names the labels too.

    Args:
      segmentor: float32 [batch, size, size, 3], normalised -> float32 [batch,
        size, size, labels] in [0, 1].
      export_dir: made if missing.
      version: a non-negative integer; TF Serving serves the highest.
      labels: of the channels of the probability map.

    Returns:
      The path of the version.

    Raises:
      UserError: the version exists, or `export_dir` cannot be written.
    """
    refuse_existing_version(export_dir, version)
    path = version_path(export_dir, version)

    def serve(images):
        # A row of names for each image: TF Serving splits what it batched.
        names = tf.repeat([labels.names], tf.shape(images)[0], axis=0)
        return {**_segment(segmentor, images), "label_names": names}

    with staging.hidden_folder(os.path.dirname(path)) as folder:
        unfinished = os.path.join(folder, "model")
        write_archive(
            segmentor,
            unfinished,
            function=serve,
            input_spec=tf.TensorSpec(
                (None, None, None, 3), tf.uint8, name="images"
            ),
        )
        extra = os.path.join(unfinished, EXTRA_FOLDER)
        os.makedirs(extra)
        files.write_json(
            os.path.join(extra, labels_lib.FILE_NAME),
            labels_lib.description(labels),
        )
        os.rename(unfinished, path)
    return path


def version_path(export_dir: str, version: int) -> str:
    """Names the folder of a version."""
    return os.path.join(export_dir, "saved_model", str(version))


def refuse_existing_version(export_dir: str, version: int) -> None:
    """Refuses to write over a version, which a server may have in use.

    Raises:
      UserError: the version exists.
    """
    path = version_path(export_dir, version)
    if os.path.lexists(path):
        raise config.UserError(
            f"--export_dir ({export_dir}): version {version} exists already"
            f" at {path}; remove it or choose another folder"
        )


def write_archive(
    segmentor: keras.Model, path: str, *, function, input_spec: tf.TensorSpec
) -> None:
    """Writes a SavedModel with one signature and the segmentor's weights.

    Through Keras' ExportArchive: tf.saved_model.save of a Keras 3 model
    reloads in Python, but the C++ loader does not find its variables, and
    the TFLite converter leaves them out without a word.

    Args:
      segmentor: whose weights the function uses.
      path: the folder to make.
      function: a tensor -> a dict of tensors; the keys become the output
        names, while a bare tensor would be called output_0.
      input_spec: named as clients name the input.
    """
    archive = keras.export.ExportArchive()
    archive.track(segmentor)
    archive.add_endpoint(SIGNATURE, function, input_signature=[input_spec])
    with quiet.silenced():
        archive.write_out(path)


def _segment(segmentor: keras.Model, images: tf.Tensor) -> dict:
    size = tf.shape(images)[1:3]
    _, height, width, _ = segmentor.input_shape
    resized = preprocessing.resize_image(images, height, width)
    probability_map = segmentor(
        preprocessing.normalise(resized), training=False
    )
    return {
        "probability_map": preprocessing.resize_probability_map(
            probability_map, size[0], size[1]
        )
    }
