"""One absl flag per Config field, by group; imports no TensorFlow."""

from absl import flags

from segan_tf.config import (
    AUGMENTATIONS,
    CACHES,
    CRITIC_FORMS,
    ENCODER_WEIGHTS,
    LABEL_KINDS,
    LEAST,
    MODES,
    OPTIMIZERS,
    PRECISIONS,
    SCHEDULES,
    SEGMENTORS,
    SPLITS,
    Config,
)

FLAGS = flags.FLAGS


def _integer(name: str, text: str) -> None:
    flags.DEFINE_integer(
        name, getattr(Config, name), text, lower_bound=LEAST.get(name)
    )


def _float(name: str, text: str) -> None:
    flags.DEFINE_float(
        name, getattr(Config, name), text, lower_bound=LEAST.get(name)
    )


def _string(name: str, text: str) -> None:
    flags.DEFINE_string(name, getattr(Config, name), text)


def _boolean(name: str, text: str) -> None:
    flags.DEFINE_boolean(name, getattr(Config, name), text)


def _list(name: str, text: str) -> None:
    flags.DEFINE_list(name, list(getattr(Config, name)), text)


def _enum(name: str, choices: tuple[str, ...], text: str) -> None:
    flags.DEFINE_enum(name, getattr(Config, name), choices, text)


def _define_mode() -> None:
    flags.DEFINE_enum(
        "mode",
        None,
        MODES,
        "What to do: check reads every pair and reports; train; evaluate "
        "scores a model; predict writes label maps of pictures; export writes "
        "SavedModel and TFLite.",
    )


def _define_data() -> None:
    _string(
        "data_dir",
        "Folder of pairs: ISIC 2016, 2017 or 2018 as downloaded, PH2, or "
        "images/ beside label_maps/ (or masks/). Without any folder lesions "
        "are drawn.",
    )
    _string("image_dir", "Folder of images; needs --label_map_dir.")
    _string("label_map_dir", "Folder of label maps; needs --image_dir.")
    _integer("num_drawn", "Lesions drawn when no folder is given.")
    _integer(
        "num_test",
        "Pairs drawn for testing when there is no official test split. "
        "Default: a quarter.",
    )
    _integer(
        "num_validation",
        "Pairs drawn from the training ones for validation when there is no "
        "official validation split. Default: a tenth of them.",
    )
    _integer("split_seed", "Seed of the draws for testing and validation.")
    _string("test_list", "File of the ids to test on, one per line.")
    _string(
        "groups",
        "CSV file with the columns id and group, such as a patient: no group "
        "is divided between the splits.",
    )
    _string(
        "label_names",
        "Names of the labels, separated by commas, or a labels.json that says "
        "what each value or colour of a label map means. Default: labels.json "
        "in --data_dir, if there is one.",
    )
    _boolean("skip_bad_pairs", "Go on without the pairs that cannot be used.")
    _integer("image_size", "Side of the segmentor's input in pixels.")
    _enum(
        "augment",
        AUGMENTATIONS,
        "basic: resize or crop, flips; strong: rotation, transpose, "
        "scale, shear, elastic deformation and colour jitter too.",
    )
    _enum(
        "cache",
        CACHES,
        "Where decoded pairs are kept; none decodes in every epoch.",
    )


def _define_model() -> None:
    _enum(
        "segmentor",
        SEGMENTORS,
        "segan: the reference's; efficientnet_lite0: a phone's encoder and a "
        "decoder, more accurate after far less training.",
    )
    _enum(
        "encoder_weights",
        ENCODER_WEIGHTS,
        "efficientnet_lite0: what its encoder starts from.",
    )
    _integer(
        "width",
        "Channels of the first level of S, in efficientnet_lite0 of its "
        "decoder.",
    )
    _integer("critic_width", "Channels of C's first level; 0: --width.")
    _integer("num_labels", "Labels to segment, background not counted.")
    _enum(
        "label_kind",
        LABEL_KINDS,
        "exclusive: at most one label at a pixel; overlapping: any number.",
    )


def _define_training() -> None:
    _string("model_dir", "Folder of the run: checkpoints, logs, results.")
    _string(
        "start_from",
        "Folder of a run whose segmentor this one begins as, at any "
        "--image_size, or pretrained: the released model.",
    )
    _integer("epochs", "Epochs to train in all.")
    _integer("batch_size", "Images per step, over all replicas.")
    _enum(
        "optimizer",
        OPTIMIZERS,
        "adam: the reference's; lamb: for batches of hundreds, over many GPUs.",
    )
    _float("learning_rate", "The optimiser's learning rate, for S and C.")
    _enum(
        "schedule",
        SCHEDULES,
        "How the rate falls: staircase, every --decay_epochs times "
        "--decay_rate; cosine, to 0 at the last epoch, after a rise over the "
        "first.",
    )
    _integer("decay_epochs", "Epochs after which the rate is reduced.")
    _float("decay_rate", "What the rate is multiplied by then.")
    _float(
        "ema",
        "Decay, per step, of the running mean of S's weights that is scored "
        "and handed out, such as 0.99; 0: the weights as they are.",
    )
    _float("l1_weight", "Weight of the multi-scale L1 in the segmentor's loss.")
    _float(
        "dice_weight",
        "Weight of a soft Dice term in the segmentor's loss. Default: 0 "
        "with the critic, 1 without.",
    )
    _float(
        "cross_entropy_weight",
        "Weight of a cross-entropy term in the segmentor's loss. Default: 0 "
        "with the critic, 1 without.",
    )
    _float(
        "critic_clip",
        "Bound of the critic's weights; 0 leaves them free.",
    )
    _enum(
        "critic_form",
        CRITIC_FORMS,
        "How the critic sees several labels: stacked, all masked images "
        "stacked on channels; shared, one critic for the masked image of each "
        "label; per_label, a critic for each.",
    )
    _integer(
        "critic_labels_per_step",
        "Labels that the shared critic sees in a step, drawn at random; 0: "
        "all of them.",
    )
    _list(
        "label_weights",
        "Weight of each label in the losses, separated by commas; their mean "
        "is brought to 1. The stacked critic sees the labels together: there "
        "they weigh the other terms alone. Default: all 1.",
    )
    _boolean(
        "adversarial",
        "Train against the critic; without it S is trained alone with "
        "cross-entropy and Dice.",
    )
    _enum("precision", PRECISIONS, "Arithmetic of the convolutions.")
    _boolean("xla", "Compile the train step with XLA.")
    _integer("num_replicas", "GPUs to use; 0: all that are visible.")
    _integer("virtual_devices", "Split the CPU into this many replicas.")
    _integer("seed", "Seed of weights, data order and augmentation.")
    _boolean("resume", "Go on from the last checkpoint in --model_dir.")
    _float("checkpoint_minutes", "Minutes between checkpoints in an epoch.")


def _define_use() -> None:
    _enum("split", SPLITS, "evaluate, export: the pairs to score.")
    _string(
        "model",
        "predict, evaluate: a model_dir, SavedModel or TFLite file, or "
        "pretrained, the released model; default --model_dir. export: "
        "pretrained in place of --model_dir.",
    )
    _string("input", "predict: a picture or a folder of pictures.")
    _boolean(
        "flips",
        "predict, evaluate: average over the picture and its flips, at four "
        "times the cost.",
    )
    _string("output_dir", "predict: folder for label maps and overlays.")
    _string("export_dir", "export: folder for SavedModel and TFLite.")
    _list(
        "quantizations",
        "export: the TFLite models to write, with commas between them; int8 "
        "is calibrated on images of the training split.",
    )
    _integer(
        "calibration_images",
        "export: images of the training split that calibrate int8.",
    )
    _boolean(
        "allow_parity_loss",
        "export: hand out also what differs too much from the checkpoint, "
        "and mark it.",
    )
    _boolean(
        "web",
        "export: bundle the page that segments pictures in the browser too; "
        "needs npm.",
    )


def _names_defined_by(define) -> tuple[str, ...]:
    before = set(FLAGS)
    define()
    return tuple(name for name in FLAGS if name not in before)


GROUPS = {
    "Mode": _names_defined_by(_define_mode),
    "Data": _names_defined_by(_define_data),
    "Model": _names_defined_by(_define_model),
    "Training": _names_defined_by(_define_training),
    "Evaluation, prediction, export": _names_defined_by(_define_use),
}


def help_text() -> str:
    """Describes every flag, by group."""
    lines = [
        f"usage: python main.py --mode={'|'.join(MODES)} [--flag=value]",
        "--flagfile=FILE reads flags from a file, one a line.",
    ]
    for group, names in GROUPS.items():
        lines.append(f"\n{group}")
        for name in names:
            flag = FLAGS[name]
            text = flags.text_wrap(
                flag.help + _shown_default(flag), length=78, indent="      "
            )
            negation = "[no]" if flag.boolean else ""
            lines.append(f"  --{negation}{name}\n{text}")
    return "\n".join(lines)


def _shown_default(flag: flags.Flag) -> str:
    if flag.default in (None, "", []):
        return ""
    if flag.boolean:
        return f" (default {str(flag.default).lower()})"
    if isinstance(flag.default, list):
        return f" (default {','.join(flag.default)})"
    return f" (default {flag.default})"
