"""Trains a run from its settings, or resumes it."""

import contextlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from segan_tf import console, run_dir, run_lock, startup
from segan_tf import decision as decision_lib
from segan_tf import styles as styles_lib
from segan_tf.config import Config
from segan_tf.datasets import content, findings, splits
from segan_tf.training import cluster, link, plan, preparation
from segan_tf.training import workers as workers_lib
from segan_tf.training.preparation import Prepared
from segan_tf.training.workers import Workers

if TYPE_CHECKING:
    from segan_tf.training import loop


def train(config: Config, *, command: Sequence[str] = ()) -> dict[str, Any]:
    """Trains, or resumes, the run in ``model_dir``.

    Several workers, each in a process of its own, call it with the same
    settings; see ``num_workers``.

    Args:
      config: all settings of the run.
      command: recorded in flags.json.

    Returns:
      first_step and last_step, train_seconds, images_per_second and
      peak_memory_gb; empty if the run has all its epochs already, and for
      workers other than the chief.

    Raises:
      UserError: a setting, a pair or the folder cannot be used, a loss is
        not finite, or another worker failed.
      SystemExit: SIGTERM or SIGINT stopped the run; it is saved.
    """
    found = cluster.find(config)
    if found is None:
        return _train(config, command, Workers())
    # Where a worker is lost, one line says so; TensorFlow would add many.
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    startup.import_tensorflow()
    from segan_tf.training import distribution

    distribution.check_workers(found.count)
    console.say(
        f"worker {found.index} of {found.count} waits for the others (worker "
        f"0: {found.coordinator})"
    )
    joined = link.join(found)
    with workers_lib.ended_together(joined), contextlib.ExitStack() as muted:
        if found.index:
            muted.enter_context(console.quiet())
        strategy = distribution.create_strategy(
            num_replicas=config.num_replicas,
            addresses=joined.addresses,
            worker=found.index,
        )
        workers = Workers(strategy, index=found.index, count=found.count)
        plan.check_same_devices(len(strategy.extended.worker_devices), workers)
        return _train(config, command, workers)


def _train(
    config: Config, command: Sequence[str], workers: Workers
) -> dict[str, Any]:
    with contextlib.ExitStack() as held:
        prepared: Prepared | None = None
        if workers.is_chief:
            preparation.create_model_dir(config)
            held.enter_context(run_lock.hold(config.model_dir))
            prepared = preparation.prepare(config)
        prepared = plan.share(config, prepared, workers=workers)
        trainer = _make_trainer(prepared, workers)
        if workers.is_chief:
            # After all checks: a command that fails must neither change how a
            # trained model is read nor block the next command.
            _write_records(prepared, command, folder=trainer.folder)
        summary = trainer.train()
    if summary:
        _warn_of_decision(config.model_dir)
    return summary


def _make_trainer(prepared: Prepared, workers: Workers) -> "loop.Trainer":
    startup.import_tensorflow()
    from segan_tf.input import cached_dataset
    from segan_tf.training import distribution, loop

    config, labels = prepared.config, prepared.labels
    strategy = workers.strategy or distribution.create_strategy(
        num_replicas=config.num_replicas, virtual_devices=config.virtual_devices
    )
    # Before the pairs are decoded, which may take minutes.
    distribution.check_batch_size(
        config.batch_size,
        strategy.num_replicas_in_sync,
        parts=config.gradient_accumulation_steps,
    )
    # Of workers on one machine, each has a file of its own with --cache=disk.
    place = "" if workers.is_chief else f"worker_{workers.index}"
    caching = config.replace(model_dir=os.path.join(config.model_dir, place))
    training, validation = (
        cached_dataset.open_split(
            caching, part, labels, progress=console.bar, say=console.say
        )
        for part in (prepared.divided.train, prepared.divided.validation)
    )
    findings.report(
        training.facts,
        labels,
        what=findings.TRAINING,
        say=console.say,
        others=validation.facts,
    )
    plan.check_same_pairs(list(training.facts), workers)
    return loop.Trainer(
        config,
        training=training,
        validation=validation,
        strategy=strategy,
        labels=labels,
        styles=prepared.styles,
        workers=workers,
    )


def _write_records(
    prepared: Prepared, command: Sequence[str], *, folder: str
) -> None:
    """Writes what tells later how the run was trained."""
    splits.write_splits(prepared.divided, folder)
    if prepared.record:
        content.write_record(prepared.record, folder)
    run_dir.write_labels(prepared.labels, folder)
    # A run that starts over without styles replaces those of the old one.
    styles = prepared.styles
    if styles.styles.count or styles_lib.is_recorded(prepared.config.model_dir):
        with run_dir.reported(folder):
            styles_lib.write(styles, folder)
    # Where the run continues, its workers may be others.
    config = prepared.config.with_given(
        prepared.config.given, worker_index=None, coordinator=""
    )
    run_dir.write_flags(config, command, folder=folder)


def _warn_of_decision(model_dir: str) -> None:
    """Warns of a decision that was fitted to the weights of before."""
    path = decision_lib.path_in(model_dir)
    if os.path.lexists(path):
        console.say(
            f"warning: {path} was fitted to the weights of an earlier step; "
            "run --mode=calibrate again, or remove it"
        )
