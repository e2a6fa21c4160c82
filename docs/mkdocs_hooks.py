"""Hooks for MkDocs: the table of settings, and examples in docstrings.

The table is generated from the declarations in segan_tf/config.py, so that it
cannot differ from the program.
"""

import dataclasses
import html
import os
import sys
from typing import Any

import markdown
from markdown import preprocessors

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from segan_tf import config

MARK = "<!-- settings -->"


def on_config(config: Any) -> Any:
    """Adds the extension for examples, which mkdocstrings then uses too."""
    config.markdown_extensions.append(Examples())
    return config


def on_page_markdown(text: str, **_: Any) -> str:
    """Replaces the mark in a page with a table for each section."""
    if MARK not in text:
        return text
    return text.replace(MARK, settings_table())


class Examples(markdown.Extension):
    """Shows lines that start with >>>, and their output, as code.

    Without it they would be quotations.
    """

    def extendMarkdown(self, md: markdown.Markdown) -> None:
        """Registers the preprocessor, before that of fenced code (25)."""
        md.preprocessors.register(_FenceExamples(md), "examples", 26)


class _FenceExamples(preprocessors.Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        fenced, inside = [], False
        for line in lines:
            if not inside and line.startswith(">>> "):
                fenced.append("```python")
                inside = True
            elif inside and not line.strip():
                fenced.append("```")
                inside = False
            fenced.append(line)
        return [*fenced, "```"] if inside else fenced


def settings_table() -> str:
    """Formats every setting as Markdown, by section."""
    lines = []
    for title, section in config.SECTIONS.items():
        lines += [f"## {title}", "", str(section.__doc__), ""]
        lines += [
            "| setting | default | modes | description |",
            "|---|---|---|---|",
        ]
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
