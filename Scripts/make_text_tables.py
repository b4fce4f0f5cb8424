"""Writes the tables of SwanText that are facts of HTML and Unicode.

    python3 Scripts/make_text_tables.py

HTML entities: names and code points of the HTML5 standard, as in Python's `html.entities.html5`.
Width forms: NFKC of U+FF01 to U+FFEF (halfwidth and fullwidth forms), by `unicodedata`.
Written with Python 3.11 (Unicode 14); neither table has changed in later versions of Unicode.
"""

import html.entities
import pathlib
import textwrap
import unicodedata

SOURCES = pathlib.Path(__file__).parent.parent / "Sources/SwanText"


def table(path, summary, name, entries):
    lines = textwrap.wrap(" ".join(entries), 110, break_long_words=False, break_on_hyphens=False)
    body = " \\\n".join("    " + line for line in lines)
    (SOURCES / path).write_text(
        f"// Written by Scripts/make_text_tables.py.\n\n{summary}\nlet {name} = \"\"\"\n{body}\n    \"\"\"\n",
        encoding="utf-8",
    )


def points(text):
    return ",".join(f"{ord(c):x}" for c in text)


named = html.entities.html5
entities = []
for key in sorted(named):
    if key.endswith(";"):
        bare = key[:-1]
        if bare in named:
            assert named[bare] == named[key]
        entities.append(f"{bare}{'!' if bare in named else ':'}{points(named[key])}")
assert len(entities) == sum(key.endswith(";") for key in named)

widths = []
for value in range(0xFF01, 0xFFF0):
    alternate = unicodedata.normalize("NFKC", chr(value))
    if alternate != chr(value):
        widths.append(f"{value:x}:{points(alternate)}")

table(
    "HTMLEntities+Table.swift",
    "/// The named character references of HTML5: `name:code points` in hexadecimal, separated by spaces.\n"
    "/// A `!` in place of the colon marks a name that also counts without its semicolon.",
    "htmlEntityTable",
    entities,
)
table(
    "WidthForms+Table.swift",
    "/// The halfwidth and fullwidth forms and what they stand for: `form:code points` in hexadecimal.",
    "widthFormTable",
    widths,
)
