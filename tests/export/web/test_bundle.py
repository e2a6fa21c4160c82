"""Tests of bundling the web page."""

import base64
import dataclasses
import hashlib
import io
import json
import os
import pathlib
import re
import stat
import subprocess
import tarfile

import pytest
import running

from export.web import bundle, runtime
from segan_tf import config, labels

pytestmark = pytest.mark.any_edition

PAGE = running.ROOT / "export" / "web" / "page"
MODEL = b"\0\0\0\0TFL3 and so on"


def write_model(export_dir, quantization, content=MODEL, **changes):
    """Writes a model, of which a bundle reads no more than the bytes."""
    name = f"segan_{quantization}.tflite"
    contract = {
        "model": name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }
    (export_dir / name).write_bytes(content)
    path = export_dir / f"segan_{quantization}.json"
    path.write_text(json.dumps(contract | changes))


def pack(package):
    """Packs made-up files as npm packs them, and states their hash."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for source, _ in package.copied:
            content = f"{package.name} {source}".encode()
            member = tarfile.TarInfo(f"package/{source}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    content = stream.getvalue()
    digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
    return content, dataclasses.replace(package, integrity=f"sha512-{digest}")


@pytest.fixture
def npm(monkeypatch, tmp_path):
    """Replaces npm and its registry.

    Returns:
      The commands that were run, and what they fetch by a package's name.
    """
    packed = [pack(package) for package in runtime.PACKAGES]
    contents = {package.name: content for content, package in packed}
    commands, run_really = [], subprocess.run

    def run(command, **options):
        if "--pack-destination" not in command:  # not npm
            return run_really(command, **options)
        commands.append(command)
        folder = command[command.index("--pack-destination") + 1]
        for package in runtime.PACKAGES:
            if package.name in command:
                path = pathlib.Path(folder, package.archive)
                path.write_bytes(contents[package.name])

    packages = tuple(package for _, package in packed)
    monkeypatch.setattr(runtime, "PACKAGES", packages)
    monkeypatch.setattr(runtime.shutil, "which", lambda name: f"/{name}")
    monkeypatch.setattr(runtime.subprocess, "run", run)
    return commands, contents


@pytest.fixture
def export_dir(tmp_path):
    """Returns an export folder that holds one model."""
    folder = tmp_path / "exported"
    folder.mkdir()
    write_model(folder, "none")
    return folder


def paths_below(folder):
    return {
        str(path.relative_to(folder))
        for path in pathlib.Path(folder).rglob("*")
        if path.is_file()
    }


def test_folder_holds_page_runtime_and_model(npm, export_dir):
    path = bundle.bundle_page(str(export_dir))

    assert path == str(export_dir / "web")
    fetched = {
        f"runtime/{target}"
        for package in runtime.PACKAGES
        for _, target in package.copied
    }
    assert paths_below(path) == {
        *paths_below(PAGE),
        *fetched,
        "model.json",
        "segan_none.tflite",
    }
    assert (export_dir / "web/segan_none.tflite").read_bytes() == MODEL
    contract = json.loads((export_dir / "web/model.json").read_text())
    assert contract == json.loads((export_dir / "segan_none.json").read_text())
    wasm = export_dir / "web/runtime/wasm/litert_wasm_internal.wasm"
    name = "@litertjs/core@2.5.3 wasm/litert_wasm_internal.wasm"
    assert wasm.read_text() == name
    assert sorted(os.listdir(export_dir)) == [
        ".litertjs",
        "segan_none.json",
        "segan_none.tflite",
        "web",
    ]


def test_license_is_included():
    own = (running.ROOT / "LICENSE").read_text()
    assert (PAGE / "LICENSE").read_text() == own
    kept = {s for package in runtime.PACKAGES for s, _ in package.copied}
    assert "package.json" in kept  # which names the license and the source


def test_servers_of_another_user_can_read_the_page(npm, export_dir):
    old_mask = os.umask(0o022)
    try:
        path = bundle.bundle_page(str(export_dir))
    finally:
        os.umask(old_mask)

    for name in (".", "runtime", "runtime/wasm"):
        mode = stat.S_IMODE(os.stat(os.path.join(path, name)).st_mode)
        assert mode == 0o755, name
    for name in paths_below(path):
        mode = stat.S_IMODE(os.stat(os.path.join(path, name)).st_mode)
        assert mode & 0o044 == 0o044, name


@pytest.mark.parametrize(
    ("present", "bundled"),
    [
        (("none", "int8", "float16", "dynamic"), "int8"),
        (("none", "float16", "dynamic"), "float16"),
        (("none", "dynamic"), "none"),
        (("dynamic",), "dynamic"),
    ],
)
def test_smallest_model_is_bundled(npm, tmp_path, present, bundled):
    for quantization in present:
        write_model(tmp_path, quantization, quantization.encode())

    path = bundle.bundle_page(str(tmp_path))

    (model,) = (name for name in os.listdir(path) if name.endswith(".tflite"))
    assert model == f"segan_{bundled}.tflite"
    contract = json.loads((tmp_path / "web" / "model.json").read_text())
    assert contract["model"] == model


def test_next_bundle_replaces_the_last_and_fetches_nothing(npm, export_dir):
    commands, _ = npm
    path = pathlib.Path(bundle.bundle_page(str(export_dir)))
    (path / "left_over.txt").write_text("from before")
    write_model(export_dir, "none", b"another model")

    bundle.bundle_page(str(export_dir))

    assert (path / "segan_none.tflite").read_bytes() == b"another model"
    assert not (path / "left_over.txt").exists()
    assert len(commands) == 1
    assert commands[0][:4] == [
        "/npm",
        "pack",
        "@litertjs/core@2.5.3",
        "@litertjs/wasm-utils@2.5.3",
    ]


def test_only_the_missing_package_is_fetched(npm, export_dir):
    commands, contents = npm
    cache = export_dir / ".litertjs"
    cache.mkdir()
    core = runtime.PACKAGES[0]
    (cache / core.archive).write_bytes(contents[core.name])

    bundle.bundle_page(str(export_dir))

    assert core.name not in commands[0]
    assert runtime.PACKAGES[1].name in commands[0]


@pytest.mark.parametrize("where", ["fetched", "cached"])
def test_package_with_another_hash_is_an_error(npm, export_dir, where):
    _, contents = npm
    core = runtime.PACKAGES[0]
    if where == "cached":
        runtime.fetch(str(export_dir))
        (export_dir / ".litertjs" / core.archive).write_bytes(b"tampered")
    contents[core.name] = b"tampered"

    words = rf"--web: .*{core.archive} is not @litertjs/core@2.5.3 as it was"
    with pytest.raises(config.UserError, match=words):
        bundle.bundle_page(str(export_dir))

    assert not (export_dir / "web").exists()


def test_missing_npm_is_named_with_the_remedy(npm, export_dir, monkeypatch):
    monkeypatch.setattr(runtime.shutil, "which", lambda name: None)

    with pytest.raises(config.UserError) as caught:
        bundle.bundle_page(str(export_dir))

    assert str(caught.value) == (
        "--web needs npm, which comes with Node.js, to fetch the browser's "
        "runtime; install it, or put litertjs-core-2.5.3.tgz and "
        f"litertjs-wasm-utils-2.5.3.tgz into {export_dir}/.litertjs."
    )


def test_missing_network_is_named_with_npms_reason(
    npm, export_dir, monkeypatch
):
    def fail(command, **_):
        stderr = "npm error code ENOTFOUND\nnpm error network request failed\n"
        raise subprocess.CalledProcessError(1, command, stderr=stderr)

    monkeypatch.setattr(runtime.subprocess, "run", fail)

    with pytest.raises(config.UserError) as caught:
        bundle.bundle_page(str(export_dir))

    assert str(caught.value) == (
        "--web: npm cannot fetch @litertjs/core@2.5.3 and "
        "@litertjs/wasm-utils@2.5.3 (npm error code ENOTFOUND); check the "
        "network and npm's settings, or put litertjs-core-2.5.3.tgz and "
        f"litertjs-wasm-utils-2.5.3.tgz into {export_dir}/.litertjs."
    )


def test_silent_network_is_an_error_after_a_timeout(
    npm, export_dir, monkeypatch
):
    def hang(command, *, timeout, **_):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(runtime.subprocess, "run", hang)

    with pytest.raises(config.UserError, match="no answer in 300 seconds"):
        bundle.bundle_page(str(export_dir))


def test_folder_without_a_model_is_an_error_before_anything_is_fetched(
    npm, tmp_path
):
    (tmp_path / "segan_none.tflite").write_bytes(MODEL)  # without contract

    words = rf"--export_dir \({tmp_path}\) holds no segan_<quantization>.tflite"
    with pytest.raises(config.UserError, match=words):
        bundle.bundle_page(str(tmp_path))

    assert npm[0] == []


@pytest.mark.parametrize(
    "changes", [{"sha256": "0" * 64}, {"model": "segan_int8.tflite"}]
)
def test_contract_of_another_model_is_an_error(npm, tmp_path, changes):
    write_model(tmp_path, "none", **changes)

    words = "segan_none.json describes another model than .*segan_none.tflite"
    with pytest.raises(config.UserError, match=words):
        bundle.bundle_page(str(tmp_path))


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_empty_contract_is_an_error(npm, export_dir, text):
    (export_dir / "segan_none.json").write_text(text)

    words = "segan_none.json cannot be understood .*; export the model again"
    with pytest.raises(config.UserError, match=words):
        bundle.bundle_page(str(export_dir))


def test_the_program_needs_npm_before_it_exports(
    model_dir, tmp_path, monkeypatch
):
    monkeypatch.setattr(runtime.shutil, "which", lambda name: None)
    given = f"--model_dir={model_dir}", f"--export_dir={tmp_path}"

    error = running.error_of("--mode=export", "--web", *given)

    assert error.startswith("error: --web needs npm, which comes with Node.js")
    assert os.listdir(tmp_path) == []


def test_the_program_bundles_what_it_exported(
    npm, model_dir, tmp_path, monkeypatch, unmeasured
):
    def bundle_page(export_dir):
        assert os.path.isfile(os.path.join(export_dir, "segan_none.tflite"))
        return os.path.join(export_dir, "web")

    monkeypatch.setattr(bundle, "bundle_page", bundle_page)
    given = (
        f"--model_dir={model_dir}",
        f"--export_dir={tmp_path}",
        "--quantizations=none",
    )

    result = running.run("--mode=export", "--web", *given)

    assert result.status == 0, result.err
    served = f"python -m http.server --directory {tmp_path}/web"
    assert result.out.endswith(f"serve it, for example with {served}\n")


def test_policy_allows_the_import_map_and_no_other_inline_code():
    html = (PAGE / "index.html").read_text()
    (inline,) = re.findall(r"<script(?![^>]*src=)[^>]*>(.+?)</script>", html)
    digest = hashlib.sha256(inline.encode()).digest()

    policy = re.search(r'Security-Policy" content="([^"]+)"', html)[1]

    assert policy.startswith("default-src 'self'; ")
    assert f"'sha256-{base64.b64encode(digest).decode()}'" in policy
    assert "unsafe-inline" not in policy
    assert "'unsafe-eval'" not in policy
    assert not re.search(r" (style|on\w+)=", html)
    imported = json.loads(inline)["imports"].values()
    targets = {t for package in runtime.PACKAGES for _, t in package.copied}
    assert {path.removeprefix("./runtime/") for path in imported} <= targets


def test_page_names_no_other_server():
    for path in PAGE.iterdir():
        if path.name == "LICENSE":
            continue
        addresses = re.findall(r"\bhttps?://[\w.-]+", path.read_text())
        assert set(addresses) <= {"http://www.w3.org"}, path.name  # SVG's name


def test_colors_are_those_of_the_program():
    code = (PAGE / "view.js").read_text()
    listed = re.search(r"const COLORS = (\[.+?\]);", code, re.DOTALL)[1]
    colors = json.loads(listed.replace(",\n]", "\n]"))
    assert tuple(map(tuple, colors)) == labels.COLORS


def test_limits_are_those_of_the_program():
    from segan_tf.imaging import size_limits

    code = (PAGE / "image_header.js").read_text()
    stated = dict(re.findall(r"const (MAX_PIXELS|MIN_SIDE) = ([\d_]+);", code))
    assert int(stated["MAX_PIXELS"]) == size_limits.MAX_PIXELS
    assert int(stated["MIN_SIDE"]) == size_limits.MIN_SIDE
