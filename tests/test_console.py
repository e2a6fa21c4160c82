"""Tests of segan_tf.quiet."""

import os
import sys

import pytest

from segan_tf import console


def _write_everywhere():
    print("from print")
    sys.stderr.write("from stderr")
    os.write(1, b"from descriptor 1")
    os.write(2, b"from descriptor 2")


def test_silence_swallows_all_that_is_written(capfd):
    print("before")
    with console.capture_output():
        _write_everywhere()
    print("after")

    assert capfd.readouterr() == ("before\nafter\n", "")


def test_swallowed_text_is_shown_when_the_work_fails(capfd):
    with pytest.raises(RuntimeError, match="failed"):
        with console.capture_output():
            _write_everywhere()
            raise RuntimeError("failed")

    out, err = capfd.readouterr()
    assert out == ""
    for words in ("print", "stderr", "descriptor 1", "descriptor 2"):
        assert f"from {words}" in err
