"""Tests of training a segmentor that is told the style of each label map."""

import csv
import json

import numpy as np
import pytest
import running
import tensorflow as tf

from segan_tf import styles
from segan_tf.config import CRITIC_FORMS, Config
from segan_tf.imaging import images
from segan_tf.inference.predictor import Predictor
from segan_tf.input import cached_dataset, pipeline
from segan_tf.models import layers
from segan_tf.training import distributed_step, train_step
from segan_tf.training.state import build_train_state

TWO = styles.Styles(("loose", "tight"), (0.5, 0.5))
SETTINGS = Config(
    image_size=32, width=2, batch_size=4, num_labels=2, dice_weight=1.0
)
TINY = (
    "--image_size=32",
    "--width=2",
    "--batch_size=4",
    "--num_test=4",
    "--num_validation=4",
    "--noadversarial",
)


def modulations(model):
    return [x for x in model.layers if isinstance(x, layers.StyleModulation)]


@pytest.mark.parametrize("form", CRITIC_FORMS)
def test_step_trains_the_styles_of_segmentor_and_critic(form):
    state = build_train_state(
        SETTINGS.replace(critic_form=form, ema=0.5),
        steps_per_epoch=10,
        styles=TWO,
    )
    image = tf.random.stateless_normal((4, 32, 32, 3), (1, 2))
    label_map = tf.cast(image[..., :2] > 0, tf.float32)
    style = tf.constant([[1, 0], [0, 1], [0.5, 0.5], [1, 0]], tf.float32)
    logs = train_step.train_step(state, image, label_map, style)
    distributed_step.update_ema(state)
    assert np.isfinite(logs["segmentor_loss"])
    for model in (state.segmentor, state.critic, state.ema_model):
        assert modulations(model)
        for layer in modulations(model):
            assert np.any(layer.offset)
    for layer in modulations(state.critic):
        assert np.abs(layer.offset).max() <= 0.0101  # clipped like the others


def make_rows(dropout, count=8):
    """Gives the pairs two styles in turn."""
    rows = np.float32([[1, 0], [0, 1]] * (count // 2))
    return pipeline.StyleRows(rows, np.float32([0.25, 0.75]), dropout)


def make_batches(style_rows, first_step=0, last_step=100):
    """Makes batches of pairs whose color is the number of their style."""
    numbers = np.arange(8).reshape(-1, 1, 1, 1) % 2
    both = np.broadcast_to(numbers, (8, 32, 32, 4)).astype(np.uint8)
    records = cached_dataset.CachedDataset(
        8, both.shape[1:], both.__getitem__, {}
    )
    dataset = pipeline.make_training_dataset(
        records,
        batch_size=4,
        image_size=16,
        first_step=first_step,
        last_step=last_step,
        seed=0,
        styles=style_rows,
    )
    return list(dataset.as_numpy_iterator())


def test_every_example_has_the_style_of_its_pair():
    for _, label_map, style in make_batches(make_rows(0.0)):
        np.testing.assert_array_equal(style[:, 1], label_map[:, 0, 0, 0])
        np.testing.assert_array_equal(style.sum(axis=1), 1)


def test_a_share_of_the_examples_has_the_mean_style():
    dropped = [
        style[1] == 0.75
        for _, _, batch in make_batches(make_rows(0.25))
        for style in batch
    ]
    # Binomial of 400 draws: 0.25 +- 0.022.
    assert abs(np.mean(dropped) - 0.25) < 0.08


def test_styles_change_no_image_and_resume_exactly():
    plain = make_batches(None)
    styled = make_batches(make_rows(0.25))
    for (image, label_map), (same_image, same_map, _) in zip(
        plain, styled, strict=True
    ):
        np.testing.assert_array_equal(image, same_image)
        np.testing.assert_array_equal(label_map, same_map)
    for later, batch in zip(
        make_batches(make_rows(0.25), first_step=50), styled[50:], strict=True
    ):
        np.testing.assert_array_equal(later[2], batch[2])


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Writes disks; the loose maps are larger than the disks."""
    folder = tmp_path_factory.mktemp("disks")
    rows, columns = np.mgrid[:40, :40]
    distance = np.hypot(rows - 20, columns - 20)
    for part in ("images", "label_maps"):
        (folder / part).mkdir()
    with open(folder / "styles.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "style"])
        for number in range(24):
            name, loose = f"d{number:02}", number % 2
            image = np.full((40, 40, 3), 200, np.uint8)
            image[distance < 8] = 60 + number
            marked = distance < (12 if loose else 8)
            images.write_png(folder / "images" / f"{name}.png", image)
            images.write_png(
                folder / "label_maps" / f"{name}.png",
                marked.astype(np.uint8) * 255,
            )
            writer.writerow([name, "loose" if loose else "tight"])
    return folder


def train(data_dir, model_dir, *flags):
    return running.run(
        "--mode=train",
        f"--data_dir={data_dir}",
        f"--model_dir={model_dir}",
        *TINY,
        *flags,
    )


@pytest.fixture(scope="module")
def styled_run(data_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("styled")
    result = train(
        data_dir, folder, "--epochs=60", "--learning_rate=0.01", "--seed=1"
    )
    assert result.status == 0, result.err
    assert "2 annotation styles (loose, tight)" in result.out
    return folder


def test_trained_segmentor_draws_in_the_style_it_is_told(styled_run, data_dir):
    image = images.read_image(data_dir / "images" / "d00.png")
    predictor = Predictor(str(styled_run))
    loose, mean, tight = (
        predictor.label_map(image, style=style).sum()
        for style in ("loose", "mean", "tight")
    )
    assert tight < mean < loose
    assert (
        Predictor(str(styled_run), style="loose")(image).label_map.sum()
        == loose
    )


def test_evaluation_is_untold_and_told(styled_run):
    result = running.run("--mode=evaluate", f"--model_dir={styled_run}")
    assert result.status == 0, result.err
    report = styled_run / "evaluation_test"
    results = json.loads((report / "results.json").read_text())
    told, untold = (
        results["styles"]["told"]["metrics"]["dice"]["mean"],
        results["metrics"]["dice"]["mean"],
    )
    assert told > untold + 0.01
    assert results["styles"]["gain"]["dice"]["mean"] == pytest.approx(
        told - untold
    )
    by_style = results["styles"]["by_style"]
    assert sum(row["image_count"] for row in by_style.values()) == 4
    with open(report / "per_image.csv") as file:
        rows = list(csv.DictReader(file))
    for style in by_style:
        of_style = [row for row in rows if row["style"] == style]
        for column, which in (("dice", "untold"), ("told_dice", "told")):
            mean = np.mean([float(row[column]) for row in of_style])
            assert by_style[style][which]["dice"]["mean"] == pytest.approx(
                mean, abs=1e-6
            )
    assert "when the model is told the style of each label map" in result.out


def test_other_styles_are_evaluated_in_another_folder(
    styled_run, data_dir, tmp_path
):
    rows = [f"d{number:02},tight" for number in range(24)]
    path = tmp_path / "all_tight.csv"
    path.write_text("\n".join(["id,style", *rows]))
    result = running.run(
        "--mode=evaluate", f"--model_dir={styled_run}", f"--styles={path}"
    )
    assert result.status == 0, result.err
    assert "evaluation_test_" in result.out
    path.write_text("\n".join(["id,style", *rows, "x,y"]).replace("t\n", "u\n"))
    result = running.run(
        "--mode=evaluate", f"--model_dir={styled_run}", f"--styles={path}"
    )
    assert result.status == 1
    assert "has the style tighu, and the model knows loose, tight" in result.err


def test_resumed_run_keeps_its_styles(styled_run, data_dir, tmp_path):
    train(data_dir, tmp_path / "run", "--epochs=1")
    again = train(data_dir, tmp_path / "run", "--epochs=2")
    assert again.status == 0, again.err
    other = tmp_path / "other.csv"
    other.write_text("id,style\nd00,tight\nd01,loose\nd02,tight\nd03,loose\n")
    changed = train(
        data_dir, tmp_path / "run", "--epochs=3", f"--styles={other}"
    )
    assert changed.status == 1
    assert "gives other styles than" in changed.err


@pytest.mark.any_edition
def test_run_without_styles_is_resumed_without(data_dir, tmp_path):
    train(data_dir, tmp_path, "--epochs=1", "--styles=none")
    result = train(data_dir, tmp_path, "--epochs=2")
    assert result.status == 0, result.err
    assert not (tmp_path / styles.FILE_NAME).exists()


@pytest.mark.any_edition
def test_run_that_starts_over_has_the_styles_of_the_new_one(data_dir, tmp_path):
    train(data_dir, tmp_path, "--epochs=1")
    result = train(
        data_dir, tmp_path, "--epochs=1", "--noresume", "--styles=none"
    )
    assert result.status == 0, result.err
    assert styles.read(str(tmp_path)) == styles.UNASSIGNED
    assert not Predictor(str(tmp_path)).styles.count
    assert train(data_dir, tmp_path, "--epochs=2").status == 0


@pytest.mark.any_edition
def test_styled_run_may_start_from_a_plain_one_and_back(
    styled_run, data_dir, tmp_path
):
    train(data_dir, tmp_path / "plain", "--epochs=1", "--styles=none")
    styled = train(
        data_dir,
        tmp_path / "styled",
        "--epochs=1",
        f"--start_from={tmp_path / 'plain'}",
    )
    assert styled.status == 0, styled.err
    back = train(
        data_dir,
        tmp_path / "back",
        "--epochs=1",
        "--styles=none",
        f"--start_from={styled_run}",
    )
    assert back.status == 0, back.err


@pytest.mark.any_edition
def test_start_with_other_styles_is_one_line(styled_run, data_dir, tmp_path):
    path = tmp_path / "other.csv"
    path.write_text(
        (data_dir / "styles.csv").read_text().replace("loose", "wide")
    )
    result = train(
        data_dir,
        tmp_path / "run",
        "--epochs=1",
        f"--styles={path}",
        f"--start_from={styled_run}",
    )
    assert result.status == 1
    assert "was trained with loose, tight; give the same" in result.err


@pytest.mark.any_edition
def test_check_reports_each_style(data_dir, tmp_path):
    result = running.run(
        "--mode=check", f"--data_dir={data_dir}", f"--model_dir={tmp_path}"
    )
    assert result.status == 0
    # Disks of radius 12 and 8 in 40 x 40 pixels.
    assert "style loose: 12 pairs" in result.out
    assert "median share 27." in result.out
    assert "median share 12." in result.out
