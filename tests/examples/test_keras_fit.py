"""Tests the example that trains a Keras model of one's own."""

import runpy

import numpy as np
import running


def test_example_trains_and_prints_its_metrics(capsys):
    example = runpy.run_path(str(running.ROOT / "examples" / "keras_fit.py"))
    results = example["main"](
        num_training=16, num_test=4, image_size=32, epochs=1
    )
    assert set(results) == {"loss", "dice", "iou"}
    assert 0 < results["iou"] < results["dice"] < 1
    assert np.isfinite(results["loss"])
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == (
        f"4 test images: Dice {results['dice']:.3f}, IoU {results['iou']:.3f}"
    )


def test_drawn_pairs_are_images_and_binary_label_maps():
    example = runpy.run_path(str(running.ROOT / "examples" / "keras_fit.py"))
    images, label_maps = example["draw_pairs"](3, image_size=32, seed=0)
    assert images.shape == (3, 32, 32, 3)
    assert images.dtype == label_maps.dtype == np.float32
    assert label_maps.shape == (3, 32, 32, 1)
    assert set(np.unique(label_maps)) == {0, 1}
