"""Writes the table of settings into reference/settings.md for MkDocs.

The table is generated from the declarations in segan_tf/config.py, so that it
cannot differ from the program.
"""

import dataclasses
import html
import os
import sys
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from segan_tf import config

MARK = "<!-- settings -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replaces the mark in a page with a table for each section."""
    if MARK not in markdown:
        return markdown
    return markdown.replace(MARK, settings_table())


def settings_table() -> str:
    """Formats every setting as Markdown, by section."""
    lines = []
    for title, section in config.SECTIONS.items():
        lines += [f"## {title}", "", str(section.__doc__), ""]
        lines += ["| setting | default | modes | |", "|---|---|---|---|"]
        lines += [_row(field) for field in dataclasses.fields(section)]
        lines.append("")
    return "\n".join(lines)


def _row(field: dataclasses.Field) -> str:
    facts = field.metadata
    text = html.escape(facts["help"], quote=False)
    if facts["minimum"]:
        text += f" At least {facts['minimum']}."
    cells = (
        f"`{field.name}`",
        _shown(field.default),
        "all" if len(facts["modes"]) == 5 else ", ".join(facts["modes"]),
        text,
    )
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"


def _shown(default: object) -> str:
    if default in (None, "", ()):
        return ""
    if isinstance(default, tuple):
        default = ",".join(map(str, default))
    return f"`{default}`"
