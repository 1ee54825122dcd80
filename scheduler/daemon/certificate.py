"""The certificate that the daemon shows to its callers: read at the start, and again at each reload.

A renewed certificate needs no restart, and one that cannot be used leaves the one before it in force. Decides no
address and no port.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from scheduler.config import Server


class CertificateError(Exception):
    """A certificate or key of the settings that cannot be shown."""

    remedy = "tls_certificate is a PEM file of the certificate and those between it and its root, tls_key its own key"

    def __init__(self, certificate: Path, why: str) -> None:
        self.certificate, self.why = certificate, why
        super().__init__(f"server.tls_certificate {certificate} cannot be used: {why}")


class Certificate:
    """What is shown to each connection from now on."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises CertificateError."""
        self._files = (certificate, key)
        self.context = self._shown = self._read()
        self.context.sni_callback = self._show  # asked for each handshake, whether or not it names a server

    @classmethod
    def of(cls, server: Server) -> Certificate | None:
        """None where the daemon speaks plain HTTP. Raises CertificateError."""
        if not server.tls_certificate:
            return None
        return cls(Path(server.tls_certificate).expanduser(), Path(server.tls_key).expanduser())

    def renew(self) -> None:
        """Read both files again, for connections that begin from here on. Raises CertificateError."""
        # Not into the context in force: files that change while they are read would leave it half of a pair.
        self._shown = self._read()

    def _show(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._shown

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        certificate, key = self._files
        try:
            # A key under a password must fail here: without one, OpenSSL would ask for it at the terminal.
            context.load_cert_chain(certificate, key, password="")
        except ssl.SSLError as error:
            raise CertificateError(certificate, f"OpenSSL says {error.reason or error}") from None
        except OSError as error:
            raise CertificateError(certificate, error.strerror or type(error).__name__) from None
        return context
