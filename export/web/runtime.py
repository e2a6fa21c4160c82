"""Fetches LiteRT.js, which runs TFLite models in browsers, from npm.

The program contains no copy of it: it is fetched when a page is bundled, and
its hashes are checked.
"""

import base64
import dataclasses
import hashlib
import os
import shutil
import subprocess
import tarfile
from typing import IO, cast

from segan_tf import config, files

from .. import staging

# Hidden, within export_dir; what is in it is not fetched again.
CACHE_NAME = ".litertjs"
_NPM_SECONDS = 300


@dataclasses.dataclass(frozen=True)
class Package:
    """An npm package of a fixed version.

    Attributes:
      name: with its version, as npm takes it.
      archive: the file that `npm pack` writes.
      integrity: the hash of that file, as npm publishes it.
      copied: the files that the page needs: the path within the package, and
        within the runtime's folder.
    """

    name: str
    archive: str
    integrity: str
    copied: tuple[tuple[str, str], ...]


# Two of the four WebAssembly builds: with relaxed SIMD, and compat for browsers
# without it. Threads would need response headers that a plain static server
# does not send.
PACKAGES = (
    Package(
        name="@litertjs/core@2.5.3",
        archive="litertjs-core-2.5.3.tgz",
        integrity="sha512-PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4t"
        "z8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
        copied=(
            ("dist/index.js", "core/index.js"),
            ("package.json", "core/package.json"),
            ("wasm/litert_wasm_internal.js", "wasm/litert_wasm_internal.js"),
            (
                "wasm/litert_wasm_internal.wasm",
                "wasm/litert_wasm_internal.wasm",
            ),
            (
                "wasm/litert_wasm_compat_internal.js",
                "wasm/litert_wasm_compat_internal.js",
            ),
            (
                "wasm/litert_wasm_compat_internal.wasm",
                "wasm/litert_wasm_compat_internal.wasm",
            ),
        ),
    ),
    Package(
        name="@litertjs/wasm-utils@2.5.3",
        archive="litertjs-wasm-utils-2.5.3.tgz",
        integrity="sha512-4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW5"
        "80Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
        copied=(
            ("dist/index.js", "wasm-utils/index.js"),
            ("package.json", "wasm-utils/package.json"),
        ),
    ),
)


def fetch(export_dir: str) -> None:
    """Fetches the packages that the cache in `export_dir` lacks.

    Args:
      export_dir: made if missing.

    Raises:
      UserError: npm is missing or fails, or a package is not the published
        one.
    """
    missing = [
        package
        for package in PACKAGES
        if not os.path.isfile(_archive_path(export_dir, package))
    ]
    if missing:
        with staging.hidden_folder(export_dir) as folder:
            _run_npm_pack(missing, folder, export_dir)
            os.makedirs(os.path.join(export_dir, CACHE_NAME), exist_ok=True)
            for package in missing:
                _check_integrity(os.path.join(folder, package.archive))
                os.replace(
                    os.path.join(folder, package.archive),
                    _archive_path(export_dir, package),
                )
    for package in PACKAGES:
        _check_integrity(_archive_path(export_dir, package))


def unpack(export_dir: str, folder: str) -> None:
    """Copies the files that the page needs out of the fetched packages.

    Args:
      export_dir: where they were fetched to.
      folder: to copy to; exists.
    """
    for package in PACKAGES:
        with tarfile.open(_archive_path(export_dir, package)) as archive:
            for source, target in package.copied:
                path = os.path.join(folder, target)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                # None for a folder, which the package's hash excludes.
                member = cast(
                    IO[bytes], archive.extractfile(f"package/{source}")
                )
                with member:
                    files.write_bytes(path, member.read())


def _archive_path(export_dir: str, package: Package) -> str:
    return os.path.join(export_dir, CACHE_NAME, package.archive)


def _run_npm_pack(
    packages: list[Package], folder: str, export_dir: str
) -> None:
    names = [package.name for package in packages]
    by_hand = (
        f"or put {' and '.join(package.archive for package in packages)} "
        f"into {os.path.join(export_dir, CACHE_NAME)}."
    )
    npm = shutil.which("npm")
    if npm is None:
        raise config.UserError(
            "--web needs npm, which comes with Node.js, to fetch the browser's "
            f"runtime; install it, {by_hand}"
        )
    options = ["--pack-destination", folder, "--ignore-scripts"]
    # npm's cache is removed with the folder, and not left in the user's home.
    options += ["--cache", os.path.join(folder, "cache")]
    try:
        subprocess.run(
            [npm, "pack", *names, *options],
            check=True,
            capture_output=True,
            text=True,
            timeout=_NPM_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        raise config.UserError(
            f"--web: npm cannot fetch {' and '.join(names)} "
            f"({_reason(error.stderr)}); check the network and npm's settings, "
            f"{by_hand}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise config.UserError(
            f"--web: npm gave no answer in {_NPM_SECONDS} seconds; check the "
            f"network, {by_hand}"
        ) from error


def _reason(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[0] if lines else "it gives no reason"


def _check_integrity(path: str) -> None:
    (package,) = (p for p in PACKAGES if p.archive == os.path.basename(path))
    with open(path, "rb") as file:
        digest = hashlib.sha512(file.read()).digest()
    integrity = f"sha512-{base64.b64encode(digest).decode()}"
    if integrity != package.integrity:
        raise config.UserError(
            f"--web: {path} is not {package.name} as it was published (its "
            f"hash is {integrity[:20]}..., not {package.integrity[:20]}...); "
            "delete it and run the command again."
        )
