"""Tests of formatting the parity record."""

from export.parity import table


def row(path, **changes):
    """Makes an artifact's row."""
    return {
        "path": path,
        "largest_difference": 1.28e-6,
        "dice": 0.92,
        "iou": 0.87,
        "dice_to_keras": 0.9993,
        "latency_ms": {"one_thread": 3.41, "all_threads": 2.0},
        "peak_memory_mb": 11.1,
        "operators": {"CONV_2D": 9, "LOGISTIC": 1},
        "delegated_share": 0.9615,
        "files": {"a": {"bytes": 1_180_000}, "b": {"bytes": 4_000}},
        "judged_by": "largest_difference",
        "value": 1.28e-6,
        "limit": 1e-4,
        "within_limit": True,
        "published": True,
        **changes,
    }


RECORD = {
    "images": 100,
    "source": "the test split",
    "all_threads": 2,
    "keras": {"dice": 0.9248, "iou": 0.8719},
    "artifacts": {
        "none": row("segan_none.tflite"),
        "float16": row("segan_float16.tflite", within_limit=False),
        "int8": row(
            "segan_int8.tflite",
            judged_by="dice_loss",
            value=0.01234,
            limit=0.005,
            within_limit=False,
            published=False,
            dice=None,
            operators=None,
            delegated_share=None,
            peak_memory_mb=None,
        ),
    },
}


def test_table_has_a_row_for_keras_and_for_each_artifact():
    title, header, reference, none, float16, int8 = [
        line.split() for line in table.format_table(RECORD).splitlines()
    ]

    assert " ".join(title) == "compared on 100 images: the test split"
    assert " ".join(header).endswith(
        "MB ms, 1 thread ms, 2 threads memory MB operators XNNPACK"
    )
    assert reference == ["Keras", "0.9248", "0.8719"]
    assert none == [
        "segan_none.tflite",
        "1.3e-06",
        "0.9200",
        "0.8700",
        "0.9993",
        "1.18",
        "3.4",
        "2.0",
        "11",
        "10",
        "96%",
        "within",
        "its",
        "limit",
    ]
    assert float16[-3:] == ["BEYOND", "ITS", "LIMIT"]
    assert int8[2] == "-"
    assert int8[-4:] == ["-", "-", "-", "WITHHELD"]


def test_columns_are_below_their_headers():
    _, header, *rows = table.format_table(RECORD).splitlines()
    end = header.index("Dice") + len("Dice")

    assert [line[:end].split()[-1] for line in rows] == [
        "0.9248",
        "0.9200",
        "0.9200",
        "-",
    ]


def test_failure_names_the_artifact_its_measure_and_its_limit():
    assert table.failures(RECORD) == [
        "segan_int8.tflite has a Dice 0.0123 below Keras, more than 0.005; it "
        "was not exported (pass --allow_parity_loss to export it all the "
        "same)."
    ]
