"""Which part of a file a Range header asks for."""

from __future__ import annotations

import pytest

from scheduler.daemon.api_errors import ApiError
from scheduler.daemon.file_ranges import names_one_range


@pytest.mark.parametrize("text", ["bytes=0-9", "bytes=0-", "bytes=9-9", "bytes=-1", "bytes=-99", "BYTES=0-99"])
def test_a_part_that_the_file_has_is_sent(text: str) -> None:
    assert names_one_range(text, 10)


@pytest.mark.parametrize(
    "text", [None, "", "bytes=", "bytes=-", "bytes=9-5", "bytes=--5", "items=0-5", "bytes=0-0,5-6", "bytes=a-b"]
)
def test_what_is_no_single_range_of_bytes_asks_for_the_whole_file(text: str | None) -> None:
    assert not names_one_range(text, 10)


@pytest.mark.parametrize(
    ("text", "size_bytes"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-1", 0)]
)
def test_a_part_outside_the_file_is_refused_with_its_length(text: str, size_bytes: int) -> None:
    with pytest.raises(ApiError) as refused:
        names_one_range(text, size_bytes)
    assert refused.value.status == 416
    assert refused.value.headers()["Content-Range"] == f"bytes */{size_bytes}"
