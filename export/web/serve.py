"""Serves the web page to this computer, compressed."""

import errno
import functools
import gzip
import http.server
import io
import os
from http import HTTPStatus
from typing import BinaryIO

from segan_tf import config

HOST = "127.0.0.1"
# More makes the runtime's 9.4 MB hardly smaller, and takes seconds.
_LEVEL = 6
_TYPES = {
    ".js": "text/javascript",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Answers with the files of a folder, compressed with gzip."""

    extensions_map = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        **_TYPES,
    }

    def send_head(self) -> io.BytesIO | BinaryIO | None:
        """Sends the headers of a file; returns its content."""
        path = self.translate_path(self.path)
        accepted = self.headers.get("Accept-Encoding", "")
        if "gzip" not in accepted or not os.path.isfile(path):
            return super().send_head()
        content = _compress(path, os.stat(path).st_mtime_ns)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return io.BytesIO(content)

    def end_headers(self) -> None:
        """Ends the headers; a page that is bundled again is seen at once."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing."""


def open_server(page: str, port: int) -> http.server.ThreadingHTTPServer:
    """Opens a server of a page, which only this computer reaches.

    Args:
      page: the folder that `bundle.bundle_page` wrote.
      port: 0 takes a free one.

    Returns:
      The server, to be started with `serve_forever`.

    Raises:
      UserError: the port is in use, or not allowed.
    """
    handler = functools.partial(_Handler, directory=page)
    try:
        return http.server.ThreadingHTTPServer((HOST, port), handler)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise config.UserError(
            f"--serve_port ({port}) cannot be used ({error.strerror}); give "
            "another, such as 8080, or 0 for a free one."
        ) from error


def check_port(port: int) -> None:
    """Checks that a port can be used.

    Raises:
      UserError: it is in use, or not allowed.
    """
    open_server(os.curdir, port).server_close()


@functools.cache
def _compress(path: str, changed_ns: int) -> bytes:
    with open(path, "rb") as file:
        return gzip.compress(file.read(), _LEVEL)
