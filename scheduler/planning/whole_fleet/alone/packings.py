"""What jobs of several widths weigh at most side by side on so many GPUs, in several ways of weighing them.

A way gives each width a weight such that no jobs that fit at once weigh more than 1 together. To weigh a job by its
share of the GPUs is one way; others bring out what shares hide: that two jobs of 4 GPUs never run at once on 7. Knows
no time and no job.

Source: S. Fekete and J. Schepers, New classes of fast lower bounds for bin packing problems, Mathematical Programming
91 (2001), 11-31: the functions of theorems 1 and 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from intensity_feeds.series import Floats

# Ways beyond these differ by little from a job's share.
_MOST_ROUNDED = 12


def ways_to_weigh(gpus: int, widths: Sequence[int]) -> Floats:
    """Of shape (ways, widths), the shares first; none is at most another one for every width.

    What is wider than `gpus` weighs 1 in every way: it never runs there.
    """
    if gpus < 1:
        return np.ones((1, len(widths)))
    found: list[tuple[Fraction, ...]] = []
    for way in _ways(gpus, widths):
        if not any(all(mine <= its for mine, its in zip(way, other, strict=True)) for other in found):
            found = [other for other in found if not all(a <= b for a, b in zip(other, way, strict=True))] + [way]
    return np.array([[float(weight) for weight in way] for way in found])


def _ways(gpus: int, widths: Sequence[int]) -> Iterator[tuple[Fraction, ...]]:
    shares = [Fraction(min(width, gpus), gpus) for width in widths]
    yield tuple(shares)
    for parts in range(1, min(gpus, _MOST_ROUNDED) + 1):
        yield tuple(_rounded(share, parts) for share in shares)
    for narrow in sorted({1, *_narrows(gpus, widths)}):
        if narrow <= gpus // 2:
            yield tuple(_all_or_none(share, Fraction(narrow, gpus)) for share in shares)


def _narrows(gpus: int, widths: Sequence[int]) -> Iterator[int]:
    """Between these no weight changes."""
    for width in widths:
        yield from (one for one in (width, width + 1, gpus - width, gpus - width + 1) if one >= 1)


def _rounded(share: Fraction, parts: int) -> Fraction:
    """Of `parts` equal parts those that the share fills, if the whole had one more; a share that fills them stays."""
    filled = share * (parts + 1)
    return share if filled.denominator == 1 else Fraction(filled.numerator // filled.denominator, parts)


def _all_or_none(share: Fraction, narrow: Fraction) -> Fraction:
    if share > 1 - narrow:
        return Fraction(1)
    return share if share >= narrow else Fraction(0)
