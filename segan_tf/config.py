"""Every setting, declared once: default, help, bounds, source, and use.

Flags, checks and the lists of names at the end are derived from the
declarations. This is one long table, so that no setting is declared in a second
place. "The paper" is SegAN (arXiv:1706.01805) applied to ISIC 2017 Part 1: 2000
images, 500 of them drawn at random for testing. TensorFlow is not imported, so
that flags are checked before anything slow starts.
"""

import dataclasses
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from segan_tf import config_checks, paths
from segan_tf.config_checks import MAX_LABELS as MAX_LABELS
from segan_tf.config_checks import QUANTIZATIONS
from segan_tf.errors import UserError as UserError
from segan_tf.models.critics import CRITICS
from segan_tf.models.segmentors import SEGMENTORS

MODES = (
    "check",
    "convert",
    "train",
    "calibrate",
    "evaluate",
    "predict",
    "export",
)
SPLITS = ("train", "validation", "test", "all")
LABEL_KINDS = ("multiclass", "multilabel")
CRITIC_FORMS = ("stacked", "shared", "per_label")
PRECISIONS = ("float32", "mixed_bfloat16")
FLIPS = ("auto", "none", "horizontal", "both")
RUNTIMES = ("auto", "keras", "int8")
OVERLAYS = ("none", "jpeg", "png")
PRETRAINED = "pretrained"  # --model, --start_from: the newest released model
RELEASES = ("pretrained-1", "pretrained-2")  # the newest last
MAX_SEED = 2**32 - 1  # of NumPy and Keras
# Number of different images; int8 ranges of fewer are too narrow.
MIN_CALIBRATION_IMAGES = 100

# Old names keep working, as flags and in files: old -> new.
RENAMED_SETTINGS = {"flips": "tta"}
RENAMED_VALUES = {
    "label_kind": {"exclusive": "multiclass", "overlapping": "multilabel"}
}

# What runs were trained with whose flags.json is older than the setting.
VALUES_BEFORE = {"flip": "both"}

_DATA_MODES = ("check", "train", "evaluate", "export")
_DECIDING_MODES = ("calibrate", "evaluate", "predict", "export")
_PAIR_MODES = ("check", "convert", "train", "calibrate", "evaluate", "export")
_MODEL_MODES = ("train", "evaluate", "predict", "export")


def setting(
    default: Any,
    help_text: str,
    *,
    modes: Sequence[str] = ("train",),
    minimum: float | None = None,
    maximum: int = config_checks.MAX_INT,
    choices: Collection[str] = (),
    fixes: str = "",
    needs: Mapping[str, Any] | None = None,
    loss_term: str = "",
    is_path: bool = False,
    is_repeated: bool = False,
) -> Any:
    """Declares a setting.

    Args:
      default: the value if none is given.
      help_text: for --help and the documentation.
      modes: the modes in which it has an effect; in others its flag is an
        error.
      minimum: the smallest number allowed.
      maximum: the largest whole number allowed.
      choices: the values allowed.
      fixes: what it determines: "source" (which pairs there are), "split" (how
        they are split), "labels" (how they are read), "model" (which weights
        fit) or "weights" (their values). A resumed run needs the same values
        of all of these.
      needs: the values of other settings with which it has an effect.
      loss_term: the term of the segmentor's loss that it is the weight of.
      is_path: whether it names a file or a folder, in which ~ and $NAME are
        expanded.
      is_repeated: whether its flag may be given several times, a value each;
        other lists are separated by commas.
    """
    metadata = {
        "help": help_text,
        "modes": tuple(modes),
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "fixes": fixes,
        "needs": needs or {},
        "loss_term": loss_term,
        "is_path": is_path,
        "is_repeated": is_repeated,
    }
    return dataclasses.field(default=default, metadata=metadata)


_DRAWN = {"data_dir": "", "image_dir": ""}
_STAIRCASE = {"schedule": "staircase"}
_CRITIC = {"adversarial": True}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the pairs come from and how they are split and read."""

    data_dir: str = setting(
        "",
        "Folder of pairs in a known layout, such as ISIC 2016, 2017 or 2018 or "
        "PH2 as downloaded, or images/ with label_maps/ (or masks/), or the "
        "shards that convert wrote. Without any folder, lesions are drawn.",
        modes=_PAIR_MODES,
        fixes="source",
        is_path=True,
    )
    image_dir: str = setting(
        "",
        "Folder of images; needs --label_map_dir.",
        modes=_PAIR_MODES,
        fixes="source",
        is_path=True,
    )
    label_map_dir: str = setting(
        "",
        "Folder of label maps; needs --image_dir.",
        modes=_PAIR_MODES,
        fixes="source",
        is_path=True,
    )
    num_drawn: int = setting(
        400,
        "Lesions to draw when no folder is given.",
        modes=("convert", *_DATA_MODES),
        minimum=8,
        fixes="source",
        needs=_DRAWN,
    )
    num_test: int | None = setting(
        None,
        "Pairs drawn for testing when there is no official test split. "
        "Default: a quarter, as in the paper.",
        modes=_DATA_MODES,
        minimum=0,
        fixes="split",
    )
    num_validation: int | None = setting(
        None,
        "Pairs drawn from the training ones for validation when there is no "
        "official validation split. Default: a tenth of them.",
        modes=_DATA_MODES,
        minimum=0,
        fixes="split",
    )
    split_seed: int = setting(
        0,
        "Seed of the draws for testing and validation.",
        modes=_DATA_MODES,
        minimum=0,
        maximum=MAX_SEED,
        fixes="split",
    )
    test_list: str = setting(
        "",
        "File with the ids to test on, one per line.",
        modes=_DATA_MODES,
        fixes="split",
        is_path=True,
    )
    groups: str = setting(
        "",
        "CSV file with the columns id and group, such as a patient: a group "
        "is never divided between splits.",
        modes=_DATA_MODES,
        fixes="split",
        is_path=True,
    )
    label_names: str = setting(
        "",
        "Names of the labels, separated by commas, or a labels.json that says "
        "what each value or color of a label map means. Default: labels.json "
        "in --data_dir, if there is one.",
        modes=_PAIR_MODES,
        fixes="labels",
        is_path=True,
    )
    styles: str = setting(
        "",
        "CSV file with the columns id and style: the annotation style, such as "
        "the tool, that each label map was drawn in; several are joined by +. "
        "The segmentor learns to draw in each. Default: styles.csv in "
        "--data_dir, if there is one; none: without styles.",
        modes=("convert", *_DATA_MODES),
        fixes="labels",
        is_path=True,
    )
    skip_bad_pairs: bool = setting(
        False,
        "Continue without the pairs that cannot be used.",
        modes=_PAIR_MODES,
        fixes="labels",
    )
    augment: str = setting(
        "basic",
        "basic: resize or crop, and --flip, as in the paper; strong: also "
        "rotation, transpose, scale, shear, elastic deformation and color "
        "jitter.",
        choices=("basic", "strong"),
        fixes="weights",
    )
    flip: str = setting(
        "auto",
        "How training pairs are mirrored. none: images have an upright, as in "
        "anatomy; horizontal: left and right may be exchanged; both: there is "
        "no upright, as in skin lesions; --augment=strong then transposes too. "
        "auto: both for one label, none for several. --tta uses the same "
        "flips.",
        choices=FLIPS,
        fixes="weights",
    )
    style_dropout: float = setting(
        0.2,
        "Share of the training images that are shown with the mean style "
        "instead of their own, so that the segmentor also works where the "
        "style is not known.",
        fixes="weights",
    )
    cache: str = setting(
        "memory",
        "Where decoded pairs are kept; none: decode them in every epoch. "
        "Shards are read where they are.",
        choices=("memory", "disk", "none"),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """How the segmentor and the critic are built."""

    segmentor: str = setting(
        "segan",
        "segan: the paper's; efficientnet_lite0: an encoder for phones with a "
        "decoder, more accurate after far less training; efficientnet_lite1 "
        "and efficientnet_lite2: larger encoders.",
        modes=_MODEL_MODES,
        choices=SEGMENTORS,
        fixes="model",
    )
    image_size: int = setting(
        128,  # the paper, Data
        "Side of the segmentor's input in pixels.",
        modes=("convert", *_MODEL_MODES),
        minimum=min(row.size_multiple for row in SEGMENTORS.values()),
        fixes="model",
    )
    width: int = setting(
        64,  # the paper, Networks
        "Channels of the first level of the segmentor; with an "
        "EfficientNet encoder, of its decoder.",
        modes=_MODEL_MODES,
        minimum=1,
        fixes="model",
    )
    num_labels: int = setting(
        1,
        "Labels to segment, background not counted.",
        modes=MODES,
        minimum=1,
        fixes="model",
    )
    label_kind: str = setting(
        "multiclass",
        "multiclass: at most one label per pixel (exclusive labels); "
        "multilabel: any number (overlapping labels).",
        modes=MODES,
        choices=LABEL_KINDS,
        fixes="model",
    )
    encoder_weights: str = setting(
        "imagenet",
        "What an EfficientNet encoder starts from.",
        choices=("imagenet", "none"),
        fixes="weights",
    )
    critic: str = setting(
        "segan",
        "How the critic is built and compares label maps; segan: the paper's. "
        "CONTRIBUTING.md tells how to add one.",
        choices=CRITICS,
        fixes="weights",
        needs=_CRITIC,
    )
    critic_width: int = setting(
        0,  # the paper, Networks: as wide as the segmentor
        "Channels of the first level of the critic; 0: --width.",
        minimum=0,
        fixes="weights",
        needs=_CRITIC,
    )
    critic_form: str = setting(
        "stacked",  # the cheapest, see docs/method.md
        "How the critic sees several labels: stacked, all masked images "
        "stacked on channels; shared, one critic for the masked image of each "
        "label; per_label, a critic for each.",
        choices=CRITIC_FORMS,
        fixes="weights",
        needs=_CRITIC,
    )
    precision: str = setting(
        "float32",
        "Arithmetic of the convolutions.",
        choices=PRECISIONS,
        fixes="weights",
    )

    @property
    def multiclass(self) -> bool:
        """Whether a pixel has at most one label."""
        return self.label_kind == "multiclass"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the models are trained."""

    model_dir: str = setting(
        "runs/segan",
        "Folder of the run: checkpoints, logs, results.",
        modes=MODES,
        is_path=True,
    )
    start_from: str = setting(
        "",
        "Initialize the segmentor from this run, at any --image_size, or from "
        "pretrained, the released model.",
        fixes="weights",
        is_path=True,
    )
    epochs: int = setting(
        100,  # the paper's 5000 end with a learning rate of 1e-63
        "Epochs to train in all.",
        minimum=1,
    )
    batch_size: int = setting(
        30,  # the paper, Training
        "Images per step, over all replicas.",
        minimum=1,
        fixes="weights",
    )
    gradient_accumulation_steps: int = setting(
        1,
        "Parts of a replica's batch that are computed one after the other, for "
        "large batches in little memory. Batch statistics are of a part each, "
        "and a step takes one more pass of the segmentor.",
        minimum=1,
        fixes="weights",
    )
    optimizer: str = setting(
        "adam",  # the paper, Training
        "adam: the paper's; lamb: for batches of hundreds, over many GPUs.",
        choices=("adam", "lamb"),
        fixes="weights",
    )
    learning_rate: float = setting(
        0.002,  # the paper, Training
        "Learning rate of both optimizers.",
        fixes="weights",
    )
    schedule: str = setting(
        "staircase",  # the paper, Training
        "Learning-rate schedule: staircase multiplies it by --decay_rate every "
        "--decay_epochs; cosine decays it to 0 at the last epoch, with linear "
        "warm-up over the first.",
        choices=("staircase", "cosine"),
        fixes="weights",
    )
    decay_epochs: int = setting(
        25,  # the paper, Training
        "Epochs after which the learning rate is reduced.",
        minimum=1,
        fixes="weights",
        needs=_STAIRCASE,
    )
    decay_rate: float = setting(
        0.5,  # SegAN's 2018 code; the paper does not say
        "Factor of the learning rate after each --decay_epochs.",
        fixes="weights",
        needs=_STAIRCASE,
    )
    ema: float = setting(
        0.0,
        "Decay, per step, of an exponential moving average of the segmentor's "
        "weights, which is then evaluated and exported, such as 0.99; 0: the "
        "weights as they are.",
        fixes="weights",
    )
    l1_weight: float = setting(
        1.0,  # the paper, Loss
        "Weight of the multi-scale L1 in the segmentor's loss.",
        minimum=0,
        fixes="weights",
        needs=_CRITIC,
        loss_term="multi_scale_l1",
    )
    dice_weight: float | None = setting(
        None,
        "Weight of a soft Dice term in the segmentor's loss. Default: 0 with "
        "the critic, 1 without.",
        minimum=0,
        fixes="weights",
        loss_term="dice_loss",
    )
    cross_entropy_weight: float | None = setting(
        None,
        "Weight of a cross-entropy term in the segmentor's loss. Default: 0 "
        "with the critic, 1 without.",
        minimum=0,
        fixes="weights",
        loss_term="cross_entropy",
    )
    critic_clip: float = setting(
        0.01,  # SegAN, section 3
        "Bound of all trained weights of the critic; 0: none.",
        minimum=0,
        fixes="weights",
        needs=_CRITIC,
    )
    critic_labels_per_step: int = setting(
        0,
        "Labels that the shared critic sees in a step, drawn at random; 0: "
        "all.",
        minimum=0,
        fixes="weights",
        needs=_CRITIC,
    )
    label_weights: tuple[float, ...] = setting(
        (),
        "Weight of each label in the losses, separated by commas; they are "
        "scaled to a mean of 1. The stacked critic sees the labels together: "
        "there they only weigh the other terms. Default: all 1.",
        fixes="weights",
    )
    adversarial: bool = setting(
        True,
        "Train against the critic; without it the segmentor is trained alone "
        "with cross-entropy and Dice.",
        fixes="weights",
    )
    xla: bool = setting(False, "Compile the train step with XLA.")
    num_replicas: int = setting(
        0, "GPUs to use; 0: all that are visible.", minimum=0
    )
    virtual_devices: int = setting(
        0,
        "Split the CPU into this many replicas, to try several.",
        minimum=0,
    )
    num_workers: int = setting(
        1,
        "Processes that train together. With this flag alone they are started "
        "on this machine, and again if one is killed. On several machines, "
        "start each with the same flags and its own --worker_index. The "
        "variable TF_CONFIG may describe them instead.",
        minimum=1,
    )
    worker_index: int | None = setting(
        None,
        "Which of the --num_workers this process is, from 0. Worker 0, the "
        "chief, writes --model_dir.",
        minimum=0,
    )
    coordinator: str = setting(
        "",
        "HOST:PORT where the other workers reach worker 0.",
    )
    seed: int = setting(
        0,
        "Seed of weights, data order and augmentation.",
        minimum=0,
        maximum=MAX_SEED,
        fixes="weights",
    )
    resume: bool = setting(
        True,
        "Continue from the last checkpoint in --model_dir; in predict, do not "
        "predict again what --output_dir has.",
        modes=("train", "predict"),
    )
    checkpoint_minutes: float = setting(
        5.0, "Minutes between checkpoints within an epoch.", minimum=0
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictionConfig:
    """How a trained model is evaluated and used."""

    model: str = setting(
        "",
        "A model_dir, SavedModel or TFLite file, or pretrained, the newest "
        f"released model ({', '.join(RELEASES)} by name). Default: "
        "--model_dir, and the released model to predict or calibrate without "
        "a run. export takes only released models. A SavedModel "
        "is a program: one with other operators than this program exports is "
        "not loaded, and only trusted ones should be given.",
        modes=_DECIDING_MODES,
        is_path=True,
    )
    decision: str = setting(
        "",
        "File with the thresholds and the annotation style to predict with. "
        "calibrate writes it, fitted to 10 to 200 pairs drawn as you draw; the "
        "other modes use it. Default: decision.json in the run; without one "
        "0.5 and the mean style.",
        modes=_DECIDING_MODES,
        is_path=True,
    )
    split: str = setting(
        "test",  # the paper, Metrics
        "The pairs to evaluate or to verify exported models on.",
        modes=("evaluate", "export"),
        choices=SPLITS,
    )
    input: tuple[str, ...] = setting(
        (),
        "An image, or a folder, which is searched with its subfolders; may be "
        "given several times.",
        modes=("predict",),
        is_path=True,
        is_repeated=True,
    )
    input_list: str = setting(
        "",
        "File that names an image or a folder in each line.",
        modes=("predict",),
        is_path=True,
    )
    output_dir: str = setting(
        "predictions",
        "Folder for label maps, overlays and predictions.csv. It gets the "
        "subfolders of --input. To convert: new folder for the shards.",
        modes=("convert", "predict"),
        is_path=True,
    )
    overlays: str = setting(
        "jpeg",
        "Images with the label map drawn over them: jpeg, of 1024 pixels a "
        "side at most; png, of the image's own size, which takes seconds for "
        "large ones; none.",
        modes=("predict",),
        choices=OVERLAYS,
    )
    runtime: str = setting(
        "auto",
        "What the released model runs in: keras, or its int8 TFLite model. "
        "auto: int8 where the release has it, and keras for a --style.",
        modes=("predict",),
        choices=RUNTIMES,
    )
    workers: int = setting(
        0,
        "Processes that predict, each on one core. 0: one for each core, but "
        "one in all for few images, and for Keras and SavedModels, which use "
        "all cores by themselves.",
        modes=("predict",),
        minimum=0,
        maximum=1024,
    )
    num_shards: int = setting(
        1,
        "Parts that the images are divided into, to predict each with a "
        "command of its own, such as on several machines.",
        modes=("predict",),
        minimum=1,
    )
    shard: int = setting(
        0,
        "The part to predict, from 0 to --num_shards - 1.",
        modes=("predict",),
        minimum=0,
    )
    skip_bad_images: bool = setting(
        False,
        "Exit with 0 although images could not be predicted; failed.csv names "
        "them in any case.",
        modes=("predict",),
    )
    style: str = setting(
        "",
        "Annotation style to draw in, of a model that knows several: a name, "
        "several joined by +, mean, or, to predict, all, which also writes the "
        "label map in each and an overlay of all outlines. Default: that of "
        "the decision.",
        modes=("predict", "export"),
    )
    tta: bool = setting(
        False,
        "Test-time augmentation: average over the image and the flips that the "
        "model was trained with, at two (--flip=horizontal) or four times the "
        "cost.",
        modes=("evaluate", "predict"),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What is exported."""

    export_dir: str = setting(
        "exported",
        "Folder for SavedModel and TFLite.",
        modes=("export",),
        is_path=True,
    )
    export_version: int | None = setting(
        None,
        "Number of the export, above those in --export_dir, since servers load "
        "the highest. Default: the next free one.",
        modes=("export",),
        minimum=1,
    )
    quantizations: tuple[str, ...] = setting(
        QUANTIZATIONS,
        "The TFLite models to write, separated by commas; int8 is calibrated "
        "on images of the training split.",
        modes=("export",),
    )
    style_input: bool = setting(
        False,
        "Also write each TFLite model of a run with styles as one that takes "
        "the style as a second input, for a slider: segan_int8_styles.tflite.",
        modes=("export",),
    )
    calibration_images: int = setting(
        2 * MIN_CALIBRATION_IMAGES,
        "Images of the training split that int8 is calibrated on.",
        modes=("export",),
        minimum=MIN_CALIBRATION_IMAGES,
    )
    allow_parity_loss: bool = setting(
        False,
        "Export a model even if its parity check fails, and mark it.",
        modes=("export",),
    )
    web: bool = setting(
        False,
        "Also bundle the page that segments images in the browser; needs npm.",
        modes=("export",),
    )
    serve_port: int | None = setting(
        None,
        "With --web: then serve the page to this computer, at "
        "http://localhost:PORT, until Ctrl+C. 0 takes a free port.",
        modes=("export",),
        minimum=0,
        maximum=65535,
    )


SECTIONS = {
    "Data": DataConfig,
    "Model": ModelConfig,
    "Training": TrainingConfig,
    "Evaluation and prediction": PredictionConfig,
    "Export": ExportConfig,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(
    ExportConfig, PredictionConfig, TrainingConfig, ModelConfig, DataConfig
):
    """All settings; each has a flag of the same name.

    >>> config = Config(data_dir="isic2017", width=16, dice_weight=1.0)

    Attributes:
      given: names of the settings that were passed rather than left at their
        defaults. If a run is loaded, these replace the recorded ones.

    Raises:
      UserError: a value is impossible; the message names the flag.
    """

    given: ClassVar[frozenset[str]] = frozenset()

    def __new__(cls, **settings: Any) -> "Config":
        """Remembers which settings are passed."""
        self = super().__new__(cls)
        object.__setattr__(self, "given", frozenset(settings))
        return self

    def __post_init__(self) -> None:
        for name in PATH_FIELDS:
            object.__setattr__(self, name, _expanded(name, getattr(self, name)))
        # Flags pass lists of text, flags.json lists.
        for name in ("label_weights", "quantizations"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, values in RENAMED_VALUES.items():
            value = getattr(self, name)
            object.__setattr__(self, name, values.get(value, value))
        config_checks.check(self)

    def replace(self, **changes: Any) -> "Config":
        """Returns a copy with changes, which count as given."""
        return self.with_given(self.given | set(changes), **changes)

    def with_given(self, given: Collection[str], **changes: Any) -> "Config":
        """Returns a copy with changes and with this set of given settings."""
        copy = dataclasses.replace(self, **changes)
        object.__setattr__(copy, "given", frozenset(given))
        return copy

    def flag_of(self, name: str) -> str:
        """Names a setting's flag without its value, --noNAME if it is False."""
        return f"--no{name}" if getattr(self, name) is False else f"--{name}"

    @property
    def loss_weights(self) -> dict[str, float]:
        """The weight of each term of the segmentor's loss, by its name."""
        weights = {}
        for field in dataclasses.fields(self):
            if not field.metadata["loss_term"]:
                continue
            weight = getattr(self, field.name)
            if weight is None:
                weight = 0.0 if self.adversarial else 1.0
            needs = field.metadata["needs"].items()
            if any(getattr(self, other) != value for other, value in needs):
                weight = 0.0
            weights[field.metadata["loss_term"]] = weight
        return weights

    @property
    def resolved_flip(self) -> str:
        """What ``flip`` means for these labels: none, horizontal or both."""
        if self.flip != "auto":
            return self.flip
        return "both" if self.num_labels == 1 else "none"

    @property
    def starts_from_imagenet(self) -> bool:
        """Whether the encoder of a new run starts from ImageNet weights."""
        return (
            bool(SEGMENTORS[self.segmentor].pretrained_encoder)
            and not self.start_from
            and self.encoder_weights == "imagenet"
        )


def _expanded(name: str, value: Any) -> Any:
    """Expands the path or paths of a setting."""
    if name in REPEATED_FIELDS:
        if isinstance(value, str | os.PathLike):
            value = (value,) if value else ()
        return tuple(paths.expand(path, flag=name) for path in value)
    if isinstance(value, str | os.PathLike):
        return paths.expand(value, flag=name)
    return value


def names_that_fix(*kinds: str) -> tuple[str, ...]:
    """Lists the settings with one of these values of `fixes`; see `setting`."""
    return tuple(
        field.name
        for field in dataclasses.fields(Config)
        if field.metadata["fixes"] in kinds
    )


PATH_FIELDS = tuple(
    field.name
    for field in dataclasses.fields(Config)
    if field.metadata["is_path"]
)
REPEATED_FIELDS = tuple(
    field.name
    for field in dataclasses.fields(Config)
    if field.metadata["is_repeated"]
)
SOURCE_FIELDS = names_that_fix("source")
SPLIT_FIELDS = names_that_fix("split")
# If one is given for a trained run, its pairs are split again; otherwise the
# recorded split is used.
RESPLIT_FIELDS = names_that_fix("source", "split")
DATA_FIELDS = names_that_fix("source", "split", "labels")
# Settings that a trained model fixes.
MODEL_FIELDS = names_that_fix("model")
# Settings that determine the weights of a run: resuming needs the same values.
RUN_FIELDS = names_that_fix("source", "split", "labels", "model", "weights")


def renamed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Gives settings of an older version their current names and values."""
    now = {}
    for name, value in dict(settings).items():
        name = RENAMED_SETTINGS.get(name, name)
        if isinstance(value, str):
            value = RENAMED_VALUES.get(name, {}).get(value, value)
        now[name] = value
    return now


def is_released(model: str) -> bool:
    """Returns whether ``model`` or ``start_from`` names a released model."""
    return model in (PRETRAINED, *RELEASES)
