"""Which workers train together: from the flags, or from TF_CONFIG."""

import dataclasses
import json
import os
from typing import Any

from segan_tf import config_checks
from segan_tf.config import Config, UserError

VARIABLE = "TF_CONFIG"
_EXAMPLE = (
    '{"cluster": {"worker": ["HOST0:2222", "HOST1:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Several workers, as one of them sees them.

    Attributes:
      coordinator: HOST:PORT where the chief, worker 0, can be reached.
      index: of this worker.
      count: of all workers.
    """

    coordinator: str
    index: int
    count: int


def find(config: Config) -> Cluster | None:
    """Finds the workers that this process trains with.

    Returns:
      None if it trains alone.

    Raises:
      UserError: they are described twice or wrongly.
    """
    text = os.environ.get(VARIABLE, "").strip()
    by_variable = _parse(text) if text else None
    if by_variable is not None and config.virtual_devices > 1:
        raise UserError(
            f"--virtual_devices ({config.virtual_devices}) and the variable "
            f"{VARIABLE}, which describes {by_variable.count} workers, exclude "
            "each other; leave the flag out, or unset the variable."
        )
    if config.num_workers == 1:
        return by_variable
    if by_variable is not None:
        raise UserError(
            f"--num_workers ({config.num_workers}) and the variable {VARIABLE} "
            "both describe the workers; leave the flag out, or unset the "
            "variable."
        )
    if config.worker_index is None:
        raise UserError(
            f"--num_workers ({config.num_workers}) needs --worker_index and "
            "--coordinator too; only the command line starts workers itself."
        )
    return Cluster(config.coordinator, config.worker_index, config.num_workers)


def _parse(text: str) -> Cluster | None:
    """Parses TF_CONFIG; None if it describes one process only."""
    try:
        content = json.loads(text)
        jobs: dict[str, Any] = dict(content.get("cluster") or {})
        task = dict(content.get("task") or {})
        kind, index = task.get("type", "worker"), int(task.get("index", 0))
        chiefs, others = (list(jobs.pop(n, ())) for n in ("chief", "worker"))
        addresses = [str(address) for address in (*chiefs, *others)]
        for address in addresses[:1]:
            if not config_checks.is_address(address):
                raise ValueError(f"{address} is not HOST:PORT")
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"the variable {VARIABLE} ({text}) cannot be understood ({error}); "
            f"give such as {_EXAMPLE}."
        ) from error
    if jobs or kind not in ("chief", "worker"):
        odd = next(iter(jobs), kind)
        raise UserError(
            f"the variable {VARIABLE} names the task {odd}, and only chief and "
            "worker train here; leave it out."
        )
    place = index + (len(chiefs) if kind == "worker" else 0)
    end = len(chiefs) if kind == "chief" else len(addresses)
    if addresses and not 0 <= index <= place < end:
        raise UserError(
            f"the variable {VARIABLE} has no address for {kind} {index}; list "
            "it in cluster, or correct the index in task."
        )
    if len(addresses) < 2:
        return None
    return Cluster(addresses[0], place, len(addresses))
