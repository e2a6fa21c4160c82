"""Measures what training with two replicas or two workers costs.

Times the train step, with random images, of one process, of two virtual
replicas in one process, and of two workers with one core each; all on the
cores of this machine, so two cannot be faster than one. Then estimates, on
paper, the speed of 8 to 64 GPUs from the sums that the traced step exchanges.

Usage: python benchmarks/scaling.py [--widths=4,16] [--batch_sizes=8,32]
"""

import json
import math
import os
import statistics
import subprocess
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from absl import app, flags, logging

from segan_tf import environment
from segan_tf.config import Config
from segan_tf.training import link

FLAGS = flags.FLAGS
flags.DEFINE_list("widths", ["4", "16"], "Widths to measure.")
flags.DEFINE_list("batch_sizes", ["8", "32"], "Images per step.")
flags.DEFINE_integer("rounds", 7, "Timed steps.", lower_bound=3)
flags.DEFINE_integer("image_size", 128, "Side of the images.", lower_bound=16)
flags.DEFINE_enum("role", None, ("one", "replicas", "workers"), "Internal.")
flags.DEFINE_integer("worker", 0, "Internal.")
flags.DEFINE_string("coordinator", "", "Internal.")

ROLES = {"one": 1, "replicas": 1, "workers": 2}  # processes of each
# Assumptions of the estimate; none of them is measured here.
GPUS_A_HOST = 8
LINK_GB_PER_S = 25.0  # between hosts, shared by a host's GPUs: 200 Gbit/s
HOST_GB_PER_S = 200.0  # between the GPUs of a host
COLLECTIVE_US = (20.0, 10.0)  # a sum of few bytes: first + second * log2(GPUs)
EXCHANGE_MS = 1.0  # how workers agree before each step
GPU_IMAGES_PER_S = 1000.0
GPU_BATCH = 32


def measure(config: Config, role: str) -> dict[str, Any]:
    """Times steps in this process, and counts what they exchange."""
    import noise
    import tensorflow as tf

    from segan_tf.training import (
        cluster,
        distributed_step,
        distribution,
        link,
        workers,
    )
    from segan_tf.training.state import build_train_state

    joined = None
    if role == "workers":
        joined = link.join(
            cluster.Cluster(FLAGS.coordinator, FLAGS.worker, ROLES[role])
        )
    strategy = distribution.create_strategy(
        virtual_devices=2 if role == "replicas" else 0,
        addresses=joined.addresses if joined else (),
        worker=FLAGS.worker,
    )
    replicas = strategy.num_replicas_in_sync
    with strategy.scope():
        state = build_train_state(
            config, steps_per_epoch=100, num_replicas=replicas
        )
    share = config.batch_size // replicas
    batch = noise.make_batch(config, batch_size=share)
    step: Any = distributed_step.make_distributed_step(state, strategy)
    group = workers.Workers(strategy, index=FLAGS.worker, count=ROLES[role])
    times: dict[str, list[float]] = {"step_ms": [], "exchange_ms": []}
    for number in range(FLAGS.rounds + 2):
        began = time.perf_counter()
        group.any(False, False)
        agreed = time.perf_counter()
        tf.nest.map_structure(lambda t: t.numpy(), step(*batch))
        if number > 1:  # the first is traced, the second is warm
            times["exchange_ms"].append(1000 * (agreed - began))
            times["step_ms"].append(1000 * (time.perf_counter() - agreed))
    traced = step.get_concrete_function(*batch)
    if joined:
        joined.close()
    here = replicas // ROLES[role]
    return {**times, **count_sums(traced.graph, here)}


def count_sums(graph: Any, replicas: int) -> dict[str, int]:
    """Counts the sums of one of a graph's replicas, and their bytes."""
    summed = [
        op.outputs[0]
        for op in graph.get_operations()
        if op.type.startswith("CollectiveReduce")
    ]
    sizes = [t.shape.num_elements() * t.dtype.size for t in summed]
    return {"sums": len(summed) // replicas, "bytes": sum(sizes) // replicas}


def run_role(role: str, width: str, batch_size: str) -> dict[str, Any]:
    """Measures one setting in processes of its own; returns worker 0's."""
    port = link.find_free_port()
    cores = max(1, (os.cpu_count() or 1) // (1 if role == "one" else 2))
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                os.path.abspath(__file__),
                f"--role={role}",
                f"--worker={worker}",
                f"--coordinator=127.0.0.1:{port}",
                f"--widths={width}",
                f"--batch_sizes={batch_size}",
                f"--rounds={FLAGS.rounds}",
                f"--image_size={FLAGS.image_size}",
            ],
            stdout=subprocess.PIPE,
            env={**os.environ, "TF_NUM_INTRAOP_THREADS": str(cores)},
            text=True,
        )
        for worker in range(ROLES[role])
    ]
    outputs = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        sys.exit(f"error: {role} failed, see above")
    return json.loads(outputs[0].splitlines()[-1])


def estimate(sums: int, total_bytes: int) -> None:
    """Prints the estimated speed of several GPUs, and how it comes about."""
    compute_ms = 1000 * GPU_BATCH / GPU_IMAGES_PER_S
    print(
        f"\nestimate, not measured: {sums} sums of {total_bytes / 1e6:.2f} MB "
        f"in a step; {GPU_BATCH} images a GPU in {compute_ms:.0f} ms, "
        f"{GPUS_A_HOST} GPUs a host, {HOST_GB_PER_S:.0f} GB/s in it and "
        f"{LINK_GB_PER_S:.0f} GB/s between hosts, a small sum "
        f"{COLLECTIVE_US[0]:.0f} + {COLLECTIVE_US[1]:.0f} log2(GPUs) us, "
        f"{EXCHANGE_MS:.0f} ms to agree; nothing overlaps"
    )
    for gpus in (1, 8, 16, 32, 64):
        hosts = math.ceil(gpus / GPUS_A_HOST)
        speed = HOST_GB_PER_S if hosts == 1 else LINK_GB_PER_S
        ring = 2 * (gpus - 1) / gpus * total_bytes / speed / 1e6
        start, more = COLLECTIVE_US
        small = start + more * math.log2(gpus) if gpus > 1 else 0.0
        waits = sums * small / 1000
        sync_ms = ring + waits + (EXCHANGE_MS if hosts > 1 else 0.0)
        rate = gpus * GPU_BATCH / (compute_ms + sync_ms) * 1000
        print(
            f"{gpus:3d} GPUs  bytes {ring:5.2f} ms  sums {waits:5.2f} ms  "
            f"images/s {rate:7.0f}  efficiency "
            f"{compute_ms / (compute_ms + sync_ms):.2f}"
        )


def main(argv: list[str]) -> None:
    """Measures every setting, or, with --role, one."""
    del argv
    logging.set_verbosity(logging.WARNING)  # absl's INFO includes TensorFlow's
    if FLAGS.role:
        config = Config(
            width=int(FLAGS.widths[0]),
            batch_size=int(FLAGS.batch_sizes[0]),
            image_size=FLAGS.image_size,
            dice_weight=1.0,
        )
        print(json.dumps(measure(config, FLAGS.role)))
        return
    print(environment.describe(sys.argv)["hardware"])
    found: dict[str, Any] = {}
    for width in FLAGS.widths:
        for batch_size in FLAGS.batch_sizes:
            for role in ROLES:
                found = run_role(role, width, batch_size)
                rates = sorted(
                    int(batch_size) * 1000 / t for t in found["step_ms"]
                )
                print(
                    f"width {width:>3s}  batch {batch_size:>3s}  {role:8s}  "
                    f"images/s: min {rates[0]:6.1f}  median "
                    f"{statistics.median(rates):6.1f}  max {rates[-1]:6.1f}  "
                    "agreeing "
                    f"{statistics.median(found['exchange_ms']):5.2f} ms  "
                    f"{found['sums']:3d} sums of {found['bytes'] / 1e6:.2f} MB",
                    flush=True,
                )
    estimate(found["sums"], found["bytes"])


if __name__ == "__main__":
    app.run(main)
