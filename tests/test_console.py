"""Tests of progress bars, messages and the capture of output."""

import io
import os
import sys

import pytest

from segan_tf import console


def _write_everywhere():
    print("from print")
    sys.stderr.write("from stderr")
    os.write(1, b"from descriptor 1")
    os.write(2, b"from descriptor 2")


def test_output_is_discarded(capfd):
    print("before")
    with console.capture_output():
        _write_everywhere()
    print("after")

    assert capfd.readouterr() == ("before\nafter\n", "")


def _fail_after_writing():
    with console.capture_output():
        _write_everywhere()
        raise RuntimeError("failed")


def test_output_is_shown_if_the_block_raises(capfd):
    with pytest.raises(RuntimeError, match="failed"):
        _fail_after_writing()

    out, err = capfd.readouterr()
    assert out == ""
    for words in ("print", "stderr", "descriptor 1", "descriptor 2"):
        assert f"from {words}" in err


def test_output_is_discarded_where_stdout_is_no_file(capfd, monkeypatch):
    notebook = io.StringIO()
    monkeypatch.setattr(sys, "stdout", notebook)
    with console.capture_output():
        _write_everywhere()
    print("after")

    assert notebook.getvalue() == "after\n"
    assert capfd.readouterr().out == ""


def test_bar_is_shown_on_standard_error_and_message_on_standard_output(capsys):
    for _ in console.bar([1, 2], desc="checking", unit="pair"):
        console.say("a message")

    out, err = capsys.readouterr()
    assert out == "a message\n" * 2
    assert "checking: 100%" in err
    assert "2/2" in err


def test_bar_writes_few_lines_to_a_file(capsys):
    for _ in console.bar(range(1000)):
        pass

    assert capsys.readouterr().err.count("\r") <= 3


def test_no_bar_shows_nothing(capsys):
    assert list(console.no_bar([1, 2], desc="checking")) == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_quiet_block_shows_only_errors(capsys):
    with console.quiet():
        console.say("not shown")
        assert list(console.bar(range(2))) == [0, 1]
        console.say_error("shown")
    console.say("shown too")
    assert capsys.readouterr() == ("shown too\n", "error: shown\n")
