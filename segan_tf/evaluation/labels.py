"""Compares the labels of a model with those of the pairs that it scores."""

from segan_tf import labels as labels_lib
from segan_tf.errors import UserError


def check_same(
    of_data: labels_lib.Labels, *, of_model: labels_lib.Labels, model: str
) -> None:
    """Checks that a model and the true label maps have the same labels.

    Args:
      of_data: of the true label maps.
      of_model: of the model.
      model: its path, for the error.

    Raises:
      UserError: their names differ, or their number or kind.
    """
    default = labels_lib.default_names(of_data.count)
    named_alike = of_data.names in (of_model.names, default)
    counts_differ = of_data.count != of_model.count
    # The kind makes no difference for one label.
    kinds_differ = of_data.multiclass != of_model.multiclass
    if counts_differ or not named_alike or (of_data.count > 1 and kinds_differ):
        raise UserError(
            f"--model ({model}) has the "
            f"{of_model.label_kind} labels {', '.join(of_model.names)}, the "
            f"label maps the {of_data.label_kind} {', '.join(of_data.names)}; "
            "give the model's with --label_names."
        )
