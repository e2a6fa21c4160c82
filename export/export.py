"""Exports trained segmentors for servers, phones and browsers."""

import contextlib
import dataclasses
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from segan_tf import console, run_dir, startup
from segan_tf import decision as decision_lib
from segan_tf import labels as labels_lib
from segan_tf import styles as styles_lib
from segan_tf.config import (
    MIN_CALIBRATION_IMAGES,
    PRETRAINED,
    RELEASES,
    RESPLIT_FIELDS,
    Config,
    UserError,
    is_released,
)
from segan_tf.quantizations import QUANTIZATIONS

from . import versions

if TYPE_CHECKING:
    from segan_tf.models import restore

# With one of these the released model is exported like a run.
_DATA_SETTINGS = (*RESPLIT_FIELDS, "split", "calibration_images")


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

    def serve_page(self, port: int) -> None:
        """Serves the web page to this computer, until Ctrl+C.

        Args:
          port: 0 takes a free one.

        Raises:
          UserError: the port is in use, or not allowed.
        """
        from .web import serve

        with serve.open_server(self.page, port) as server:
            console.say(
                f"open http://localhost:{server.server_port} in a browser; "
                "Ctrl+C ends it"
            )
            with contextlib.suppress(KeyboardInterrupt):
                server.serve_forever()


def export(config: Config) -> ParityReport:
    """Exports SavedModel and TFLite models of a run or the released model.

    Each is compared with the Keras model first; one that differs by more than
    its tolerance is withheld.

    Args:
      config: the settings that are given replace those of the run in
        ``model_dir``; ``model`` may be "pretrained", the released model. Its
        TFLite files that come with the package are copied if no data are
        given.

    Raises:
      UserError: there is no model, or export_dir or the data cannot be used.
    """
    released = is_released(config.model)
    if config.model and not released:
        raise UserError(
            f"--model ({config.model}) can only be {PRETRAINED}, or "
            f"{' or '.join(RELEASES)}, in --mode=export; give a run with "
            "--model_dir."
        )
    if released:
        run_dir.check_no_model_settings(config, config.model)
    else:
        config = run_dir.merge(run_dir.read_flags(config.model_dir), config)
    styles = _read_styles(config)
    if config.web:
        from .web import runtime, serve

        # First, since the port may be in use, and npm or the network missing.
        if config.serve_port:
            serve.check_port(config.serve_port)
        runtime.fetch(config.export_dir)
    version = versions.choose(config.export_dir, config.export_version)
    startup.import_tensorflow()
    from .parity import gate, parity_dataset, table

    labels = _read_labels(config)
    decision = _read_decision(config, labels, styles)
    segmentor, styled, step, config = _load(config, decision)
    shipped: dict[str, str] = {}
    if released and not run_dir.gives(config, _DATA_SETTINGS):
        # The released files hold the released decision.
        if decision == decision_lib.DEFAULT:
            shipped = _find_released(config)
        dataset = parity_dataset.draw_parity_dataset()
    else:
        dataset = parity_dataset.load_parity_dataset(config)
    record = gate.export_all(
        segmentor,
        export_dir=config.export_dir,
        version=version,
        step=step,
        labels=labels,
        quantizations=_leave_out_uncalibrated(
            config, dataset.calibration_images, shipped
        ),
        dataset=dataset,
        decision=decision,
        styled=styled,
        released=shipped,
        style_input=config.style_input,
        allow_parity_loss=config.allow_parity_loss,
    )
    page = ""
    if config.web:
        from .web import bundle

        page = bundle.bundle_page(config.export_dir)
    return ParityReport(record, table.failures(record), page)


def _read_labels(config: Config) -> labels_lib.Labels:
    from segan_tf.models import pretrained

    if is_released(config.model):
        return pretrained.find(config.model).labels
    return run_dir.read_labels(config)


def _read_styles(config: Config) -> styles_lib.Styles:
    """Reads the styles of the model, and checks the settings that need them."""
    if config.style == styles_lib.ALL:
        raise UserError(
            f"--style ({config.style}) is for --mode=predict; give one style "
            "to export, or --style_input for models that take the style."
        )
    if is_released(config.model):
        startup.import_tensorflow()
        from segan_tf.models import pretrained

        styles = pretrained.find(config.model).styles
    else:
        styles = styles_lib.read(config.model_dir).styles
    for name in ("style", "style_input"):
        if getattr(config, name) and not styles.count:
            raise UserError(
                f"--{name} has no effect on "
                f"{config.model or config.model_dir}, which was trained "
                "without styles; leave it out."
            )
    return styles


def _read_decision(
    config: Config, labels: labels_lib.Labels, styles: styles_lib.Styles
) -> decision_lib.Decision:
    """Reads the decision that is exported with the model, and says so."""
    from segan_tf.models import pretrained

    if is_released(config.model):
        own = pretrained.find(config.model).decision
    else:
        own = decision_lib.read(config.model_dir)
    decision = decision_lib.read_given(config.decision) or own
    decision_lib.check_fits(
        decision,
        num_labels=labels.count,
        styles=styles,
        model=config.model or config.model_dir,
    )
    if config.style:
        decision = _in_style(decision, styles.mixture(config.style), styles)
    text = decision_lib.describe(decision, labels.names, styles)
    if text:
        console.say(f"exporting with {text}")
    return decision


def _in_style(
    decision: decision_lib.Decision,
    mixture: tuple[float, ...],
    styles: styles_lib.Styles,
) -> decision_lib.Decision:
    """Replaces a decision's style; its thresholds are for its own only."""
    if mixture == (decision.style or styles.mean):
        return decision
    return decision_lib.Decision(style=mixture)


def _load(
    config: Config, decision: decision_lib.Decision
) -> tuple[Any, Any, int, Config]:
    """Loads the segmentor, also with its styles, and the step of its weights.

    Returns:
      The segmentor of the image alone, in the decision's style; one that can
      draw in each style, if there are any; the step; and the completed
      configuration.
    """
    from segan_tf.models import pretrained, restore

    if is_released(config.model):
        release = pretrained.find(config.model)
        config = config.with_given(config.given, **release.model_settings)
        restored = release.load()
    else:
        restored = restore.load(config)
    segmentor = restore.fix_style(config, restored, decision.style)
    return segmentor, _with_styles(config, restored), restored.step, config


def _with_styles(config: Config, restored: "restore.Restored") -> Any:
    """Returns a segmentor that can draw in each style; None without styles."""
    from segan_tf.models import restore as restore_lib

    from . import artifact

    styles = restored.styles
    if not styles.count:
        return None
    return artifact.StyledSegmentor(
        restored.segmentor,
        styles,
        {
            name: restore_lib.fix_style(config, restored, styles.mixture(name))
            for name in styles.names
        },
    )


def _find_released(config: Config) -> dict[str, str]:
    """Finds the TFLite files of a released model, and says what they are."""
    from segan_tf.models import pretrained

    release = pretrained.find(config.model)
    paths = {
        name: release.tflite_path(name)
        for name in release.quantizations
        if name in config.quantizations
    }
    console.say(f"exporting the released model: {release.describe()}")
    if paths:
        parity = release.parity
        dice = ", ".join(f"{name} {parity['dice'][name]:.4f}" for name in paths)
        console.say(
            f"{', '.join(paths)}: as released, verified on {parity['images']} "
            f"images ({parity['source']}): Dice {dice}, of Keras "
            f"{parity['dice']['keras']:.4f}"
        )
    return paths


def _leave_out_uncalibrated(
    config: Config, images: Sequence[np.ndarray], shipped: Collection[str]
) -> tuple[str, ...]:
    """Leaves out what cannot be calibrated and was not asked for."""
    from .tflite import convert

    if "quantizations" in config.given:
        return config.quantizations
    count = convert.count_different(images)
    left_out = [
        name
        for name in config.quantizations
        if QUANTIZATIONS[name].calibrated
        and name not in shipped
        and count < MIN_CALIBRATION_IMAGES
    ]
    for name in left_out:
        console.say(
            f"warning: {name} is left out: it is calibrated on at least "
            f"{MIN_CALIBRATION_IMAGES} different images of the training split, "
            f"and there are {count}"
        )
    return tuple(q for q in config.quantizations if q not in left_out)
