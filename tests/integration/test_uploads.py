"""Uploads as no client of ours would send them: what is refused, and that nothing of it stays."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from tests.daemons import a_daemon

FORM = {"Content-Type": "multipart/form-data; boundary=b"}
WHOLE = (
    b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b--\r\n'
)


def a_part(name: str, value: bytes = b"x", more: bytes = b"") -> bytes:
    return (
        b'--b\r\nContent-Disposition: form-data; name="' + name.encode() + b'"' + more + b"\r\n\r\n" + value + b"\r\n"
    )


MISFORMED = [
    ({"Content-Type": "text/plain"}, WHOLE, 415, "unsupported_media_type"),
    ({**FORM, "Content-Encoding": "gzip"}, WHOLE, 415, "unsupported_media_type"),
    ({"Content-Type": "multipart/form-data"}, WHOLE, 400, "bad_form"),
    (FORM, b"no form at all", 400, "bad_form"),
    (FORM, WHOLE[: len(WHOLE) // 2], 400, "bad_form"),
    (FORM, a_part("purpose", b"batch") + b"--b--\r\n", 400, None),
    (FORM, a_part("file") * 2 + b"--b--\r\n", 400, None),
    (FORM, a_part("purpose", b"batch" * 1000) + b"--b--\r\n", 400, None),
    (FORM, b"".join(a_part(f"field-{number}") for number in range(40)) + b"--b--\r\n", 400, None),
    (FORM, a_part("file", more=b"\r\nContent-Type: multipart/mixed; boundary=c") + b"--b--\r\n", 400, None),
    ({**FORM, "Origin": "https://elsewhere.example"}, WHOLE, 403, "other_origin"),
]


@pytest.mark.slow
async def test_a_misformed_upload_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=1.0) as (_, client):
        for headers, body, status, code in MISFORMED:
            async with client.post("/v1/files", data=body, headers=headers) as response:
                error = (await response.json())["error"]
                assert (response.status, error["code"]) == (status, code), (headers, body[:200], error)
        async with client.post("/v1/files", data=WHOLE, headers=FORM) as response:
            assert response.status == 200
            kept = (await response.json())["id"]
    assert [path.name for path in (tmp_path / "files").iterdir()] == [kept]


async def test_an_upload_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=1.0) as (_, client):

        async def half() -> object:
            yield WHOLE[: len(WHOLE) - 15]
            raise ConnectionResetError

        with pytest.raises((ConnectionResetError, aiohttp.ClientError)):
            await client.post("/v1/files", data=half(), headers=FORM)
        async with client.get("/v1/files") as response:
            assert (await response.json())["data"] == []
    assert [path for path in (tmp_path / "files").iterdir() if path.suffix != ".part"] == []


async def test_a_path_in_place_of_an_id_finds_nothing(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=1.0) as (_, client):
        for path in ("/v1/files/..%2Fqueue.db/content", "/v1/files/queue.db/content", "/v1/batches/..%2F..%2Fx"):
            async with client.get(path) as response:
                assert response.status in (400, 404)
