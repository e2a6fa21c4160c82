"""Tests of what is recorded about the environment of a result."""

import shutil
import subprocess
import sys

import pytest
import running

from segan_tf import environment

pytestmark = pytest.mark.any_edition

_PRINT = (
    "from segan_tf import environment;"
    "print(environment.describe(['x'])['commit'])"
)


def git(folder, *arguments):
    subprocess.run(
        [
            *("git", "-C", folder),
            *("-c", "user.name=a", "-c", "user.email=a@b.c"),
            *arguments,
        ],
        check=True,
        capture_output=True,
    )


def install(folder):
    """Copies the package into a folder, without its repository."""
    shutil.copytree(
        running.ROOT / "segan_tf",
        folder / "segan_tf",
        ignore=shutil.ignore_patterns("weights", "*.npz", "*.tflite"),
    )


def commit_of(folder, **variables):
    return subprocess.run(
        [sys.executable, "-c", _PRINT],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **variables},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_commit_is_that_of_the_programs_repository(tmp_path):
    install(tmp_path)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "segan_tf/__init__.py")
    git(tmp_path, "commit", "-qm", "first")

    commit = commit_of(tmp_path)

    assert len(commit) >= 7
    int(commit.removesuffix("-dirty"), 16)


def test_repository_around_an_installed_copy_is_not_recorded(tmp_path):
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "--allow-empty", "-qm", "first")
    folder = tmp_path / "site-packages"
    folder.mkdir()
    install(folder)

    assert commit_of(folder) == "unknown"


def test_repository_that_the_copy_is_a_part_of_is_not_recorded(tmp_path):
    folder = tmp_path / "vendored"
    folder.mkdir()
    install(folder)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "vendored/segan_tf/__init__.py")
    git(tmp_path, "commit", "-qm", "first")

    assert commit_of(folder) == "unknown"


def test_repository_that_ignores_the_copy_in_it_is_not_recorded(tmp_path):
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "--allow-empty", "-qm", "first")
    install(tmp_path)

    assert commit_of(tmp_path) == "unknown"


def test_repository_that_a_variable_names_is_not_recorded(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    install(other)
    git(other, "init", "-q")
    git(other, "add", "segan_tf/__init__.py")
    git(other, "commit", "-qm", "first")
    folder = tmp_path / "program"
    folder.mkdir()
    install(folder)

    variables = {"GIT_DIR": str(other / ".git"), "GIT_WORK_TREE": str(folder)}
    assert commit_of(folder, **variables) == "unknown"


def test_variables_that_may_change_numbers_are_recorded(monkeypatch):
    monkeypatch.setenv("TF_DETERMINISTIC_OPS", "1")
    monkeypatch.setenv("TF_VAR_password", "secret")  # of Terraform

    recorded = environment.describe(["x"])["environment"]

    assert recorded["TF_DETERMINISTIC_OPS"] == "1"
    assert "TF_VAR_password" not in recorded
