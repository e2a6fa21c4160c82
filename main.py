"""SegAN: trains a segmentor against a critic, scores it and hands it out."""

import dataclasses
import os
import sys

# Before TensorFlow is imported: its own log lines are not the user's, and
# oneDNN's kernels are off by default on processors without AVX-512, where
# they still make a train step about half as fast again.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from absl import app, logging
from absl import flags as absl_flags

import flags
from segan_tf import config, progress, quiet
from segan_tf.models import imagenet_weights
from segan_tf.training import run_dir

FLAGS = flags.FLAGS


def main(argv: list[str]) -> int:
    """Runs one mode; a user's mistake is one line and exit status 1."""
    try:
        if len(argv) > 1:
            raise config.UserError(
                f"{argv[1]!r} is not a flag; flags are --name=value."
            )
        if FLAGS.mode is None:
            raise config.UserError(
                f"--mode is missing; give one of {', '.join(config.MODES)}, "
                "or --help."
            )
        # For every mode before TensorFlow, which takes seconds to start: an
        # impossible value is known at once.
        return _MODES[FLAGS.mode](config.Config(**_given()))
    except config.UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _check(run: config.Config) -> int:
    """Reads every pair and says what it finds."""
    from segan_tf.data import checks, sources

    labels = sources.load_labels(run)
    found = sources.find(run, labels, progress=progress.bar)
    report = checks.check_pairs(
        sources.make_splits(run, found.pairs),
        labels=labels,
        unmatched=found.problems,
        notes=found.notes,
        progress=progress.bar,
    )
    print(report.summary())
    return 1 if report.refuses_training else 0


def _train(run: config.Config) -> int:
    """Trains, or goes on training, the run in model_dir."""
    from segan_tf.data import sources, splits

    _create_model_dir(run)
    goes_on = run.resume and run_dir.has_flags(run.model_dir)
    if goes_on:
        run_dir.refuse_other_run(run)
    run_dir.refuse_other_start(run)
    if run.starts_from_imagenet and not goes_on:
        imagenet_weights.find_file()  # before the data are read
    labels = sources.load_labels(run)
    divided = sources.load_splits(
        run, labels, progress=progress.bar, say=progress.say
    )
    if goes_on:
        _refuse_other_pairs(run, divided)
    progress.say(
        f"{len(divided.train)} pairs for training, {len(divided.validation)} "
        f"for validation, {len(divided.test)} for testing; "
        f"{labels.count} label{'s' * (labels.count > 1)}: "
        f"{', '.join(labels.names)}"
    )
    trainer = _make_trainer(run, divided, labels)
    # Not before everything is accepted: a refused command must neither
    # rewrite what a trained model goes by nor stand in the way of the next.
    splits.write_splits(divided, run.model_dir)
    run_dir.write_labels(labels, run.model_dir)
    run_dir.write_flags(run, sys.argv)
    summary = trainer.train()
    if summary:
        progress.say(
            f"trained to step {summary['last_step']} in "
            f"{summary['train_seconds'] / 60:.1f} min, "
            f"{summary['images_per_second']} images/s, at most "
            f"{summary['peak_memory_gb']} GB of memory\n"
            f"next: python main.py --mode=evaluate --model_dir={run.model_dir}"
        )
    return 0


def _make_trainer(run: config.Config, divided, labels):
    _start_tensorflow()
    from segan_tf.data import sources
    from segan_tf.training import distribution, loop

    strategy = distribution.create_strategy(
        num_replicas=run.num_replicas, virtual_devices=run.virtual_devices
    )
    # Before the pairs are decoded, which may take minutes.
    distribution.check_batch_size(run.batch_size, strategy.num_replicas_in_sync)
    training, validation = (
        sources.open_records(
            run, part, labels, progress=progress.bar, say=progress.say
        )
        for part in (divided.train, divided.validation)
    )
    return loop.Trainer(
        run,
        training=training,
        validation=validation,
        strategy=strategy,
        labels=labels,
    )


def _evaluate(flagged: config.Config) -> int:
    """Scores a model on a split at the images' own size."""
    given = _given()
    alone = flagged.model and not run_dir.has_flags(flagged.model_dir)
    run = flagged  # of a model without its run
    if not alone:
        run = _merge(run_dir.read_flags(flagged.model_dir), given)
    _start_tensorflow()
    from segan_tf.evaluation import evaluator

    return evaluator.evaluate(
        run,
        divide_anew=alone or any(name in given for name in config.ANEW_FIELDS),
        command=sys.argv,
    )


def _predict(run: config.Config) -> int:
    """Writes label maps and overlays of pictures."""
    if not run.input:
        raise config.UserError(
            "--input is missing; give a picture or a folder of pictures."
        )
    from segan_tf.data import sources

    paths = sources.find_pictures(run.input)
    model = _choose_model(run)
    if run_dir.has_flags(model):
        _refuse_other_model(run_dir.read_flags(model), _given())
    _start_tensorflow()
    from segan_tf.evaluation import prediction

    return prediction.predict_pictures(
        paths, model=model, output_dir=run.output_dir, flips=run.flips
    )


def _choose_model(run: config.Config) -> str:
    """Takes the model that is named, else a run that is there, else ours."""
    if run.model:
        return run.model
    if "model_dir" in _given() or run_dir.has_flags(run.model_dir):
        return run.model_dir
    return config.PRETRAINED


def _export(flagged: config.Config) -> int:
    """Writes SavedModel and TFLite, each compared with Keras first."""
    given = _given()
    released = flagged.model == config.PRETRAINED
    run = flagged
    if not released:
        run = _merge(run_dir.read_flags(flagged.model_dir), given)
    if run.web:
        from export import web_runtime

        # Before minutes of work: npm or the network may be missing.
        web_runtime.fetch(run.export_dir)
    _start_tensorflow()
    from export import comparison, parity, parity_table, saved_model
    from segan_tf import pretrained
    from segan_tf.evaluation import evidence
    from segan_tf.training import checkpoints

    if released:
        segmentor, step = pretrained.load(), pretrained.VERSION
        labels = pretrained.read_labels()
        run = dataclasses.replace(run, **pretrained.read_model())
    else:
        segmentor, step = checkpoints.load_segmentor(run)
        labels = run_dir.read_labels(run)
    # Before the data are read, which may take a minute.
    saved_model.refuse_existing_version(run.export_dir, step)
    found = evidence.find_evidence(run, given)
    record = parity.export_all(
        segmentor,
        export_dir=run.export_dir,
        version=step,
        labels=labels,
        quantizations=run.quantizations,
        calibration_images=found.calibration_images,
        evidence=comparison.Evidence(
            images=found.examples,
            pairs=found.pairs,
            measure=evidence.measure,
            source=found.source,
        ),
        allow_parity_loss=run.allow_parity_loss,
    )
    progress.say(parity_table.format_table(record))
    refused = parity_table.refusals(record)
    for line in refused:
        print(f"error: {line}", file=sys.stderr)
    if run.web:
        from export import web_page

        page = web_page.bundle_page(run.export_dir)
        progress.say(
            f"{page}: serve it, for example with "
            f"python -m http.server --directory {page}"
        )
    return 1 if refused else 0


def _start_tensorflow() -> None:
    """Imports TensorFlow, which tells of oneDNN whatever the log level.

    Raises:
      UserError: it is not installed.
    """
    try:
        with quiet.silenced():
            import tensorflow  # noqa: F401
    except ModuleNotFoundError as error:
        raise config.UserError(
            f"TensorFlow cannot be imported ({error}); install it with "
            "python -m pip install -r requirements.txt"
        ) from error


def _given() -> dict:
    """Returns the values of the flags that the command names."""
    return {
        field.name: FLAGS[field.name].value
        for field in dataclasses.fields(config.Config)
        if FLAGS[field.name].present
    }


def _create_model_dir(run: config.Config) -> None:
    reason = "no permission"
    try:
        os.makedirs(run.model_dir, exist_ok=True)
        writable = os.access(run.model_dir, os.W_OK)
    except OSError as error:
        reason, writable = error.strerror, False
    if not writable:
        raise config.UserError(
            f"--model_dir ({run.model_dir}) cannot be written ({reason}); "
            "give a folder that can."
        )


def _refuse_other_pairs(run: config.Config, divided) -> None:
    """Refuses to go on with pairs that were divided differently before.

    With another number of pairs the draw is another one: what was trained on
    would be tested on.
    """
    from segan_tf.data import splits

    if divided.ids() != splits.read_split_ids(run.model_dir):
        raise config.UserError(
            f"--model_dir ({run.model_dir}) was trained with other pairs than "
            "are found now; bring the pairs back as they were, give another "
            "--model_dir, or --noresume to start anew there."
        )


def _refuse_other_model(saved: config.Config, given: dict) -> None:
    """Refuses flags that contradict the trained model."""
    for name in config.MODEL_FIELDS:
        if given.get(name, getattr(saved, name)) != getattr(saved, name):
            raise config.UserError(
                f"--{name} ({given[name]}) is not the {getattr(saved, name)} "
                f"that the model in {saved.model_dir} was trained with; "
                "leave it out."
            )


def _merge(saved: config.Config, given: dict) -> config.Config:
    """Takes what the run was trained with, and the flags given now.

    Raises:
      UserError: a flag given now contradicts the trained model.
    """
    _refuse_other_model(saved, given)
    if any(name in given for name in config.SOURCE_FIELDS):
        # Other pictures: how the run's own were divided means nothing there.
        fresh = {
            name: getattr(config.Config, name) for name in config.DATA_FIELDS
        }
        saved = dataclasses.replace(saved, **fresh)
    return dataclasses.replace(saved, **given)


_MODES = {
    "check": _check,
    "train": _train,
    "evaluate": _evaluate,
    "predict": _predict,
    "export": _export,
}


def _parse_flags(argv: list[str]) -> list[str]:
    """Parses the flags; a mistake in them is one line like any other."""
    try:
        return FLAGS(argv)
    except absl_flags.Error as error:
        reason = str(error).removeprefix("ERROR:: ")
        print(f"error: {reason} (--help lists the flags)", file=sys.stderr)
        sys.exit(1)


def run() -> None:
    """Starts the program."""
    if any(name in sys.argv[1:] for name in ("--help", "-h", "-help")):
        print(flags.help_text())
        return
    # absl would raise it to INFO, where TensorFlow writes into the bar.
    FLAGS.verbosity = logging.WARNING
    app.run(main, flags_parser=_parse_flags)


if __name__ == "__main__":
    run()
