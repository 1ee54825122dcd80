"""The daemon with a certificate of its own: real handshakes, and a renewal without a restart."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from scheduler.config import Server, validate
from scheduler.daemon import listener
from scheduler.daemon.certificate import Certificate, CertificateError
from slacktide.doctor import Verdict
from slacktide.doctor_daemon import daemon as found_of
from tests.certificates import write_certificate
from tests.daemons import a_daemon, settings_of

pytestmark = pytest.mark.slow
KEY = "a-key-of-the-test"


def tables_of(folder: Path) -> dict[str, Any]:
    write_certificate(folder, "localhost")
    files = {"tls_certificate": str(folder / "tls.crt"), "tls_key": str(folder / "tls.key")}
    keys = {"keys_sha256": [hashlib.sha256(KEY.encode()).hexdigest()]}
    return {
        "server": {"port": 0, "host": "localhost", "state_dir": str(folder / "state"), "drain_s": 2, **files, **keys}
    }


def trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=folder / "tls.crt")


async def shown_by(port: int) -> bytes:
    """The certificate, whoever signed it."""
    return await asyncio.to_thread(lambda: ssl.get_server_certificate(("localhost", port)).encode())


async def test_a_daemon_with_a_certificate_speaks_https_and_its_children_find_it(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, tables_of(tmp_path), speed=1.0) as (daemon, client):
        assert daemon.listener.base_url.startswith("https://localhost:")
        async with client.get("/readyz", ssl=trusting(tmp_path)) as response:
            assert response.status == 200
        async with client.post("/api/v1/session", json={"key": KEY}, ssl=trusting(tmp_path)) as response:
            assert response.status == 201
            assert "Secure" in response.headers["Set-Cookie"]
        async with aiohttp.ClientSession() as child, child.get(f"{daemon.cookbook.base_url}/readyz") as response:
            assert response.status == 200
        with pytest.raises(aiohttp.ClientError):
            async with client.get(f"http://localhost:{daemon.listener.port}/readyz"):
                pass


async def test_doctor_asks_it_by_the_name_of_its_certificate_and_only_where_that_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_daemon(tmp_path, tables_of(tmp_path), speed=1.0) as (daemon, _):
        settings = replace(daemon.settings, server=replace(daemon.settings.server, port=daemon.listener.port))
        environment = {"SLACKTIDE_URL": daemon.listener.base_url}
        (untrusted,) = await asyncio.to_thread(lambda: list(found_of(settings, environment)))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "tls.crt"))
        trusted = await asyncio.to_thread(lambda: list(found_of(settings, environment)))
    assert (untrusted.verdict, trusted[0].verdict) == (Verdict.NOTE, Verdict.OK)
    assert "REQUESTS_CA_BUNDLE" in untrusted.fix
    assert trusted[0].what == f"{daemon.listener.base_url} is ready"


async def test_a_client_that_makes_no_handshake_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_HANDSHAKE_S", 0.1)
    async with a_daemon(tmp_path, tables_of(tmp_path), speed=1.0) as (daemon, _):
        reader, writer = await asyncio.open_connection("localhost", daemon.listener.port)
        assert await asyncio.wait_for(reader.read(), 10.0) == b""
        writer.close()


async def test_a_renewed_certificate_is_shown_after_a_reload_and_a_broken_one_never(tmp_path: Path) -> None:
    tables = tables_of(tmp_path)
    async with a_daemon(tmp_path, tables, speed=1.0) as (daemon, _):
        before = await shown_by(daemon.listener.port)
        write_certificate(tmp_path, "localhost")
        renewed = (tmp_path / "tls.crt").read_bytes()
        await daemon.reload(settings_of(tmp_path, tables))
        assert await shown_by(daemon.listener.port) == renewed != before
        (tmp_path / "tls.crt").write_text("no certificate")
        with pytest.raises(CertificateError):
            await daemon.reload(settings_of(tmp_path, tables))
        assert await shown_by(daemon.listener.port) == renewed


def test_a_key_under_a_password_is_refused_without_asking_for_it(tmp_path: Path) -> None:
    write_certificate(tmp_path, "localhost", password=b"secret")
    with pytest.raises(CertificateError, match="cannot be used"):
        Certificate(tmp_path / "tls.crt", tmp_path / "tls.key")


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    server = validate({"server": {"tls_certificate": str(tmp_path / "none.crt"), "tls_key": "x"}}).server
    with pytest.raises(CertificateError, match=r"none\.crt cannot be used: No such file"):
        Certificate.of(server)
    assert Certificate.of(Server()) is None
