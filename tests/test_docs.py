import json
import pathlib
import re
import subprocess
import sys
import textwrap

import pytest

import flags

pytestmark = pytest.mark.any_edition

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
# Flags of the scripts in benchmarks/, and absl's own.
OTHERS = {"help", "flagfile", "widths", "rounds", "batches", "count"}
OTHERS |= {"seed", "page", "steps", "torch"}
# Flags of docker and pip, of TF Serving, of examples/serving_client.py, of
# segan_tf.serve and of benchmarks/serving_*.py.
OTHERS |= {
    "rm",
    "no",  # --no-deps
    "model_config_file",
    "model_config_file_poll_wait_seconds",
    "monitoring_config_file",
    "enable_batching",
    "batching_parameters_file",
    "allow_version_labels_for_unavailable_models",
    "rest_api_num_threads",
    "ssl_config_file",
    "protocol",
    "server",
    "port",
    "version_label",
    "tls",
    "clients",
    "seconds",
    "megapixels",
}
# Flags of scripts/test, of mkdocs, of Python's own server and of Slurm.
OTHERS |= {"addons", "all", "strict", "directory", "array"}
# Flags of kubectl, and of Beam, which tests/bulk/test_bulk_command.py checks.
OTHERS |= {
    "for",
    "timeout",
    "runner",
    "direct_num_workers",
    "direct_running_mode",
    "direct_runner_bundle_repeat",
    "environment_type",
    "environment_config",
    "flink_master",
    "flink_version",
    "hdfs_host",
    "hdfs_port",
    "hdfs_user",
    "parallelism",
    "project",
    "region",
    "temp_location",
    "extra_package",
    "max_num_workers",
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_flag_that_a_page_names_exists(page):
    defined = {name for names in flags.GROUPS.values() for name in names}
    named = set(re.findall(r"(?<![\w-])--([a-z0-9_]+)", page.read_text()))
    unknown = {
        name
        for name in named - OTHERS
        if name not in defined and name.removeprefix("no") not in defined
    }
    assert unknown == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_links_to_exists(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_of_the_project_that_a_page_names_exists(page):
    top = {path.name for path in ROOT.iterdir() if path.is_dir()} - {"runs"}
    for name in re.findall(r"`([\w.-]+/[\w./-]*)`", page.read_text()):
        if name.split("/")[0] in top:
            assert (ROOT / name).exists(), name


def python_snippets(page):
    """Lists the blocks of Python on a page."""
    fenced = r"^( *)```python\n(.*?)^\1```"
    return [
        code for _, code in re.findall(fenced, page.read_text(), re.M | re.S)
    ]


def test_every_example_of_the_contributing_guide_has_code():
    page = ROOT / "CONTRIBUTING.md"
    examples = re.findall(r"^### Add ", page.read_text(), re.M)
    assert len(python_snippets(page)) >= len(examples) == 6


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_on_a_page_compiles(page):
    for snippet in python_snippets(page):
        snippet = textwrap.dedent(snippet)
        # A row of a table is the inside of a dictionary.
        if re.match(r'"\w+":', snippet):
            snippet = f"{{{snippet}}}"
        compile(snippet, page.name, "exec")


def test_results_of_the_table_are_committed_with_their_command():
    folders = sorted((ROOT / "benchmarks" / "isic2017").glob("*/results.json"))
    assert folders
    for path in folders:
        results = json.loads(path.read_text())
        assert "--mode=evaluate" in results["run"]["command"]
        dice = results["metrics"]["dice"]["mean"]
        pages = (ROOT / "README.md", ROOT / "docs" / "results.md")
        assert any(f"{dice:.4f}" in page.read_text() for page in pages), path


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings_handlers.python")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    losses = (tmp_path / "reference" / "losses.html").read_text()
    assert "&gt;&gt;&gt; SoftDice()" in re.sub("<[^>]+>", "", losses)
    assert "<blockquote>" not in losses
    settings = (tmp_path / "reference" / "settings.html").read_text()
    for names in flags.GROUPS.values():
        for name in set(names) - {"mode"}:
            assert f"<code>{name}</code>" in settings
