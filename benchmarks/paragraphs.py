"""Text of a page that a benchmark writes: wrapped as the rest of the documents. Knows no figure."""

from __future__ import annotations

import textwrap

_WIDTH = 120


def paragraph(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), _WIDTH)
