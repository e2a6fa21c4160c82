"""Calls functions of the web page's modules in Node, without a browser."""

import json
import pathlib
import shutil
import subprocess

import pytest
import running

PAGE = running.ROOT / "export" / "web" / "page"


def run(folder, code, given):
    """Runs code that imports modules of the page; skips where there is no Node.

    Args:
      folder: an empty one.
      code: imports, and statements that make `answer` of `given`.
      given: for JSON.

    Returns:
      The answer.
    """
    node = shutil.which("node")
    if not node:
        pytest.skip("node is missing")
    folder = pathlib.Path(folder)
    for module in PAGE.glob("*.js"):
        shutil.copy(module, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "given.json").write_text(json.dumps(given))
    (folder / "main.js").write_text(
        'import { readFileSync, writeFileSync } from "node:fs";\n'
        'const given = JSON.parse(readFileSync("given.json", "utf8"));\n'
        f"let answer;\n{code}\n"
        'writeFileSync("answer.json", JSON.stringify(answer));\n'
    )
    done = subprocess.run(
        [node, "main.js"], cwd=folder, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads((folder / "answer.json").read_text())
