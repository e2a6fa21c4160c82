"""Tests of listing a TFLite model's operators and their delegate."""

import pytest

from export.tflite import operators


class Nodes:
    """A fake interpreter with a chain of so many operators.

    Operator i makes tensor i + 1 of tensor i; a delegate takes parts.
    """

    def __init__(self, count, *parts):
        self.details = [
            {
                "index": i,
                "op_name": "CONV_2D",
                "inputs": [i],
                "outputs": [i + 1],
            }
            for i in range(count)
        ]
        for taken, given in parts:
            self.details.append(
                {
                    "index": len(self.details),
                    "op_name": "DELEGATE",
                    "inputs": taken,
                    "outputs": given,
                }
            )

    def _get_ops_details(self):
        return self.details


@pytest.mark.parametrize(
    ("parts", "share"),
    [
        ((), 0),
        ([([0], [4])], 1),
        ([([1], [3])], 2 / 4),
        ([([0], [1]), ([2], [4])], 3 / 4),
    ],
)
def test_share_counts_the_operators_inside_the_delegates_parts(parts, share):
    assert operators.delegated_share(Nodes(4, *parts)) == share


def test_share_is_none_if_the_runtime_does_not_tell():
    assert operators.delegated_share(object()) is None


def test_operators_of_tensorflow_itself_are_an_error():
    words = "lack: CUSTOM FlexErf, VAR_HANDLE$"
    with pytest.raises(operators.ConversionError, match=words):
        operators.check_unportable_operators(
            ["CONV_2D", "VAR_HANDLE", "CUSTOM FlexErf"]
        )
    operators.check_unportable_operators(["CONV_2D", "LOGISTIC"])
