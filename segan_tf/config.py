"""Every number of a run, with its source.

"Reference" is SegAN (arXiv:1706.01805) applied to ISIC 2017 Part 1: 2000
images, 500 of them drawn at random for testing. This file imports no
TensorFlow, so flags are checked before anything slow starts.
"""

import dataclasses
import math

DOWN_KERNEL = 4  # reference, Networks: 4x4 stride-2 convolutions
UP_KERNEL = 3  # reference, Networks: 3x3 stride-1 convolutions
LEVEL_MULTIPLES = (1, 2, 4, 8)  # reference, Networks: 64, 128, 256, 512
# Each level halves the size.
SIZE_MULTIPLES = {"segan": 2 ** len(LEVEL_MULTIPLES), "efficientnet_lite0": 32}
LEAKY_SLOPE = 0.2  # SegAN, section 3
BATCH_NORM_MOMENTUM = 0.9  # PyTorch's default in Keras' terms
BATCH_NORM_EPSILON = 1e-5  # PyTorch's default
ADAM_BETA_1 = 0.5  # reference, Training
ADAM_BETA_2 = 0.999  # reference, Training
LAMB_EPSILON = 1e-6  # tensorflow-addons' default
# Means and standard deviations of ImageNet's training images in [0, 1], RGB:
# what the published ImageNet encoders were trained with.
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
CROP_SHARE = 0.5  # reference, Data: at random resized or cropped
# --augment=strong: degrees to either side. Flips and transposes turn by
# quarters already; more of a turn mirrors more border into the picture; ours.
STRONG_ROTATION = 20
STRONG_SHEAR = 5  # --augment=strong: degrees to either side; ours
# --augment=strong: how far a knot of the elastic deformation moves, of a side.
STRONG_ELASTIC = 0.01
STRONG_SCALE = 1.25  # --augment=strong: size times 1/1.25 to 1.25; ours
STRONG_COLOUR = 0.2  # --augment=strong: change of contrast etc.; ours
WARMUP_EPOCHS = 1  # --schedule=cosine rises over so many; ours
DICE_EPSILON = 1.0  # pixels; keeps the Dice loss of few pixels smooth
LOG_EPSILON = 1e-7  # keeps log(p) finite; Keras' own
TEST_SHARE = 4  # one pair in so many; reference, Data: 500 of the 2000
VALIDATION_SHARE = 10  # one in so many of the rest; the reference has none
WORKING_SCALE = 1.25  # side of the cached pairs, in image_size; a crop is
# then 4/5 of the picture a side: still most of it, as in testing; ours
EMPTY_SHARE = 1e-4  # of all pixels: below it a loop's maps are empty; ours
BLIND_DISTANCE = 1e-5  # multi-scale L1 below it: the critic is blind; ours
SATURATED_SHARE = 0.8  # of the critic's weights at the bound; ours
LOOP_STEPS = 50  # at most so many steps between two looks at the losses
LOOP_SECONDS = 10.0  # about how often losses are read and logged
THRESHOLD = 0.5  # a pixel is lesion above it; reference, Metrics
# Of a picture: three times the largest image of the ISIC archive (6748x4499);
# as RGB it takes 300 MB. A header that claims more is a damaged file or an
# attack, and is refused before anything is decoded.
MAX_PIXELS = 100_000_000
DECODED_AT_ONCE = 2  # pictures of a server's batch; bounds its memory; ours
PRETRAINED = "pretrained"  # --model, --start_from: the released model
SERVED_NAME = "segan"  # what a server calls the model

SEGMENTORS = tuple(SIZE_MULTIPLES)
ENCODER_WEIGHTS = ("imagenet", "none")
OPTIMIZERS = ("adam", "lamb")
SCHEDULES = ("staircase", "cosine")
AUGMENTATIONS = ("basic", "strong")
CACHES = ("memory", "disk", "none")
PRECISIONS = ("float32", "mixed_bfloat16")
MODES = ("check", "train", "evaluate", "predict", "export")
SPLITS = ("train", "validation", "test", "all")
LABEL_KINDS = ("exclusive", "overlapping")
CRITIC_FORMS = ("stacked", "shared", "per_label")
MOST_LABELS = 255  # one byte a pixel holds the numbers of the label maps
QUANTIZATIONS = ("none", "float16", "dynamic", "int8")
CALIBRATION_LEAST = 100  # different images; fewer leave ranges too narrow


class UserError(ValueError):
    """A mistake the user can mend: one line with name, value and remedy."""


@dataclasses.dataclass(frozen=True)
class Config:
    """What the flags say; one flag per field, with the same name.

    Raises:
      UserError: a value is impossible; the message names the flag.
    """

    # Data
    data_dir: str = ""
    image_dir: str = ""
    label_map_dir: str = ""
    num_drawn: int = 400  # drawn lesions, when no folder is given
    num_test: int | None = None  # None: one in TEST_SHARE
    num_validation: int | None = None  # None: one in VALIDATION_SHARE
    split_seed: int = 0
    test_list: str = ""
    groups: str = ""
    label_names: str = ""
    skip_bad_pairs: bool = False
    image_size: int = 128  # reference, Data
    augment: str = "basic"  # reference, Data: resize or crop, and flips
    cache: str = "memory"

    # Model
    segmentor: str = "segan"
    encoder_weights: str = "imagenet"  # segan's encoder has none
    width: int = 64  # reference, Networks
    critic_width: int = 0  # 0: width; reference, Networks
    num_labels: int = 1
    label_kind: str = "exclusive"

    # Training
    model_dir: str = "runs/segan"
    start_from: str = ""
    epochs: int = 100  # the reference's 5000 end with a rate of 1e-63
    batch_size: int = 30  # reference, Training
    optimizer: str = "adam"  # reference, Training
    learning_rate: float = 0.002  # reference, Training
    schedule: str = "staircase"  # reference, Training
    decay_epochs: int = 25  # reference, Training
    decay_rate: float = 0.5  # SegAN's 2018 code; the reference is silent
    ema: float = 0.0  # 0: S's weights as they are
    l1_weight: float = 1.0  # reference, Loss
    dice_weight: float | None = None  # None: 0 with the critic, 1 without
    cross_entropy_weight: float | None = None  # None: as dice_weight
    critic_clip: float = 0.01  # SegAN, section 3; 0 leaves the critic free
    critic_form: str = "stacked"  # the cheapest, see docs/method.md
    critic_labels_per_step: int = 0  # 0: all
    label_weights: tuple[float, ...] = ()  # (): all 1
    adversarial: bool = True
    precision: str = "float32"
    xla: bool = False
    num_replicas: int = 0  # 0: every visible GPU, or one CPU
    virtual_devices: int = 0  # splits one CPU, for trying several replicas
    seed: int = 0
    resume: bool = True
    checkpoint_minutes: float = 5.0

    # Evaluation, prediction, export
    split: str = "test"
    model: str = ""
    input: str = ""
    flips: bool = False
    output_dir: str = "predictions"
    export_dir: str = "exported"
    quantizations: tuple[str, ...] = QUANTIZATIONS
    calibration_images: int = 200  # twice CALIBRATION_LEAST; ours
    allow_parity_loss: bool = False
    web: bool = False

    def __post_init__(self):
        # Flags hand over lists of text, flags.json lists.
        object.__setattr__(self, "label_weights", tuple(self.label_weights))
        object.__setattr__(self, "quantizations", tuple(self.quantizations))
        self._check_choices()
        self._check_numbers()
        self._check_labels()
        self._check_folders()

    def _check_choices(self):
        for name, choices in (
            ("segmentor", SEGMENTORS),
            ("encoder_weights", ENCODER_WEIGHTS),
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("augment", AUGMENTATIONS),
            ("cache", CACHES),
            ("precision", PRECISIONS),
            ("split", SPLITS),
            ("label_kind", LABEL_KINDS),
            ("critic_form", CRITIC_FORMS),
        ):
            value = getattr(self, name)
            if value not in choices:
                raise UserError(
                    f"--{name} ({value}) must be one of {', '.join(choices)}."
                )

        unknown = [q for q in self.quantizations if q not in QUANTIZATIONS]
        if unknown or not self.quantizations:
            raise UserError(
                f"--quantizations ({','.join(self.quantizations)}) must be "
                f"some of {','.join(QUANTIZATIONS)}."
            )

    def _check_numbers(self):
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is None:
                continue
            if not math.isfinite(value) or value < least:
                raise UserError(
                    f"--{name} ({value}) must be a number of at least {least}."
                )
        for name in ("learning_rate", "decay_rate"):
            value = getattr(self, name)
            if not math.isfinite(value) or not 0 < value <= 1:
                raise UserError(
                    f"--{name} ({value}) must be above 0 and at most 1."
                )
        if not 0 <= self.ema < 1:
            raise UserError(f"--ema ({self.ema}) must be from 0 to below 1.")
        if not any(self.loss_weights.values()):
            raise UserError(
                f"--l1_weight ({self.l1_weight}), --dice_weight and "
                "--cross_entropy_weight leave the segmentor no loss; give one "
                "of them a number above 0."
            )
        multiple = SIZE_MULTIPLES[self.segmentor]
        if self.image_size % multiple:
            below = self.image_size // multiple * multiple
            raise UserError(
                f"--image_size ({self.image_size}) must be a multiple of "
                f"{multiple} for --segmentor={self.segmentor}; use "
                f"{nearest(below, multiple)}."
            )
        if self.num_labels > MOST_LABELS:
            raise UserError(
                f"--num_labels ({self.num_labels}) must be at most "
                f"{MOST_LABELS}."
            )

    def _check_labels(self):
        self._check_label_weights()
        sampled = self.critic_labels_per_step
        if sampled > self.num_labels:
            raise UserError(
                f"--critic_labels_per_step ({sampled}) is more than the "
                f"--num_labels ({self.num_labels}); use 0 for all."
            )
        if 0 < sampled < self.num_labels and self.critic_form != "shared":
            raise UserError(
                f"--critic_labels_per_step ({sampled}) needs "
                f"--critic_form=shared, not {self.critic_form}."
            )

    def _check_label_weights(self):
        given = self.label_weights
        shown = ",".join(map(str, given))
        try:
            weights = tuple(float(weight) for weight in given)
        except ValueError as error:
            raise UserError(
                f"--label_weights ({shown}) must be numbers, one a label."
            ) from error
        if given and len(given) != self.num_labels:
            raise UserError(
                f"--label_weights ({shown}) must be as many as --num_labels "
                f"({self.num_labels})."
            )
        if not all(0 <= w < math.inf for w in weights) or (
            given and not sum(weights)
        ):
            raise UserError(
                f"--label_weights ({shown}) must be 0 or more, and not all 0."
            )
        object.__setattr__(self, "label_weights", weights)

    def _check_folders(self):
        if bool(self.image_dir) != bool(self.label_map_dir):
            given = "image_dir" if self.image_dir else "label_map_dir"
            other = "label_map_dir" if self.image_dir else "image_dir"
            raise UserError(
                f"--{given} ({getattr(self, given)}) needs --{other} beside it."
            )
        if self.data_dir and self.image_dir:
            raise UserError(
                f"--data_dir ({self.data_dir}) and --image_dir "
                f"({self.image_dir}) exclude each other; give one."
            )

    @property
    def loss_weights(self) -> dict[str, float]:
        """The weight of each term of the segmentor's loss."""
        alone = 0.0 if self.adversarial else 1.0
        weights = {
            "multi_scale_l1": self.l1_weight if self.adversarial else 0.0,
            "dice_loss": self.dice_weight,
            "cross_entropy": self.cross_entropy_weight,
        }
        return {k: alone if w is None else w for k, w in weights.items()}

    @property
    def starts_from_imagenet(self) -> bool:
        """Whether a new run's encoder takes ImageNet weights."""
        has_weights = self.segmentor != "segan" and not self.start_from
        return has_weights and self.encoder_weights == "imagenet"

    @property
    def exclusive(self) -> bool:
        """Whether at most one label holds at a pixel."""
        return self.label_kind == "exclusive"


LEAST = {
    "num_drawn": 8,
    "num_test": 0,
    "num_validation": 0,
    "split_seed": 0,
    "image_size": min(SIZE_MULTIPLES.values()),
    "width": 1,
    "critic_width": 0,
    "num_labels": 1,
    "critic_labels_per_step": 0,
    "epochs": 1,
    "batch_size": 1,
    "decay_epochs": 1,
    "l1_weight": 0,
    "dice_weight": 0,
    "cross_entropy_weight": 0,
    "critic_clip": 0,
    "num_replicas": 0,
    "virtual_devices": 0,
    "seed": 0,
    "checkpoint_minutes": 0,
    "calibration_images": CALIBRATION_LEAST,
}

# The fields that say where the pairs come from, ...
SOURCE_FIELDS = ("data_dir", "image_dir", "label_map_dir", "num_drawn")
# ... and how they are divided.
DIVISION_FIELDS = (
    "num_test",
    "num_validation",
    "split_seed",
    "test_list",
    "groups",
)
# Given anew, they say which pairs are of a split; else the run's record does.
ANEW_FIELDS = (*SOURCE_FIELDS, *DIVISION_FIELDS)
DATA_FIELDS = (*ANEW_FIELDS, "label_names", "skip_bad_pairs")
# The fields that a trained model cannot change any more.
MODEL_FIELDS = ("segmentor", "width", "num_labels", "label_kind", "image_size")
# The fields that decide a run's weights: resuming needs the same values.
RUN_FIELDS = (
    *DATA_FIELDS,
    *MODEL_FIELDS,
    "encoder_weights",
    "start_from",
    "critic_width",
    "augment",
    "batch_size",
    "optimizer",
    "learning_rate",
    "schedule",
    "decay_epochs",
    "decay_rate",
    "ema",
    "l1_weight",
    "dice_weight",
    "cross_entropy_weight",
    "critic_clip",
    "critic_form",
    "critic_labels_per_step",
    "label_weights",
    "adversarial",
    "precision",
    "seed",
)


def nearest(below: int, step: int) -> str:
    """Names the multiples of ``step`` around a refused value."""
    return f"{below} or {below + step}" if below else str(step)
