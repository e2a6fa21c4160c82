import dataclasses
import json
import math
import os
import pathlib
import re
import shutil
import signal

import blobs
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator

from segan_tf import labels as labels_lib
from segan_tf import run_dir, run_swap
from segan_tf.config import Config, UserError
from segan_tf.datasets import findings
from segan_tf.input import pipeline
from segan_tf.models import pretrained, restore
from segan_tf.training import (
    distributed_step,
    loop,
    monitor,
    summaries,
    validation,
)

# Four steps an epoch.
RUN = Config(image_size=32, width=2, batch_size=2, epochs=2)
TRAINING = 9


@pytest.fixture(autouse=True)
def loops_end_by_steps_only(monkeypatch):
    """Makes the loops independent of the speed of the machine."""
    monkeypatch.setattr(loop, "LOOP_SECONDS", math.inf)


def make_trainer(model_dir, validation=2, labels=labels_lib.LESION, **changes):
    return loop.Trainer(
        dataclasses.replace(RUN, model_dir=str(model_dir), **changes),
        training=blobs.make_records(TRAINING),
        validation=blobs.make_records(validation),
        strategy=tf.distribute.get_strategy(),
        labels=labels,
    )


def make_quick_trainer(
    model_dir,
    *,
    dices=(),
    after_step=lambda step: None,
    on_batch=lambda *batch: None,
    predicted_share=0.5,
    label_dice=(1.0,),
    label_images=(2.0,),
    **changes,
):
    """Makes a trainer without a critic whose steps train nothing.

    Args:
      model_dir: of the run.
      dices: the results of its validations.
      after_step: called with the number of steps made.
      on_batch: called with image and true label map of each step.
      predicted_share: that the steps log.
      label_dice: sums of the Dice that the steps log.
      label_images: numbers of images that the steps log.
      **changes: of the settings.
    """

    def quick_step(*batch):
        on_batch(*batch)
        after_step(trainer.step + 1)
        return {
            "segmentor_loss": tf.constant(0.5),
            "label_dice_sum": tf.constant(label_dice),
            "label_images": tf.constant(label_images),
            "predicted_share": tf.constant(predicted_share),
        }

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            distributed_step, "make_distributed_step", lambda *_: quick_step
        )
        trainer = make_trainer(model_dir, **{"adversarial": False} | changes)
    coming = iter(dices)
    trainer.writer.validate = lambda step: np.array(next(coming), ndmin=1)
    return trainer


TWO = labels_lib.Labels(("lesion", "nodule"))


def read_log(model_dir, kind):
    text = (pathlib.Path(model_dir) / "log.jsonl").read_text("utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    return [line for line in lines if line["kind"] == kind]


def saved_steps(model_dir, name):
    folder = pathlib.Path(model_dir) / "checkpoints" / name
    paths = folder.glob("ckpt-*.index")
    return sorted(int(path.stem.split("-")[1]) for path in paths)


def spoil(model):
    weight = model.weights[0]
    weight.assign(tf.fill(weight.shape, math.nan))


@pytest.fixture(scope="module")
def two_epochs(tmp_path_factory):
    """Trains two epochs of four steps, in loops of three steps and one."""
    folder = tmp_path_factory.mktemp("two_epochs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "LOOP_STEPS", 3)
        patch.setattr(loop, "LOOP_SECONDS", math.inf)
        trainer = make_trainer(folder, dice_weight=1.0)
        summary = trainer.train()
    return folder, trainer, summary


def test_log_has_a_line_per_loop(two_epochs):
    folder, trainer, _ = two_epochs
    lines = read_log(folder, "loop")
    assert [(line["step"], line["epoch"]) for line in lines] == [
        (3, 1),
        (4, 1),
        (7, 2),
        (8, 2),
    ]
    for line in lines:
        distances = [line[f"distance_scale{scale}"] for scale in (1, 2, 3, 4)]
        np.testing.assert_allclose(
            line["multi_scale_l1"], sum(distances) / 4, rtol=1e-5
        )
        np.testing.assert_allclose(
            line["segmentor_loss"],
            line["multi_scale_l1"] + 1.0 * line["dice_loss"],
            rtol=1e-5,
        )
        assert line["critic_loss"] < 0 < line["images_per_second"]
        assert 0 <= line["clipped_share"] <= 1
        assert 0 <= line["dice"] <= 1
        assert 0 < line["predicted_share"] < 1
    assert lines[-1]["clipped_share"] == monitor.clipped_share(
        trainer.state.critic, RUN.critic_clip
    )


def test_log_has_a_line_per_validation(two_epochs):
    lines = read_log(two_epochs[0], "epoch")
    assert [(line["step"], line["epoch"]) for line in lines] == [(4, 1), (8, 2)]
    best = max(line["validation_dice"] for line in lines)
    path = tf.train.latest_checkpoint(two_epochs[0] / "checkpoints" / "best")
    saved = tf.train.load_variable(path, "best_dice/.ATTRIBUTES/VARIABLE_VALUE")
    np.testing.assert_allclose(saved, best)


def test_training_lowers_the_dice_loss(two_epochs):
    lines = read_log(two_epochs[0], "loop")
    assert lines[-1]["dice_loss"] < lines[0]["dice_loss"]


def test_summary_is_written_to_training_json(two_epochs):
    folder, _, summary = two_epochs
    assert run_dir.read_training(str(folder)) == summary
    assert (summary["first_step"], summary["last_step"]) == (0, 8)
    # Both are rounded to one digit, so each may be off by 0.05.
    seconds, rate = summary["train_seconds"], summary["images_per_second"]
    np.testing.assert_allclose(
        seconds * rate, 8 * 2, atol=0.05 * (seconds + rate)
    )
    assert 0.1 < summary["peak_memory_gb"] < 64


def test_tensorboard_has_curves_and_images(two_epochs):
    folder, _, _ = two_epochs
    events = event_accumulator.EventAccumulator(
        str(folder / "tensorboard"), {"tensors": 0}
    )
    events.Reload()
    tags = events.Tags()["tensors"]
    points = events.Tensors("train/multi_scale_l1")
    assert [point.step for point in points] == [3, 4, 7, 8]
    np.testing.assert_allclose(
        [tf.make_ndarray(point.tensor_proto) for point in points],
        [line["multi_scale_l1"] for line in read_log(folder, "loop")],
        rtol=1e-6,
    )
    assert {"train/clipped_share", "train/distance_scale4"} < set(tags)
    assert [p.step for p in events.Tensors("validation/dice")] == [4, 8]

    (tag,) = (tag for tag in tags if tag.startswith("image, true, predicted"))
    panel = events.Tensors(tag)[-1]
    assert panel.step == 8
    # Width and height, then an image for each validation image.
    width, height, *pngs = panel.tensor_proto.string_val
    assert (width, height) == (b"96", b"32")
    assert len(pngs) == 2
    panel = tf.io.decode_png(pngs[0]).numpy()
    # Image and true label map have half their size; the noise of +-20
    # differs with the way of halving.
    image, true, predicted = np.split(panel.astype(float), 3, axis=1)
    small = blobs.draw_blob(0, size=64)[::2, ::2].astype(float)
    assert np.abs(image - small[..., :3]).mean() < 20
    assert np.abs(true[..., 0] - 255 * small[..., 3]).mean() < 5
    assert predicted.std() > 0


def test_finished_run_trains_no_step(two_epochs, capsys):
    folder, _, summary = two_epochs
    made = []
    trainer = make_quick_trainer(
        folder, dice_weight=1.0, adversarial=True, after_step=made.append
    )
    assert trainer.train() == {}
    assert not made
    assert capsys.readouterr().out == (
        f"{folder} has all 2 epochs; raise --epochs to continue.\n"
    )
    assert run_dir.read_training(str(folder)) == summary


def test_run_killed_after_its_last_step_is_completed(two_epochs, tmp_path):
    folder, _, summary = two_epochs
    run = shutil.copytree(folder, tmp_path / "run")
    (run / "training.json").unlink()
    last = run / "checkpoints" / "last"
    whole = (last / "checkpoint").read_text()
    # As if killed before the last checkpoint was listed and the oldest removed.
    (last / "checkpoint").write_text('model_checkpoint_path: "ckpt-1"\n')
    for ending in ("index", "data-00000-of-00001"):
        shutil.copy(last / f"ckpt-8.{ending}", last / f"ckpt-1.{ending}")

    trainer = make_quick_trainer(run, dice_weight=1.0, adversarial=True)

    assert trainer.train() == {}
    completed = run_dir.read_training(str(run))
    assert completed["last_step"] == summary["last_step"] == 8
    # Of the loops alone, without validation and checkpoints.
    assert 0 < completed["train_seconds"] <= summary["train_seconds"] + 0.1
    kept = {path.stem for path in last.iterdir()}
    assert kept == {"checkpoint", "ckpt-4", "ckpt-8"}
    assert 'model_checkpoint_path: "ckpt-8"' in whole
    assert (
        'model_checkpoint_path: "ckpt-8"' in (last / "checkpoint").read_text()
    )


def test_more_epochs_resume_after_the_last_one(tmp_path, capsys):
    make_quick_trainer(tmp_path, dices=[0.5], epochs=1).train()
    made = []
    second = make_quick_trainer(
        tmp_path, dices=[0.4, 0.6], epochs=3, after_step=made.append
    )
    summary = second.train()
    assert len(made) == 2 * 4
    assert (summary["first_step"], summary["last_step"]) == (4, 12)
    assert capsys.readouterr().out.splitlines() == [
        "epoch 1/1: validation dice 0.5000 (best)",
        "resuming at step 4 of 12",
        "epoch 2/3: validation dice 0.4000",
        "epoch 3/3: validation dice 0.6000 (best)",
    ]
    steps = [line["step"] for line in read_log(tmp_path, "loop")]
    assert steps == [4, 8, 12]


def test_resumed_run_gets_the_batches_of_an_uninterrupted_one(tmp_path):
    def train_and_record(model_dir, epochs):
        seen = []
        make_quick_trainer(
            model_dir,
            validation=0,
            epochs=epochs,
            on_batch=lambda *batch: seen.append([x.numpy() for x in batch]),
        ).train()
        return seen

    in_one = train_and_record(tmp_path / "in_one", epochs=2)
    in_two = [
        *train_and_record(tmp_path / "in_two", epochs=1),
        *train_and_record(tmp_path / "in_two", epochs=2),
    ]
    assert len(in_one) == len(in_two) == 2 * 4
    for expected, batch in zip(in_one, in_two, strict=True):
        for a, b in zip(expected, batch, strict=True):
            np.testing.assert_array_equal(a, b)
    assert np.any(in_one[0][0] != in_one[4][0])  # each epoch has its order


def test_validation_chooses_the_best_checkpoint(tmp_path):
    make_quick_trainer(tmp_path, dices=[0.5, 0.7, 0.6], epochs=3).train()
    assert saved_steps(tmp_path, "best") == [8]
    assert saved_steps(tmp_path, "last") == [8, 12]


def test_without_validation_only_the_last_checkpoint_is_saved(tmp_path, capsys):
    make_quick_trainer(tmp_path, validation=0).train()
    assert saved_steps(tmp_path, "best") == []
    assert restore.find_segmentor(str(tmp_path)).endswith("last/ckpt-8")
    assert capsys.readouterr().out.splitlines() == ["epoch 1/2", "epoch 2/2"]


def test_noresume_keeps_the_old_run_until_its_first_checkpoint(tmp_path):
    make_quick_trainer(tmp_path, dices=[0.5, 0.6]).train()
    old_log = read_log(tmp_path, "epoch")
    trainer = make_quick_trainer(
        tmp_path,
        dices=[0.3, 0.2],
        resume=False,
        after_step=lambda step: seen.append(
            (
                step,
                saved_steps(tmp_path, "last"),
                read_log(tmp_path, "epoch") == old_log,
            )
        ),
    )
    seen = []
    assert trainer.step == 0
    trainer.train()
    # Four steps an epoch: the first checkpoint is that of step 4.
    old, new = ([4, 8], True), ([4], False)
    assert seen == [
        (step, *(old if step <= 4 else new)) for step in range(1, 9)
    ]
    assert saved_steps(tmp_path, "best") == [4]  # the better one of the new run
    assert [line["step"] for line in read_log(tmp_path, "loop")] == [4, 8]
    assert run_dir.read_training(str(tmp_path))["last_step"] == 8
    assert {path.name for path in tmp_path.iterdir()} == {
        "checkpoints",
        "log.jsonl",
        "tensorboard",
        "training.json",
    }


def test_noresume_that_fails_changes_nothing(tmp_path):
    make_quick_trainer(tmp_path, dices=[0.5, 0.6]).train()
    before = content(tmp_path)

    def fail(step):
        raise UserError("the disk is gone")

    trainer = make_quick_trainer(tmp_path, resume=False, after_step=fail)
    with pytest.raises(UserError, match="the disk is gone"):
        trainer.train()
    run_swap.clean_up(str(tmp_path))  # as the next training does
    assert content(tmp_path) == before


def content(folder):
    """Returns the bytes of every file below a folder."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_checkpoints_are_saved_within_an_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOOP_STEPS", 3)
    make_quick_trainer(
        tmp_path, dices=[0.5], epochs=1, checkpoint_minutes=0.0
    ).train()
    assert saved_steps(tmp_path, "last") == [3, 4]


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
)
def test_signal_stops_after_the_step_and_saves(tmp_path, capsys, number):
    def stop(step):
        if step == 6:
            os.kill(os.getpid(), number)

    # What runs in the background may be started with it ignored.
    outside = signal.signal(number, signal.SIG_DFL)
    trainer = make_quick_trainer(tmp_path, dices=[0.5], after_step=stop)
    with pytest.raises(SystemExit) as stopped:
        trainer.train()
    after = signal.signal(number, outside)
    assert stopped.value.code == 143
    assert saved_steps(tmp_path, "last") == [4, 6]
    assert capsys.readouterr().out.splitlines()[-1] == (
        "stopped and saved at step 6; the same command resumes from there."
    )
    assert after == signal.SIG_DFL
    assert run_dir.read_training(str(tmp_path)) == {}
    assert make_trainer(tmp_path, adversarial=False).step == 6


def test_hang_up_that_is_ignored_does_not_stop(tmp_path):
    def stop(step):
        if step == 6:
            os.kill(os.getpid(), signal.SIGHUP)

    outside = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        trainer = make_quick_trainer(
            tmp_path, dices=[0.5, 0.6], after_step=stop
        )
        assert trainer.train()["last_step"] == 8
    finally:
        signal.signal(signal.SIGHUP, outside)


def test_signal_in_the_last_step_ends_the_run_normally(tmp_path):
    def stop(step):
        if step == 8:
            os.kill(os.getpid(), signal.SIGTERM)

    trainer = make_quick_trainer(tmp_path, dices=[0.5, 0.6], after_step=stop)
    assert trainer.train()["last_step"] == 8


def test_nan_stops_the_run_and_keeps_the_last_good_checkpoint(
    tmp_path, monkeypatch
):
    make_step = distributed_step.make_distributed_step

    def make_failing_step(state, strategy):
        real_step = make_step(state, strategy)

        def step(image, true_label_map):
            if trainer.step == 5:  # in the middle of the second epoch
                image = image * math.nan
            return real_step(image, true_label_map)

        return step

    monkeypatch.setattr(
        distributed_step, "make_distributed_step", make_failing_step
    )
    trainer = make_trainer(tmp_path, adversarial=False, epochs=3)
    with pytest.raises(
        monitor.Diverged,
        match="^step 5: segmentor_loss is nan; the last good checkpoint is kep",
    ):
        trainer.train()
    assert saved_steps(tmp_path, "last") == [4]
    assert [line["step"] for line in read_log(tmp_path, "loop")] == [4]
    model, step_of_it = restore.load_segmentor(trainer.state.config)
    assert step_of_it == 4
    assert all(np.all(np.isfinite(w.numpy())) for w in model.weights)


def test_non_finite_weights_after_the_last_step_are_not_saved(tmp_path):
    def spoil_in_the_second_epoch(step):
        if step == 8:
            spoil(trainer.state.segmentor)

    trainer = make_quick_trainer(
        tmp_path, dices=[0.5, 0.6], after_step=spoil_in_the_second_epoch
    )
    with pytest.raises(
        monitor.Diverged,
        match="^step 8: down1_conv/kernel of the segmentor is not finite",
    ):
        trainer.train()
    assert saved_steps(tmp_path, "last") == saved_steps(tmp_path, "best") == [4]


def test_validation_dice_skips_images_without_the_label(tmp_path, monkeypatch):
    trainer = make_trainer(
        tmp_path, num_labels=2, label_kind="multilabel", validation=3
    )
    true = np.zeros((3, 32, 32, 2), np.float32)
    true[:, :8, :, 0] = 1  # label 1 is in all, label 2 in the first alone
    true[0, 8:16, :, 1] = 1
    predicted = true.copy()
    predicted[0, 8:12, :, 1] = 0  # half is missed
    predicted[1, 31, :, 1] = 1  # predicted where it is not
    batch = (tf.zeros((3, 32, 32, 3)), tf.constant(true))
    monkeypatch.setattr(
        pipeline, "make_evaluation_dataset", lambda *_, **__: [batch]
    )
    label_dice = validation.compute_label_dice(
        trainer.state.config,
        blobs.make_records(3),
        lambda image: (predicted, predicted),
        labels=TWO,
        summary_writer=summaries.SummaryWriter(str(tmp_path)),
        step=0,
    )

    # Of label 2: 2 * 4 / (4 + 8) rows and 0; the third image does not count.
    np.testing.assert_allclose(label_dice, [1, (2 * 4 / (4 + 8) + 0) / 2])


def warnings_in(out):
    return [x for x in out.splitlines() if x.startswith("warning: ")]


def test_label_that_is_never_found_is_named(tmp_path, capsys):
    make_quick_trainer(
        tmp_path,
        labels=TWO,
        num_labels=2,
        dices=[(0.8, 0.0)] * 5,
        label_dice=(1.0, 0.0),
        label_images=(2.0, 1.0),
        epochs=5,
    ).train()
    out = capsys.readouterr().out
    (warning,) = warnings_in(out)
    assert warning.startswith("warning: epoch 3: label nodule is not found")
    assert "--label_weights" in warning
    lines = out.splitlines()
    assert lines[0] == (
        "epoch 1/5: validation dice 0.4000 (best); lesion 0.80, nodule 0.00"
    )
    # Over the images that have the label: 1 / 2 and 0 / 1.
    line = read_log(tmp_path, "loop")[0]
    assert (line["dice_lesion"], line["dice_nodule"]) == (0.5, 0.0)
    assert line["dice"] == (0.5 + 0.0) / 2


def test_without_validation_the_training_tells_of_a_lost_label(
    tmp_path, capsys
):
    make_quick_trainer(
        tmp_path,
        labels=TWO,
        num_labels=2,
        validation=0,
        label_dice=(1.0, 0.0),
        label_images=(2.0, 1.0),
        epochs=4,
    ).train()
    (warning,) = warnings_in(capsys.readouterr().out)
    assert "epoch 3: label nodule is not found" in warning


def test_label_that_no_label_map_has_is_no_collapse(tmp_path, capsys):
    make_quick_trainer(
        tmp_path,
        labels=TWO,
        num_labels=2,
        dices=[(0.8, math.nan)] * 4,
        label_dice=(1.0, 0.0),
        label_images=(2.0, 0.0),
        epochs=4,
    ).train()
    out = capsys.readouterr().out
    assert warnings_in(out) == []
    assert "validation dice 0.8000 (best); lesion 0.80, nodule -" in out
    assert "dice_nodule" not in read_log(tmp_path, "loop")[0]
    (first, *_) = read_log(tmp_path, "epoch")
    assert first["validation_dice"] == first["validation_dice_lesion"] == 0.8
    assert "validation_dice_nodule" not in first


def test_label_without_a_validation_image_has_no_dice(tmp_path):
    trainer = make_trainer(
        tmp_path, labels=TWO, num_labels=2, label_kind="multilabel"
    )
    facts = {
        "a": findings.MapFacts((True, False)),
        "b": findings.MapFacts((False, False)),
    }
    records = blobs.make_records(2)
    found = validation.compute_label_dice(
        trainer.state.config,
        dataclasses.replace(
            records,
            shape=(64, 64, 5),
            read=lambda i: records.read(i)[..., [0, 1, 2, 3, 3]],
            facts=facts,
        ),
        lambda image: (tf.zeros((2, 32, 32, 2)),) * 2,
        labels=TWO,
        summary_writer=summaries.SummaryWriter(str(tmp_path)),
        step=0,
    )
    np.testing.assert_array_equal(found, [0, math.nan])


def test_collapse_is_warned_of_once_with_its_step(tmp_path, capsys):
    make_quick_trainer(tmp_path, validation=0, predicted_share=0.0).train()
    assert capsys.readouterr().out.splitlines() == [
        "warning: step 4: the segmentor predicts empty label maps (share "
        "0.00000). If it persists, lower --learning_rate.",
        "epoch 1/2",
        "epoch 2/2",
    ]


@pytest.mark.parametrize(
    "changes",
    [{"precision": "mixed_bfloat16"}, {"xla": True, "adversarial": False}],
)
def test_bfloat16_and_xla_train_with_finite_losses(tmp_path, changes):
    trainer = make_trainer(
        tmp_path, validation=0, epochs=1, batch_size=TRAINING // 2, **changes
    )
    assert trainer.train()["last_step"] == 2
    (line,) = read_log(tmp_path, "loop")
    numbers = [value for value in line.values() if isinstance(value, float)]
    assert np.all(np.isfinite(numbers))
    assert line["segmentor_loss"] > 0
    for model in filter(None, (trainer.state.segmentor, trainer.state.critic)):
        dtypes = {tf.as_dtype(w.dtype) for w in model.trainable_variables}
        assert dtypes == {tf.float32}


def test_batch_larger_than_the_training_split_is_an_error(tmp_path):
    with pytest.raises(
        UserError,
        match=r"--batch_size \(10\) is more than the 9 training pairs; use at",
    ):
        make_trainer(tmp_path, batch_size=10)


def test_full_disk_ends_the_run_with_an_error(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    def fill_disk(step):
        if step == 8:
            monkeypatch.setattr(tf.train.CheckpointManager, "save", fail)

    trainer = make_quick_trainer(
        tmp_path, dices=[0.5, 0.4], after_step=fill_disk, epochs=3
    )
    with pytest.raises(
        UserError,
        match=r"the checkpoint of step 8 cannot be written \(No "
        r"space left on device\); make room and start again, the run resumes "
        r"from step 4\.",
    ):
        trainer.train()
    assert make_trainer(tmp_path, adversarial=False, epochs=3).step == 4


def test_unwritable_tensorboard_folder_is_an_error(tmp_path):
    (tmp_path / "tensorboard").write_text("a file where the folder would be")
    with pytest.raises(
        UserError,
        match=r"tensorboard cannot be written \(Not a directory\); make room",
    ):
        make_trainer(tmp_path, adversarial=False)


def test_start_from_initializes_the_segmentor_and_its_average(tmp_path):
    first = make_trainer(tmp_path / "first", epochs=1, ema=0.9)
    first.train()
    start, _ = restore.load_segmentor(run_dir_flags(first, tmp_path / "first"))
    larger = make_trainer(
        tmp_path / "second",
        image_size=48,
        ema=0.9,
        start_from=str(tmp_path / "first"),
    )
    for model in (larger.state.segmentor, larger.state.ema_model):
        for a, b in zip(start.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.any_edition
def test_resumed_run_keeps_its_weights_despite_start_from(tmp_path):
    first = make_trainer(tmp_path / "first", epochs=1)
    first.train()
    run_dir_flags(first, tmp_path / "first")
    from_first = {"start_from": str(tmp_path / "first")}
    second = make_trainer(tmp_path / "second", epochs=1, **from_first)
    second.train()
    again = make_trainer(tmp_path / "second", epochs=2, **from_first)
    assert again.step == 4
    for a, b in zip(
        second.state.segmentor.get_weights(),
        again.state.segmentor.get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_run_can_start_from_the_released_model(tmp_path):
    with pytest.raises(UserError, match="--segmentor .*pretrained"):
        make_trainer(tmp_path / "segan", start_from="pretrained")
    released = pretrained.find().config
    trainer = make_trainer(
        tmp_path / "lite0",
        start_from="pretrained",
        segmentor=released.segmentor,
        width=released.width,
        critic_width=2,
    )
    for a, b in zip(
        pretrained.find().load_segmentor().get_weights(),
        trainer.state.segmentor.get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def run_dir_flags(trainer, model_dir):
    """Writes a trainer's flags, as the program does; reads them back."""
    run_dir.write_flags(trainer.state.config, ["main.py"])
    return run_dir.read_flags(str(model_dir))


def test_averaged_weights_are_validated_and_saved(tmp_path):
    trainer = make_trainer(tmp_path, epochs=1, ema=0.9)
    trainer.train()
    config = run_dir_flags(trainer, tmp_path)
    kept, _ = restore.load_segmentor(config)
    averaged = trainer.state.ema_model.get_weights()
    assert not np.array_equal(
        averaged[0], trainer.state.segmentor.get_weights()[0]
    )
    for a, b in zip(averaged, kept.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    again = make_trainer(tmp_path, epochs=2, ema=0.9)
    for a, b in zip(averaged, again.state.ema_model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_without_validation_the_last_averaged_weights_are_used(tmp_path):
    trainer = make_trainer(tmp_path, validation=0, epochs=1, ema=0.9)
    trainer.train()
    used, _ = restore.load_segmentor(run_dir_flags(trainer, tmp_path))
    for a, b in zip(
        trainer.state.ema_model.get_weights(), used.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(a, b)


class FailingRecords:
    """Blobs of which one can no longer be read, from some read on."""

    def __init__(self, count, *, reads):
        self._blobs = blobs.make_records(count)
        self._reads = reads

    def make(self):
        return dataclasses.replace(self._blobs, read=self._read)

    def _read(self, index):
        self._reads -= 1
        if self._reads < 0:
            raise UserError("a.png cannot be opened (gone).")
        return self._blobs.read(index)


def make_failing_trainer(model_dir, training, validation, **changes):
    """Makes a trainer whose records fail after these numbers of reads."""
    return loop.Trainer(
        dataclasses.replace(
            RUN, model_dir=str(model_dir), adversarial=False, **changes
        ),
        training=FailingRecords(TRAINING, reads=training).make(),
        validation=FailingRecords(2, reads=validation).make(),
        strategy=tf.distribute.get_strategy(),
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Trains without a critic and a missing image.

    Returns:
      The folder, and the weights of the segmentor.
    """
    folder = tmp_path_factory.mktemp("uninterrupted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "LOOP_SECONDS", math.inf)
        trainer = make_trainer(folder, adversarial=False)
        trainer.train()
    return folder, trainer.state.segmentor.get_weights()


# Threads read ahead, so that the second read may be counted before the first.
@pytest.mark.any_edition
@pytest.mark.parametrize("reads", [6, 8, 14])
def test_run_is_saved_when_an_image_vanishes(tmp_path, reads, uninterrupted):
    trainer = make_failing_trainer(tmp_path, reads, 1000)
    words = r"^a.png cannot be opened \(gone\); the run is saved at step (\d+),"
    with pytest.raises(UserError, match=words) as caught:
        trainer.train()
    step = int(re.search(words, str(caught.value))[1])
    assert 1 <= step <= reads // 2
    assert saved_steps(tmp_path, "last")[-1] == step
    assert len(read_log(tmp_path, "epoch")) == step // 4
    # With the image again, the run ends as if nothing had happened.
    resumed = make_trainer(tmp_path, adversarial=False)
    assert resumed.step == step
    resumed.train()
    folder, weights = uninterrupted
    for weight, expected in zip(
        resumed.state.segmentor.get_weights(), weights, strict=True
    ):
        np.testing.assert_array_equal(weight, expected)
    assert read_log(tmp_path, "epoch") == read_log(folder, "epoch")


def test_nothing_is_saved_before_the_first_step(tmp_path):
    trainer = make_failing_trainer(tmp_path, 0, 1000)
    with pytest.raises(UserError, match=r"gone\); nothing is saved yet.$"):
        trainer.train()
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.any_edition
def test_validation_image_that_vanishes_is_named(tmp_path):
    trainer = make_failing_trainer(tmp_path, 1000, 3, checkpoint_minutes=1000)
    with pytest.raises(UserError, match=r"^a.png .* saved at step 4, and the"):
        trainer.train()
    assert len(read_log(tmp_path, "epoch")) == 1
