"""Makes a certificate of this machine, for servers of the tests."""

import pathlib
import shutil
import subprocess

import pytest


def make(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Makes a self-signed certificate for 127.0.0.1: it and its key."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
    certificate, key = folder / "tls.crt", folder / "tls.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048"),
            *("-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key
