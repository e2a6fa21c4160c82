"""Bundles the web page that segments images in the browser."""

import base64
import hashlib
import itertools
import json
import os
import pathlib
import shutil
from typing import Any

from segan_tf import config, files

from .. import staging
from . import runtime

PAGE_NAME = "web"
CONTRACT_NAME = "model.json"
# The smallest and fastest first.
QUANTIZATIONS = ("int8", "float16", "none", "dynamic")
# Of each, the model that takes the style first: it has the slider's styles.
_ENDINGS = ("_styles", "")

_SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "page")
_RUNTIME_NAME = "runtime"
_MANIFEST = "manifest.webmanifest"
_FILE_LIST = "files.json"
_SERVICE_WORKER = "service_worker.js"
_VERSION_SLOT = b'"VERSION"'


def bundle_page(export_dir: str) -> str:
    """Writes `<export_dir>/web/`: page, runtime and model, ready to be served.

    Any static server can serve it; it requests nothing outside of its folder.
    The model is the first of QUANTIZATIONS that `export_dir` holds, and of
    these the one that takes the annotation style. An older page is replaced
    when the new one is complete.

    Args:
      export_dir: holds segan_<quantization>.tflite and its contract,
        segan_<quantization>.json.

    Returns:
      The path of the folder.

    Raises:
      UserError: there is no model, its contract does not match it, the runtime
        cannot be fetched, or the folder cannot be written.
    """
    model_path, contract = _find_model(export_dir)
    runtime.fetch(export_dir)
    path = os.path.join(export_dir, PAGE_NAME)
    with staging.hidden_folder(export_dir) as folder:
        page = shutil.copytree(_SOURCE, os.path.join(folder, PAGE_NAME))
        runtime.unpack(export_dir, os.path.join(page, _RUNTIME_NAME))
        shutil.copy(model_path, page)
        files.write_json(os.path.join(page, CONTRACT_NAME), contract)
        _embed_icons(page)
        _write_file_list(page)
        if os.path.lexists(path):
            # Into the hidden folder, which is removed after the block.
            os.rename(path, os.path.join(folder, "replaced"))
        os.rename(page, path)
    return path


def _embed_icons(page: str) -> None:
    """Puts the icons into the manifest.

    Browsers load them to install the page, when its policy forbids requests.
    """
    path = pathlib.Path(page, _MANIFEST)
    manifest = json.loads(path.read_text(encoding="utf-8"))
    for icon in manifest["icons"]:
        content = pathlib.Path(page, icon["src"]).read_bytes()
        encoded = base64.b64encode(content).decode()
        icon["src"] = f"data:{icon['type']};base64,{encoded}"
    files.write_json(str(path), manifest)


def _write_file_list(page: str) -> None:
    """Lists the page's files with their bytes, and states their version.

    The service worker keeps the files for use without a network; browsers take
    it for an update when one byte of it differs, such as in the version.
    """
    sizes = {}
    digest = hashlib.sha256()
    for path in sorted(pathlib.Path(page).rglob("*")):
        name = path.relative_to(page).as_posix()
        if path.is_file():
            content = path.read_bytes()
            digest.update(f"{name} {len(content)} ".encode() + content)
            if name != _SERVICE_WORKER:
                sizes[name] = len(content)
    version = digest.hexdigest()[:16]
    files.write_json(
        os.path.join(page, _FILE_LIST), {"version": version, "files": sizes}
    )
    worker = pathlib.Path(page, _SERVICE_WORKER)
    stated = worker.read_bytes().replace(
        _VERSION_SLOT, f'"{version}"'.encode(), 1
    )
    worker.write_bytes(stated)


def _find_model(export_dir: str) -> tuple[str, dict[str, Any]]:
    """Returns the path of the model to bundle, and its contract."""
    for quantization, ending in itertools.product(QUANTIZATIONS, _ENDINGS):
        stem = os.path.join(export_dir, f"segan_{quantization}{ending}")
        if os.path.isfile(f"{stem}.tflite") and os.path.isfile(f"{stem}.json"):
            return f"{stem}.tflite", _read_contract(stem)
    raise config.UserError(
        f"--web: --export_dir ({export_dir}) holds no segan_<quantization>"
        ".tflite with its .json; export with --mode=export first."
    )


def _read_contract(stem: str) -> dict[str, Any]:
    try:
        with open(f"{stem}.json", encoding="utf-8") as file:
            contract = json.load(file)
        named, stated = contract["model"], contract["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise config.UserError(
            f"--web: {stem}.json cannot be understood "
            f"({type(error).__name__}: {error}); export the model again."
        ) from error
    with open(f"{stem}.tflite", "rb") as file:
        actual = hashlib.sha256(file.read()).hexdigest()
    if (named, stated) != (os.path.basename(f"{stem}.tflite"), actual):
        raise config.UserError(
            f"--web: {stem}.json describes another model than {stem}.tflite "
            "(name or SHA-256 differ); export the model again."
        )
    return contract
