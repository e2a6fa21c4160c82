"""SegAN: trains a segmentor against a critic, scores it and hands it out."""

import dataclasses
import os
import sys

# Before TensorFlow is imported: its own log lines are not the user's, and
# oneDNN's kernels are off by default on processors without AVX-512, where
# they still make a train step about half as fast again.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from absl import app

import flags
from segan_tf import config, progress

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
                f"--mode is missing; give one of {', '.join(config.MODES)}."
            )
        given = {
            field.name: FLAGS[field.name].value
            for field in dataclasses.fields(config.Config)
            if FLAGS[field.name].present
        }
        return _MODES[FLAGS.mode](given)
    except config.UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _check(given: dict) -> int:
    """Reads every pair and says what it finds."""
    from segan_tf.data import checks, sources

    run = config.Config(**given)
    found = sources.find(run, progress=progress.bar)
    report = checks.check_pairs(
        sources.make_splits(run, found.pairs),
        unmatched=found.problems,
        num_labels=run.num_labels,
        progress=progress.bar,
    )
    print(report.summary())
    return 1 if report.refuses_training else 0


def _train(given: dict) -> int:
    """Trains, or goes on training, the run in model_dir."""
    from segan_tf.training import run_dir

    run = config.Config(**given)
    if run.resume and run_dir.has_flags(run.model_dir):
        run_dir.refuse_other_run(run)
    run_dir.write_flags(run, sys.argv)
    from segan_tf.data import sources, splits
    from segan_tf.training import distribution, loop

    strategy = distribution.create_strategy(
        num_replicas=run.num_replicas, virtual_devices=run.virtual_devices
    )
    distribution.check_batch_size(run.batch_size, strategy.num_replicas_in_sync)
    divided = sources.load_splits(run, progress=progress.bar, say=progress.say)
    splits.write_splits(divided, run.model_dir)
    progress.say(
        f"{len(divided.train)} pairs for training, {len(divided.validation)} "
        f"for validation, {len(divided.test)} for testing"
    )
    training, validation = (
        sources.open_records(run, part, progress=progress.bar, say=progress.say)
        for part in (divided.train, divided.validation)
    )
    trainer = loop.Trainer(
        run, training=training, validation=validation, strategy=strategy
    )
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


def _evaluate(given: dict) -> int:
    """Scores a model on a split at the images' own size."""
    from segan_tf.evaluation import evaluator
    from segan_tf.training import run_dir

    run = _merge(run_dir.read_flags(_model_dir(given)), given)
    return evaluator.evaluate(
        run, new_data=_names_new_data(given), command=sys.argv
    )


def _predict(given: dict) -> int:
    """Writes label maps and overlays of pictures."""
    from segan_tf.evaluation import prediction

    run = config.Config(**given)
    if not run.input:
        raise config.UserError(
            "--input is missing; give a picture or a folder of pictures."
        )
    return prediction.predict_pictures(
        model=run.model or run.model_dir,
        input_path=run.input,
        output_dir=run.output_dir,
    )


def _export(given: dict) -> int:
    """Writes SavedModel and TFLite, each proved equal to Keras first."""
    from segan_tf.training import run_dir

    run = _merge(run_dir.read_flags(_model_dir(given)), given)
    from export import parity
    from segan_tf.data import drawn_lesions
    from segan_tf.training import checkpoints

    segmentor, step = checkpoints.load_segmentor(run)
    parity.export_all(
        segmentor,
        export_dir=run.export_dir,
        version=step,
        images=[drawn_lesions.draw_lesion(i, 0).image for i in range(4)],
    )
    return 0


def _model_dir(given: dict) -> str:
    return given.get("model_dir", config.Config.model_dir)


def _names_new_data(given: dict) -> bool:
    return any(name in given for name in config.DATA_FIELDS)


def _merge(saved: config.Config, given: dict) -> config.Config:
    """Takes what the run was trained with, and the flags given now.

    Raises:
      UserError: a flag given now contradicts the trained model.
    """
    for name in config.MODEL_FIELDS:
        if given.get(name, getattr(saved, name)) != getattr(saved, name):
            raise config.UserError(
                f"--{name} ({given[name]}) is not the {getattr(saved, name)} "
                f"that --model_dir ({saved.model_dir}) was trained with; "
                "leave it out."
            )
    if _names_new_data(given):
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


def run() -> None:
    """Starts the program; the console script of the package."""
    if any(name in sys.argv[1:] for name in ("--help", "-h", "-help")):
        print(flags.help_text())
        return
    app.run(main)


if __name__ == "__main__":
    run()
