"""Does a critic know how right a label map is, without the true one?

Compares what could predict the Dice of a label map with the agreement of
thresholds and views, which `--mode=predict` uses, on the 500 test images. What
is fitted to Dice is fitted to other images of them, in five folds.

Usage: python benchmarks/critic/quality.py OUT, after study.py. Writes
OUT/quality.json, which analyze.py shows.
"""

import json
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import arm_critics
import arms
import keras
import numpy as np
import tensorflow as tf
from one_run import find_test_pairs, make_config
from plan import QUALITY_RUNS, Run

from segan_tf import environment, expected_dice, files, losses
from segan_tf.config import Config
from segan_tf.datasets import label_maps
from segan_tf.imaging import preprocessing
from segan_tf.inference.predictor import Predictor, flipped_views
from segan_tf.metrics import per_image
from segan_tf.training.checkpoints import Checkpoints
from segan_tf.training.state import TrainState, build_train_state

# Between the scales of C, as in training.
DISTANCES = {
    "segan": losses.scale_distances,
    "relative": arm_critics.feature_distances,
}
FOLDS = 5
PENALTIES = (1.0, 10.0, 100.0, 1000.0, 10000.0)
RESAMPLES = 2000


class Critics:
    """Asks a trained critic, and S, about single images.

    The critic uses its moving statistics, so that an image's answer does not
    depend on others.
    """

    def __init__(self, state: TrainState) -> None:
        self._state = state
        segmentor = state.eval_model
        # The deepest level that the decoder starts from.
        deepest = segmentor.get_layer("up4_resize").input
        both = keras.Model(segmentor.input, [segmentor.output, deepest])
        self._both = tf.function(lambda image: both(image, training=False))
        critic = state.critic
        self._features = critic and tf.function(
            lambda masked: critic(masked, training=False)
        )

    def ask(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Computes what may tell the quality of an image's label map.

        Args:
          image: uint8 [height, width, 3].

        Returns:
          ``own distance`` and ``views distance``, numbers: from p to its
          decided map and to those of the flipped image; ``features of S`` and
          ``features of C``, means and deviations of their channels.
        """
        size = self._state.config.image_size
        small = preprocessing.resize_image(image, size, size).numpy()
        views = flipped_views(
            lambda view: self._segment(view)[0], small, "both"
        )
        deepest = self._segment(small)[1]
        found = {"features of S": _pool([deepest])}
        if self._features is None:
            return found
        x = preprocessing.normalize(small)
        maps = np.stack([*views, views[0] > 0.5]).astype(np.float32)
        features = self._features(x[None] * maps)
        first = [f[None, :1] for f in features]
        compare = DISTANCES[self._state.config.critic]
        distances = np.stack(
            [
                compare(first, [f[None, i : i + 1] for f in features])
                for i in range(1, len(maps))
            ]
        ).mean(axis=(1, 2, 3))
        return {
            **found,
            "views distance": -distances[:-1].mean(keepdims=True),
            "own distance": -distances[-1:],
            "features of C": _pool([f[0] for f in features]),
        }

    def _segment(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        outputs = self._both(preprocessing.normalize(image)[None])
        return tuple(output[0].numpy() for output in outputs)


def _pool(levels: Sequence[tf.Tensor | np.ndarray]) -> np.ndarray:
    """Computes mean and standard deviation of each channel of each level."""
    parts = []
    for level in levels:
        values = np.asarray(level).reshape(-1, level.shape[-1])
        parts += [values.mean(axis=0), values.std(axis=0)]
    return np.concatenate(parts)


def load(config: Config) -> TrainState:
    """Loads both models of a run, as after its last step."""
    state = build_train_state(config, steps_per_epoch=1)
    if not Checkpoints(config.model_dir, state).restore():
        raise SystemExit(f"{config.model_dir} has no checkpoint; run study.py")
    return state


def collect(
    config: Config, state: TrainState
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Computes the Dice of each test image, and what may predict it.

    Returns:
      float [images], and by name float [images, numbers].
    """
    predictor = Predictor(config.model_dir, tta=True)
    critics = Critics(state)
    dice, found = [], []
    for pair, labels in find_test_pairs(config):
        image, true = label_maps.read_pair(pair, labels)
        views = predictor.views(image)
        own = predictor.decide(views[0])
        dice.append(
            per_image.dice(per_image.confusion(own[..., 0], true[..., 0]))
        )
        agreements = {
            f"agreement of {kind}": np.array([value])
            for kind, value in predictor.agreements(image, views).items()
        }
        found.append({**agreements, **critics.ask(image)})
    return np.array(dice), {
        name: np.stack([row[name] for row in found]) for name in found[0]
    }


def fitted(
    features: np.ndarray,
    dice: np.ndarray,
    agreement: np.ndarray | None = None,
    *,
    few: bool = False,
) -> np.ndarray:
    """Predicts the Dice of each image from others.

    Args:
      features: float [images, numbers], for a ridge regression.
      dice: float [images].
      agreement: float [images]; then a rising curve is fitted to it first, and
        the features to what it leaves.
      few: fit to one fold of five at a time instead of four; the mean of the
        four fits that an image is not in is its score.

    Returns:
      float [images].
    """
    folds = np.random.default_rng(0).permutation(len(dice)) % FOLDS
    total, times = np.zeros((2, len(dice)))
    for fold in range(FOLDS):
        used = (folds == fold) if few else (folds != fold)
        start = np.full(len(dice), dice[used].mean())
        if agreement is not None:
            curve = expected_dice.fit(agreement[used], dice[used])
            start = np.array([curve(value) for value in agreement])
        mean, deviation = (f(features[used], axis=0) for f in (np.mean, np.std))
        scaled = (features - mean) / (deviation + 1e-9)
        weights = _ridge(scaled[used], (dice - start)[used])
        total[~used] += (start + scaled @ weights)[~used]
        times[~used] += 1
    return total / times


def _ridge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Fits y to x with the penalty of the least leave-one-out error."""
    left, singular, right = np.linalg.svd(x, full_matrices=False)
    best, chosen = np.inf, np.zeros(x.shape[1])
    for penalty in PENALTIES:
        shrunk = singular**2 / (singular**2 + penalty)
        residuals = y - left @ (shrunk * (left.T @ y))
        leverage = np.einsum("ij,j,ij->i", left, shrunk, left)
        error = float(np.mean((residuals / (1 - leverage)) ** 2))
        if error < best:
            best = error
            scale = singular / (singular**2 + penalty)
            chosen = right.T @ (scale * (left.T @ y))
    return chosen


def scores(
    dice: np.ndarray, found: dict[str, np.ndarray]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields each predictor of the Dice: its name and a score per image."""
    agreement = found[f"agreement of {expected_dice.VIEWS}"][:, 0]
    for name, values in found.items():
        if values.shape[1] == 1:
            yield name, values[:, 0]
            continue
        yield f"{name}, fitted", fitted(values, dice)
        both = fitted(values, dice, agreement)
        title = f"{name} and agreement of views, fitted"
        yield title, both
        few = fitted(values, dice, agreement, few=True)
        yield f"{title} to {len(dice) // FOLDS} images", few


def measure(run: Run, out: pathlib.Path) -> dict[str, dict[str, float]]:
    """Measures every predictor of a run's Dice.

    Returns:
      By name what `expected_dice.measure` tells of ranks, and low and high, the
      95 % interval of the rank correlation less that of the agreement of
      views, over the images.
    """
    config = make_config(run, epochs=1, out=out)
    dice, found = collect(config, load(config))
    rows = dict(scores(dice, found))
    reference = rows[f"agreement of {expected_dice.VIEWS}"]
    draws = np.random.default_rng(0).integers(
        len(dice), size=(RESAMPLES, len(dice))
    )
    measured = {}
    for name, score in rows.items():
        gains = [
            _rank(score[draw], dice[draw]) - _rank(reference[draw], dice[draw])
            for draw in draws
        ]
        low, high = np.quantile(gains, (0.025, 0.975))
        ranks = expected_dice.measure(score, dice)
        measured[name] = {
            "rank_correlation": ranks["rank_correlation"],
            "found_of_worst": ranks["found_of_worst"],
            "low": float(low),
            "high": float(high),
        }
    return measured


def _rank(score: np.ndarray, dice: np.ndarray) -> float:
    return expected_dice.measure(score, dice)["rank_correlation"]


def main(argv: list[str]) -> None:
    """Measures the runs of 1500 images."""
    arms.register()
    out = pathlib.Path(argv[1])
    found = {
        **environment.describe(["benchmarks/critic/quality.py", *argv[1:]]),
        "runs": {run.arm: measure(run, out) for run in QUALITY_RUNS},
    }
    files.write_text(str(out / "quality.json"), json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv)
