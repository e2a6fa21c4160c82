"""Squares and bars with their scores: images whose metrics are known."""

import numpy as np

from segan_tf import labels as labels_lib
from segan_tf.evaluation import results, scores

TWO_LABELS = labels_lib.Labels(("left part", "right"))


def draw_squares(side):
    """Draws an image with a true square and a predicted one of that side.

    Returns:
      Image, predicted label map and true label map.
    """
    image = np.full((24, 32, 3), 200, np.uint8)
    true = np.zeros((24, 32, 1), np.uint8)
    true[2:22, 2:22] = 1
    predicted = np.zeros_like(true)
    predicted[2 : 2 + side, 2 : 2 + side] = 1
    return image, predicted, true


def load_squares(image_id):
    """Draws the squares that an id of `score_squares` names."""
    return draw_squares(int(image_id.removeprefix("lesion_")))


def score_squares(sides):
    """Scores an image for each side."""
    return [
        scores.score_image(
            f"lesion_{side:02d}",
            *draw_squares(side)[1:],
            labels=labels_lib.LESION,
        )
        for side in sides
    ]


def score_told_squares(sides):
    """Scores images of which a model is told the style.

    Args:
      sides: (style, untold, told) of each: the style is "" if it is not known,
        and the sides are those of the predicted squares.
    """
    scored = []
    for number, (style, untold, told) in enumerate(sides):
        name = f"image_{number}"
        of_untold, of_told = (
            scores.score_image(
                name, *draw_squares(side)[1:], labels=labels_lib.LESION
            )
            for side in (untold, told)
        )
        scored.append(of_untold.with_told(of_told, style))
    return scored


def squares_results(sides, **metadata):
    """Summarizes the scores of an image for each side."""
    return results.build_results(
        score_squares(sides), labels=labels_lib.LESION, metadata=metadata
    )


def load_bars(image_id):
    """Draws two labels; "b" has no right one.

    Returns:
      Image, predicted label map and true label map.
    """
    image = np.full((24, 32, 3), 200, np.uint8)
    true = np.zeros((24, 32, 2), np.uint8)
    true[2:22, 2:12, 0] = 1
    if image_id != "b":
        true[2:22, 12:22, 1] = 1
    predicted = true.copy()
    if image_id == "a":  # half of the right one is taken for the left one
        predicted[2:12, 12:22] = [1, 0]
    return image, predicted, true


def score_bars(labels=TWO_LABELS):
    """Scores the images a, b and c of two labels."""
    return [
        scores.score_image(name, *load_bars(name)[1:], labels=labels)
        for name in "abc"
    ]
