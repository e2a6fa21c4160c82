"""Names of the signatures and tensors of exported models.

Clients use them, so they never change.
"""

from segan_tf import labels

# Of TFLite models, and of SavedModels: encoded images in, label maps out.
DEFAULT = "serving_default"
# Of SavedModels: decoded images in, probability maps out.
PROBABILITIES = "probabilities"

IMAGE = "image"  # of TFLite models
STYLE = "style"  # of TFLite models that take the style
IMAGES = "images"
IMAGE_BYTES = "image_bytes"
PROBABILITY_MAP = "probability_map"
LABEL_MAP_BYTES = "label_map_bytes"
LABEL_FRACTIONS = "label_fractions"
MEAN_PROBABILITY = "mean_probability"
LABEL_NAMES = "label_names"
LESION_FRACTION = "lesion_fraction"
EXPECTED_DICE = "expected_dice"
ERROR = "error"


def in_style(signature: str, style: str) -> str:
    """Names a SavedModel's signature that draws in an annotation style.

    >>> in_style(DEFAULT, "T1"), in_style(PROBABILITIES, "clinic A")
    ('serving_t1', 'probabilities_clinic_a')
    """
    stem = signature.removesuffix("_default")
    return f"{stem}_{labels.slug(style)}"
