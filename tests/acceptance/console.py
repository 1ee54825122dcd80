"""Commands in documents: which ones a reader is told to type, and whether they work.

Every line `$ command` of a ```console block is run, in the order of the document, in one empty folder, by a shell, with
the running environment first on the path. Lines without `$` are what the command prints and are not compared. A line
ending in a backslash goes on. A block is left out when the line before it is a comment that says why:

    <!-- not run: needs a cluster -->
    ```console
    $ slacktide ...
    ```
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+?) -->\n)?^```console\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True, kw_only=True)
class Example:
    """One command of a document. `not_run` is the reason why nobody tries it, empty where somebody does."""

    command: str
    line: int
    not_run: str = ""


def examples(text: str) -> list[Example]:
    """All commands of the ```console blocks of a Markdown text."""
    found = []
    for block in _BLOCK.finditer(text):
        first_line = text.count("\n", 0, block.start("body")) + 1
        joined = re.sub(r"\\\n(?:> )?", lambda _: "\0", block["body"])
        line = first_line
        for row in joined.splitlines():
            if row.startswith("$ "):
                command = re.sub(r"\s*\0\s*", " ", row[2:])
                found.append(Example(command=command, line=line, not_run=block["reason"] or ""))
            line += 1 + row.count("\0")
    return found
