"""Which prompts begin alike: an index of prefixes with bounded memory, and who should serve a prompt that has one.

The index is a radix tree over blocks. A block is named by the digest of everything up to its end, so a name says the
whole path to its node and the tree needs no edges: a prompt has a prefix in the tree exactly if the name of its last
block is there. Whoever is touched is touched from the leaf to the root, so the node that was touched longest ago is
always a leaf, and dropping it leaves no node without its parents. Each operation is O(blocks of the prompt).

Decides by names alone. Knows no tokenizer, no text beyond the bytes it is handed, and no cache of an engine: it keeps
what an engine with so many blocks and the same order of use would keep.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

Prefix = tuple[int, ...]  # names of leading blocks, each for everything up to its end

_DIGEST_BYTES = 8  # that two of a million prefixes share a name is less likely than one in ten million
MOST_BLOCKS = 1024  # of one prompt that are named: what lies behind is not worth the time
RUN_REQUESTS = 64  # so many of a kind overtake others, and no more
RUN_BLOCKS = 65_536
# An eighth more sequences in a batch make a step some 2% longer; reading a prompt anew takes many steps.
_SLACK_RATIO = 0.125


def named_blocks(data: bytes, block_bytes: int, *, root: bytes = b"") -> Prefix:
    """The names of the whole blocks that the data begins with; `root` sets apart what must not be shared.

    An adapter's cache is of no use to another, so its name is such a root. Raises ValueError for blocks without bytes.
    """
    if block_bytes < 1:
        raise ValueError("a block has at least one byte")
    digest = hashlib.blake2b(root, digest_size=_DIGEST_BYTES)
    names = []
    for end in range(block_bytes, min(len(data), MOST_BLOCKS * block_bytes) + 1, block_bytes):
        digest.update(data[end - block_bytes : end])
        names.append(int.from_bytes(digest.digest(), "big"))
    return tuple(names)


class PrefixIndex:
    """The prefixes that one cache holds, the ones used longest ago dropped first."""

    __slots__ = ("_blocks", "_max_blocks")

    def __init__(self, max_blocks: int) -> None:
        self._max_blocks = max_blocks
        self._blocks: OrderedDict[int, None] = OrderedDict()  # touched longest ago first

    def __len__(self) -> int:
        """Blocks held."""
        return len(self._blocks)

    def known(self, prefix: Prefix) -> int:
        """How many leading blocks are held. A block is only held with all before it, so the search is binary."""
        low, high = 0, len(prefix)
        while low < high:
            middle = (low + high + 1) // 2
            if prefix[middle - 1] in self._blocks:
                low = middle
            else:
                high = middle - 1
        return low

    def touch(self, prefix: Prefix) -> None:
        """The prompt is used now: all of its blocks are held, as far as there is room."""
        blocks = self._blocks
        for name in reversed(prefix[: self._max_blocks]):
            blocks[name] = None
            blocks.move_to_end(name)
        self._shrink()

    def limit(self, max_blocks: int) -> None:
        """There is room for so many from now on."""
        self._max_blocks = max(0, max_blocks)
        self._shrink()

    def _shrink(self) -> None:
        while len(self._blocks) > self._max_blocks:
            self._blocks.popitem(last=False)


class Runs:
    """Lines requests up behind the first one that begins like them, at most `RUN_REQUESTS` in one run.

    Alike are two prompts that share at least half of the later one's named blocks: a greeting that all prompts have in
    common makes no run. Remembers at most `RUN_BLOCKS` blocks, the newest.
    """

    __slots__ = ("_run_of",)

    def __init__(self) -> None:
        self._run_of: OrderedDict[int, list[int]] = OrderedDict()  # block: [the place of its run, requests in it]

    def place(self, prefix: Prefix, sequence: int) -> int:
        """Where a request lines up that came as the `sequence`th; at that number itself where nobody is alike."""
        if not prefix:
            return sequence
        run = self._alike(prefix)
        if run is None or run[1] >= RUN_REQUESTS:
            run = [sequence, 0]
        run[1] += 1
        for name in reversed(prefix):  # its beginning last, which so is forgotten last
            # Never back to an older run: who comes with the same prefix later would overtake who is in the newer one.
            if (known := self._run_of.get(name)) is None or known[0] <= run[0]:
                self._run_of[name] = run
            self._run_of.move_to_end(name)
        while len(self._run_of) > RUN_BLOCKS:
            self._run_of.popitem(last=False)
        return run[0]

    def _alike(self, prefix: Prefix) -> list[int] | None:
        for name in reversed(prefix[(len(prefix) - 1) // 2 :]):
            if (run := self._run_of.get(name)) is not None:
                return run
        return None


def load_slack(places: int) -> float:
    """How many requests more than the idlest a worker with so many places may have to count as about as idle."""
    return max(1.0, places * _SLACK_RATIO)


def preferred(
    loads_requests: Sequence[float], slacks_requests: Sequence[float], known_blocks: Sequence[int]
) -> int | None:
    """The place of who should serve a prompt: of those about as idle as the idlest, who knows most of it.

    About as idle is: not more than its own slack above the least load. Of equals the idler one, then the first. None
    when nobody can serve: an infinite load is one that takes nothing.
    """
    least = min(loads_requests, default=float("inf"))
    if least == float("inf"):
        return None
    near = [place for place, load in enumerate(loads_requests) if load <= least + slacks_requests[place]]
    return min(near, key=lambda place: (-known_blocks[place], loads_requests[place], place))
