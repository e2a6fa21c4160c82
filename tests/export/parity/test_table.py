"""Tests of formatting the parity record."""

from export.parity import table


def check(measure, value, limit, label="", style=""):
    """Makes what a row is judged by."""
    return {
        "measure": measure,
        "value": value,
        "limit": limit,
        "label": label,
        "style": style,
        "within_limit": value <= limit,
    }


def row(path, **changes):
    """Makes an artifact's row."""
    return {
        "path": path,
        "difference": 2.5e-7,
        "largest_difference": 1.28e-6,
        "dice": 0.92,
        "iou": 0.87,
        "dice_to_keras": 0.9993,
        "labels": {"lesion": {}},
        "latency_ms": {"one_thread": 3.41, "all_threads": 2.0},
        "peak_memory_mb": 11.1,
        "operators": {"CONV_2D": 9, "LOGISTIC": 1},
        "delegated_share": 0.9615,
        "files": {"a": {"bytes": 1_180_000}, "b": {"bytes": 4_000}},
        "checks": [check("difference", 2.5e-7, 1e-4)],
        "within_limit": True,
        "published": True,
        **changes,
    }


RECORD = {
    "version": 3,
    "step": 1800,
    "previous_version": None,
    "earlier": [],
    "images": 100,
    "source": "the test split",
    "all_threads": 2,
    "keras": {"dice": 0.9248, "iou": 0.8719, "labels": {"lesion": {}}},
    "artifacts": {
        "none": row("segan_none.tflite"),
        "float16": row("segan_float16.tflite", within_limit=False),
        "int8": row(
            "segan_int8.tflite",
            checks=[
                check("difference", 0.001, 0.01),
                check("dice_loss", 0.01234, 0.005),
            ],
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
    title, header, reference, none, float16, int8, version = [
        line.split() for line in table.format_table(RECORD).splitlines()
    ]

    assert " ".join(title) == "compared on 100 images: the test split"
    assert " ".join(header).endswith(
        "MB ms, 1 thread ms, 2 threads memory MB operators XNNPACK"
    )
    assert reference == ["Keras", "0.9248", "0.8719"]
    assert none == [
        "segan_none.tflite",
        "2.5e-07",
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
    assert int8[3] == "-"
    assert " ".join(version) == "exported as version 3, of step 1800"
    assert int8[-4:] == ["-", "-", "-", "WITHHELD"]


def test_columns_are_below_their_headers():
    _, header, *rows, _ = table.format_table(RECORD).splitlines()
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


def part(**scores):
    """Makes a label's row."""
    return {"difference": 0.01, "dice_to_keras": 0.97, **scores}


SEVERAL = {
    **RECORD,
    "keras": {
        "dice": 0.82,
        "iou": 0.71,
        "labels": {
            "lesion": {"dice": 0.9, "iou": 0.8},
            "hair": {"dice": None, "iou": None},
        },
    },
    "artifacts": {
        "int8": row(
            "segan_int8.tflite",
            labels={
                "lesion": part(dice=0.89, iou=0.79),
                "hair": part(dice=None, iou=None),
            },
            checks=[
                check("dice_loss", 0.004, 0.005),
                check("dice_loss", 0.0147, 0.005, "lesion"),
                check("disagreement", 0.03, 0.02, "hair"),
            ],
            published=False,
        )
    },
}


def test_several_labels_have_a_row_each():
    lines = table.format_table(SEVERAL).splitlines()
    assert [line.split() for line in (lines[3], *lines[6:8])] == [
        ["lesion", "0.9000", "0.8000"],
        ["lesion", "1.0e-02", "0.8900", "0.7900", "0.9700"],
        ["hair", "1.0e-02", "-", "-", "0.9700"],
    ]
    end = lines[1].index("Dice") + len("Dice")
    assert lines[3][:end].endswith(" 0.9000")
    assert lines[6][:end].endswith(" 0.8900")


def test_failure_names_the_labels_that_lose_too_much():
    (failure,) = table.failures(SEVERAL)
    assert failure.startswith(
        "segan_int8.tflite has a Dice 0.0147 below Keras for lesion, more than "
        "0.005, and has a Dice 0.0300 below 1 with Keras' own label maps for "
        "hair, more than 0.02; it was not exported"
    )


def test_export_over_earlier_ones_says_what_became_of_them():
    record = {
        **RECORD,
        "artifacts": {"saved_model": row("saved_model/3")},
        "previous_version": 2,
        "earlier": ["segan_int8.tflite"],
    }
    assert table.format_table(record).splitlines()[-3:] == [
        "exported as version 3, of step 1800: servers load it instead of "
        "version 2",
        "replaced files are in earlier/",
        "still there from an earlier export: segan_int8.tflite",
    ]
