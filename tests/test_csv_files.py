"""Tests of CSV files."""

import csv
import io
import math
import os

import numpy as np
import pytest

from segan_tf import csv_files


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-2+3", "'-2+3"),
        ("@SUM(1)", "'@SUM(1)"),
        (" =1+1", "' =1+1"),
        ("\t=1", "'\\t=1"),
        ("\r=1", "'\\r=1"),
        ("\uff1d1", "'\uff1d1"),
        ("lesion=1", "lesion=1"),
        ("", ""),
    ],
)
def test_text_that_looks_like_a_formula_stays_text(text, cell):
    assert csv_files.text_cell(text) == cell


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a\rb\nc", "a\\rb\\nc"),
        ("a\x1b[31m", "a\\x1b[31m"),
        ("a\u202egpj", "a\\u202egpj"),
        (os.fsdecode(b"L\xe4sion"), "L\\udce4sion"),
        ("Läsion", "Läsion"),
    ],
)
def test_text_has_no_control_characters(text, cell):
    assert csv_files.text_cell(text) == cell


def test_numbers_stay_numbers(tmp_path):
    path = tmp_path / "table.csv"
    rows = [
        {"id": "a", "count": -3, "dice": -0.25, "distance": math.nan},
        {"id": 'b, "c"', "count": 4, "dice": np.float64(0.5)},
    ]
    csv_files.write_csv(path, rows, ["id", "count", "dice", "distance"])
    with open(path, encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [
            ["id", "count", "dice", "distance"],
            ["a", "-3", "-0.250000", ""],
            ['b, "c"', "4", "0.500000", ""],
        ]


def test_names_of_columns_are_guarded_too():
    text = io.StringIO()
    csv_files.CsvWriter(text, ["=1"])
    assert text.getvalue() == "'=1\n"


def test_row_is_written_at_once(tmp_path):
    path = tmp_path / "table.csv"
    with open(path, "w", encoding="utf-8") as file:
        writer = csv_files.CsvWriter(file, ["id"])
        writer.write({"id": "a"})
        assert path.read_text("utf-8") == "id\na\n"
