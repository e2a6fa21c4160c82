"""Runs main.py as a worker that sends itself signals, each once.

The variable MOMENTS says when, separated by blanks:
<worker>:<signal>:<place>:<step>. The place is "step", before the step is made,
"save", before its checkpoint is written, or "end", after the last step. Files
in the folder MARKS note which are over.
"""

import os
import pathlib
import sys

import main


def doom(worker):
    """Wraps what may be the last that this worker does."""
    # As `train` does before TensorFlow is imported, by workers alone.
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    from segan_tf.training import distributed_step, loop

    def end_at(place, step):
        for moment in os.environ["MOMENTS"].split():
            of, number, where, when = moment.split(":")
            mark = pathlib.Path(os.environ["MARKS"], moment.replace(":", "_"))
            here = (of, where, when) == (worker, place, str(step))
            if here and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), int(number))

    def make_step(state, strategy, make=distributed_step.make_distributed_step):
        step = make(state, strategy)

        def doomed(*batch):
            end_at("step", int(state.segmentor_optimizer.iterations.numpy()))
            return step(*batch)

        return doomed

    def save(manager, save=tf.train.CheckpointManager.save, **kwargs):
        end_at("save", kwargs["checkpoint_number"])
        return save(manager, **kwargs)

    def train(trainer, train=loop.Trainer.train):
        summary = train(trainer)
        end_at("end", trainer.step)
        return summary

    loop.LOOP_SECONDS = float("inf")  # however slow the machine is
    distributed_step.make_distributed_step = make_step
    tf.train.CheckpointManager.save = save
    loop.Trainer.train = train


if __name__ == "__main__":
    for arg in sys.argv:
        if arg.startswith("--worker_index="):
            doom(arg.partition("=")[2])
    main.run()
