"""Tests one worker of two; what the other says is made up."""

import dataclasses
import math
import os
import shutil

import blobs
import pytest
import tensorflow as tf

from segan_tf.config import Config, UserError
from segan_tf.training import (
    distributed_step,
    link,
    loop,
    plan,
    preparation,
    run_writer,
    train,
    workers,
)

# Four steps an epoch.
RUN = Config(image_size=32, width=2, batch_size=2, epochs=1, adversarial=False)


class OneOfTwo(workers.Workers):
    """A worker that hears `says` and `flags` instead of the other.

    Without, the other says the same.
    """

    def __init__(self, index, *, says=None, flags=lambda: ()):
        super().__init__(index=index, count=2)
        self.says = says
        self._flags = flags
        self.said = []

    def any(self, *flags):
        others = self._flags() or (False,) * len(flags)
        return tuple(a or b for a, b in zip(flags, others, strict=True))

    def gather(self, text):
        self.said.append(text)
        texts = [text if self.says is None else self.says, text]
        return texts if self.index else texts[::-1]

    def share_variables(self, variables):
        self.said.append(len(variables))


def make_trainer(model_dir, group, **changes):
    return loop.Trainer(
        dataclasses.replace(RUN, model_dir=str(model_dir), **changes),
        training=blobs.make_records(8),
        validation=blobs.make_records(2),
        strategy=tf.distribute.get_strategy(),
        workers=group,
    )


@pytest.fixture(autouse=True)
def loops_end_by_steps_only(monkeypatch):
    monkeypatch.setattr(loop, "LOOP_SECONDS", math.inf)


def test_only_the_chief_writes_and_returns_a_summary(tmp_path):
    chief = make_trainer(tmp_path / "0", OneOfTwo(0))
    other = make_trainer(tmp_path / "1", OneOfTwo(1, says="0"))
    assert chief.train()["last_step"] == 4
    assert other.train() == {}
    assert other.step == 4
    assert os.path.isdir(tmp_path / "0" / "checkpoints")
    assert not os.path.exists(tmp_path / "1")
    for a, b in zip(
        chief.state.segmentor.get_weights(),
        other.state.segmentor.get_weights(),
        strict=True,
    ):
        assert (a == b).all()


def test_all_workers_start_at_the_chief_s_step_and_state(tmp_path):
    group = OneOfTwo(1, says="3")
    trainer = make_trainer(tmp_path, group)
    assert trainer.step == 3
    state = trainer.state
    # Weights, two moments of each trained one, the step and perhaps the rate.
    least = len(state.segmentor.weights)
    least += 2 * len(state.segmentor.trainable_weights) + 1
    assert least <= group.said[-1] <= least + 1


@pytest.mark.parametrize("index", [0, 1])
def test_pair_that_another_worker_cannot_read_ends_all_saved(
    tmp_path, index, monkeypatch
):
    made = []
    make = distributed_step.make_distributed_step

    def make_counted(*args):
        step = make(*args)
        return lambda *batch: made.append(None) or step(*batch)

    monkeypatch.setattr(distributed_step, "make_distributed_step", make_counted)
    group = OneOfTwo(
        index, says="0", flags=lambda: len(made) == 2 and (True, True)
    )
    trainer = make_trainer(tmp_path, group)
    group.says = "a.png cannot be opened (gone)."
    with pytest.raises(UserError) as caught:
        trainer.train()
    assert str(caught.value) == (
        f"worker {1 - index}: a.png cannot be opened (gone); the run is saved "
        "at step 2, and the same command resumes from there."
    )
    saved = os.path.isdir(tmp_path / "checkpoints" / "last")
    assert saved == (index == 0)


class FakeLink:
    def __init__(self):
        self.failures = []

    def close(self, failure="", status=1):
        self.failures.append((failure, status) if failure else ())


def end_with(error):
    joined = FakeLink()
    with pytest.raises(BaseException) as caught, workers.ended_together(joined):
        raise error
    return caught.value, joined.failures


def test_others_are_told_how_a_worker_ends(monkeypatch, capsys):
    monkeypatch.setattr(workers, "LINK_SECONDS", 0)
    joined = FakeLink()
    with workers.ended_together(joined):
        pass
    assert joined.failures == [()]
    assert end_with(SystemExit(143))[1] == [()]
    assert end_with(UserError("a.png is gone."))[1] == [("a.png is gone.", 1)]
    assert end_with(KeyError("x"))[1] == [("KeyError('x')", 1)]
    stopped = ("it was stopped", link.LOST_STATUS)
    assert end_with(KeyboardInterrupt())[1] == [stopped]
    lost = tf.errors.UnavailableError(None, None, "Graph error\nreset by peer")
    ended, told = end_with(lost)
    assert (type(ended), ended.code) == (SystemExit, link.LOST_STATUS)
    assert told == [("it lost another worker", link.LOST_STATUS)]
    assert capsys.readouterr().err.startswith(
        "error: another worker no longer answers (reset by peer); start all"
    )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Prepares a run as its chief; not to be changed."""
    folder = tmp_path_factory.mktemp("prepared")
    blobs.write_pairs(str(folder / "data"), 12, size=20)
    config = dataclasses.replace(
        RUN, data_dir=str(folder / "data"), model_dir=str(folder / "run")
    )
    preparation.create_model_dir(config)
    return preparation.prepare(config)


@pytest.fixture
def plan_text(prepared):
    """Returns what the chief tells the others."""
    chief = OneOfTwo(0)
    assert plan.share(prepared.config, prepared, workers=chief) is prepared
    return chief.said[0]


def follow(config, text):
    return plan.share(config, None, workers=OneOfTwo(1, says=text))


def test_other_worker_trains_on_the_chief_s_pairs(prepared, plan_text):
    config = dataclasses.replace(prepared.config, model_dir="elsewhere")
    followed = follow(config, plan_text)
    assert followed.divided.train == prepared.divided.train
    assert not followed.divided.validation
    assert followed.labels == prepared.labels
    assert followed.styles == prepared.styles
    assert followed.config.flip == prepared.config.flip == "both"
    assert not os.path.exists("elsewhere")


def test_data_may_have_another_path(prepared, plan_text, tmp_path):
    shutil.copytree(prepared.config.data_dir, tmp_path / "copy")
    config = dataclasses.replace(
        prepared.config, data_dir=str(tmp_path / "copy")
    )
    train_split = follow(config, plan_text).divided.train
    assert [pair.id for pair in train_split] == [
        pair.id for pair in prepared.divided.train
    ]
    assert train_split[0].image_path.startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"learning_rate": 0.1},
            "--learning_rate is 0.1 for worker 1 and 0.002 for worker 0; give "
            "both the same.",
        ),
        (
            {"label_names": "mole"},
            "the labels of worker 1 (mole) are read in another way than those "
            "of worker 0; give both the same labels.json.",
        ),
    ],
)
def test_other_settings_are_named(prepared, plan_text, changes, words):
    with pytest.raises(UserError) as caught:
        follow(dataclasses.replace(prepared.config, **changes), plan_text)
    assert str(caught.value) == words


def test_missing_pair_is_named(prepared, plan_text, tmp_path):
    data = shutil.copytree(prepared.config.data_dir, tmp_path / "part")
    missing = prepared.divided.train[2].id
    for name in ("images", "label_maps"):
        os.remove(data / name / f"{missing}.png")
    config = dataclasses.replace(prepared.config, data_dir=str(data))
    with pytest.raises(UserError, match=f"not find 1 of the .* as {missing};"):
        follow(config, plan_text)


def test_workers_that_can_use_other_pairs_all_end():
    chief = OneOfTwo(0)
    plan.check_same_pairs(["a", "b"], chief)
    with pytest.raises(UserError) as caught:
        plan.check_same_pairs(["a"], OneOfTwo(1, says=chief.said[0]))
    assert str(caught.value) == (
        "worker 1 can use 1 of the training pairs and worker 0 2, or others; "
        "give all workers the same data."
    )


def test_pairs_may_have_names_that_are_no_text():
    name = os.fsdecode(b"L\xe4sion")
    plan.check_same_pairs([name], workers.Workers())
    with pytest.raises(UserError):
        plan.check_same_pairs([name], OneOfTwo(1, says="1 abc"))


def test_workers_with_other_numbers_of_gpus_all_end():
    plan.check_same_devices(4, OneOfTwo(0))
    with pytest.raises(UserError) as caught:
        plan.check_same_devices(2, OneOfTwo(1, says="4"))
    assert str(caught.value) == (
        "worker 1 has 2 GPUs to use and worker 0 has 4; give all the same, or "
        "--num_replicas."
    )


def test_several_workers_need_the_command_line_or_an_index(tmp_path):
    config = Config(num_workers=2, model_dir=str(tmp_path))
    with pytest.raises(UserError, match="--num_workers .* --worker_index and"):
        train.train(config)


def test_error_of_a_pair_says_what_is_saved():
    error = run_writer.describe_failure(RUN, "a.png is gone.", 0)
    assert str(error) == "a.png is gone; nothing is saved yet."
