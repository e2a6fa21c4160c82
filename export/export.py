"""Exports trained segmentors for servers, phones and browsers."""

import dataclasses
from typing import Any

from segan_tf import console, run_dir, startup
from segan_tf import decision as decision_lib
from segan_tf import labels as labels_lib
from segan_tf import styles as styles_lib
from segan_tf.config import PRETRAINED, Config, UserError


@dataclasses.dataclass(frozen=True)
class ParityReport:
    """How the exported models compare with the Keras model.

    Attributes:
      record: the content of parity.json.
      failures: a line for each model that was withheld, with the reason.
      page: the folder of the web page; "" if none was bundled.
    """

    record: dict[str, Any]
    failures: list[str]
    page: str = ""

    def summary(self) -> str:
        """Formats the record as a table for the terminal."""
        from .parity import table

        text = table.format_table(self.record)
        if self.page:
            text += (
                f"\n{self.page}: serve it, for example with python -m "
                f"http.server --directory {self.page}"
            )
        return text


def export(config: Config) -> ParityReport:
    """Exports SavedModel and TFLite models of a run or the released model.

    Each is compared with the Keras model first; one that differs by more than
    its tolerance is withheld.

    Args:
      config: the settings that are given replace those of the run in
        ``model_dir``; ``model`` may be "pretrained", the released model.

    Raises:
      UserError: there is no model, or export_dir or the data cannot be used.
    """
    released = config.model == PRETRAINED
    if config.model and not released:
        raise UserError(
            f"--model ({config.model}) can only be {PRETRAINED} in "
            "--mode=export; give a run with --model_dir."
        )
    if released:
        run_dir.check_no_model_settings(config, PRETRAINED)
    else:
        config = run_dir.merge(run_dir.read_flags(config.model_dir), config)
    if config.web:
        from .web import runtime

        # First, since npm or the network may be missing.
        runtime.fetch(config.export_dir)
    startup.import_tensorflow()
    from .parity import gate, parity_dataset, table
    from .serving import saved_model

    labels = _read_labels(config)
    decision = _read_decision(config, labels)
    segmentor, step, config = _load(config, decision)
    # Before the data is read, which may take a minute.
    saved_model.check_existing_version(config.export_dir, step)
    record = gate.export_all(
        segmentor,
        export_dir=config.export_dir,
        version=step,
        labels=labels,
        quantizations=config.quantizations,
        dataset=parity_dataset.load_parity_dataset(config),
        decision=decision,
        allow_parity_loss=config.allow_parity_loss,
    )
    page = ""
    if config.web:
        from .web import bundle

        page = bundle.bundle_page(config.export_dir)
    return ParityReport(record, table.failures(record), page)


def _read_labels(config: Config) -> labels_lib.Labels:
    from segan_tf.models import pretrained

    if config.model == PRETRAINED:
        return pretrained.read_labels()
    return run_dir.read_labels(config)


def _read_decision(
    config: Config, labels: labels_lib.Labels
) -> decision_lib.Decision:
    """Reads the decision that is exported with the model, and says so."""
    from segan_tf.models import pretrained

    styles, own = styles_lib.PLAIN, pretrained.read_decision()
    if config.model != PRETRAINED:
        styles = styles_lib.read(config.model_dir).styles
        own = decision_lib.read(config.model_dir)
    decision = decision_lib.read_given(config.decision) or own
    decision_lib.check_fits(
        decision,
        num_labels=labels.count,
        styles=styles,
        model=config.model or config.model_dir,
    )
    text = decision_lib.describe(decision, labels.names, styles)
    if text:
        console.say(f"exporting with {text}")
    return decision


def _load(
    config: Config, decision: decision_lib.Decision
) -> tuple[Any, int, Config]:
    """Loads segmentor and version; completes the configuration."""
    from segan_tf.models import pretrained, restore

    if config.model != PRETRAINED:
        segmentor, step = restore.load_segmentor(config, style=decision.style)
        return segmentor, step, config
    completed = config.with_given(config.given, **pretrained.read_model())
    return pretrained.load(), pretrained.VERSION, completed
