"""Segments a folder of images on a server: python serving_client.py --help.

Sends JPEG, PNG and BMP files unchanged to TF Serving, by REST (needs only
Python) or gRPC (needs grpcio), and writes a label map for each and a table of
them all. DICOM files are decoded here, which needs segan-tf[dicom], and sent as
PNG. The folder segan_client next to this file belongs to it.
"""

import argparse
import io
import os
import pathlib
import sys
import urllib.parse

from segan_client import (
    answers,
    connection,
    images,
    printing,
    rest_client,
    sending,
    table,
)

# The largest values of options.
LARGEST = {"timeout": 86_400, "attempts": 1000, "concurrency": 1000}


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("folder", help="of JPEG, PNG, BMP and DICOM images")
    add("output_dir", help="for label maps and a table")
    add("--protocol", choices=("rest", "grpc"), default="rest")
    add("--server", help="host:port; default localhost, 8501 or 8500 for grpc")
    add("--tls", action="store_true", help="as https, or gRPC over TLS")
    add("--model", default="segan", help="its name on the server")
    add("--version_label", default="", help="such as stable; default: newest")
    add("--resume", action="store_true", help="go on where a run was stopped")
    add("--timeout", type=float, default=30.0, help="seconds per attempt")
    # The waits between 25 are 102 seconds at least: a restart is bridged.
    add("--attempts", type=int, default=25, help="per image; default 25")
    add("--concurrency", type=int, default=4, help="images in flight")
    options = parser.parse_args(argv)
    if options.server is None:
        port = {"rest": 8501, "grpc": 8500}[options.protocol]
        options.server = f"localhost:{port}"
    for name in ("folder", "output_dir", "model"):
        if not getattr(options, name):
            parser.error(f"{name} is empty; is a shell variable unset?")
    for name, largest in LARGEST.items():
        if not 0 < getattr(options, name) <= largest:
            parser.error(f"--{name} must be above 0 and at most {largest}")
    if not _is_address(options.server):
        parser.error(
            f"--server ({options.server}) must be host:port, without http://"
        )
    options.folder = pathlib.Path(options.folder)
    options.output_dir = pathlib.Path(options.output_dir)
    return options


def _is_address(server: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(f"//{server}")
        return bool(parts.hostname and parts.port) and parts.netloc == server
    except ValueError:
        return False


def make_client(options: argparse.Namespace) -> answers.Segment:
    """Makes the function that segments an image; says which proxy it uses."""
    if proxy := connection.find_proxy(options):
        printing.say(
            f"note: images are sent through the proxy {proxy} of the "
            "environment; to send them directly, add the server to no_proxy"
        )
    password = connection.PASSWORD
    if os.environ.get(password) and not options.tls:
        printing.fail(
            f"{password} would be sent in clear without --tls; add it"
        )
    if options.protocol == "rest":
        return rest_client.make(options)
    try:
        from segan_client import grpc_client
    except ImportError as error:
        printing.fail(
            f"--protocol=grpc needs {error.name}: python -m pip install "
            "grpcio; or use --protocol=rest"
        )
    return grpc_client.make(options)


def run(options: argparse.Namespace) -> int:
    """Segments the folder; returns 1 if an image has no label map."""
    sources, unsent = images.find_images(options.folder, options.output_dir)
    for line in unsent:
        printing.say(f"not sent: {line}")
    segment = make_client(options)
    options.output_dir.mkdir(parents=True, exist_ok=True)
    path = options.output_dir / table.FILE_NAME
    num_found = len(sources)
    if options.resume:
        sources = table.continue_table(path, sources, options.output_dir)
    num_failed, num_written = 0, 0
    try:
        results = sending.segment_folder(segment, sources, options=options)
        for source, result in results:
            if isinstance(result, Exception):
                num_failed += 1
                printing.say(f"failed: {source.shown_as}: {result}")
                continue
            if not num_written and not options.resume:
                table.keep_earlier(path)
            table.add_rows(path, source.name, result)
            num_written += 1
            if result.warning:
                dice = f"expected Dice {result.expected_dice:.2f}"
                printing.say(
                    f"warning: {source.name}: {result.warning} ({dice})"
                )
    finally:
        num_done = num_found - len(sources)
        more = f"; {num_done} were there" if num_done else ""
        more += f"; {len(unsent)} files not sent" if unsent else ""
        print(f"{num_written} of {len(sources)} label maps written{more}")
    if num_left := len(sources) - num_written - num_failed:
        _say_outage(num_left, options)
    return 1 if unsent or num_written < len(sources) else 0


def _say_outage(num_left: int, options: argparse.Namespace) -> None:
    printing.say(
        f"error: {sending.OUTAGE} images in a row got no label map, so "
        f"{num_left} more were not sent; is the exported model "
        f"{options.model} (--model) served at {options.server} (--server)? "
        "Start the server, and run the command again with --resume"
    )


def main(argv: list[str] | None = None) -> int:
    """Runs the client; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return run(parse(argv))
    except KeyboardInterrupt:
        printing.say(
            "error: stopped by Ctrl+C; the files that were written are whole"
        )
        return 130
    except OSError as error:
        where = printing.text_of(error.filename or "the output")
        printing.say(
            f"error: {where}: {error.strerror}; check the path, its "
            "permissions and the free space"
        )
        return 1


if __name__ == "__main__":
    sys.exit(main())
