"""The server's certificate: the operator's, or one that it makes for itself.

Nobody vouches for a certificate of our own. Clients remember its fingerprint when they first meet
it, as ssh does, so it is made once and kept, for longer than anybody will want it.
"""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from selchat.errors import StartError
from selchat.tls import fingerprint

KEY, CERTIFICATE = "tls.key", "tls.crt"

_DAYS = 365 * 50


class Tls:
    """A context for TLS servers, of version 1.2 and up, that can be loaded anew."""

    def __init__(self, folder: Path | None, cert: str | None, key: str | None) -> None:
        """Take the certificate from files, or from a folder, where it is made if there is none;
        without a folder it is made for this run. Raises `StartError`.
        """
        if (cert is None) != (key is None):
            raise StartError("--cert and --key belong together: give both, or none")
        if cert is None and folder is None:
            with TemporaryDirectory() as passing:
                self._take(Path(passing) / CERTIFICATE, Path(passing) / KEY, make=True)
        elif cert is not None and key is not None:
            self._take(Path(cert), Path(key), make=False)
        elif folder is not None:
            self._take(folder / CERTIFICATE, folder / KEY, make=True)

    def _take(self, cert: Path, key: Path, *, make: bool) -> None:
        self._cert, self._key = cert, key
        if make and not (cert.exists() and key.exists()):
            _make(cert, key)
        self.load()

    def load(self) -> None:
        """Read the files (again): connections that come from now on see what they say.

        Raises `StartError`, and then all stays as it was.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self._cert, self._key, password=_no_password)
            found = ssl.PEM_cert_to_DER_cert(_first(self._cert.read_text("ascii")))
        except (OSError, ValueError) as error:  # SSLError is an OSError
            why = getattr(error, "strerror", None) or str(error)
            raise StartError(
                f"the certificate {self._cert} with the key {self._key} cannot be used: {why}"
            ) from None
        self.context = context
        self.fingerprint = fingerprint(found)


def _make(cert: Path, key: Path) -> None:
    # Imported here: it takes longer than anything else at the start, and is used once.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "selchat")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_DAYS))
        .sign(private, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form, nothing = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    try:
        _write(key, private.private_bytes(pem, form, nothing))
        _write(cert, certificate.public_bytes(pem))
    except OSError as error:
        raise StartError(
            f"no certificate could be made in {cert.parent}: {error.strerror}"
        ) from None


def _write(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)


def _first(pem: str) -> str:
    """The first certificate of a file: the server's own, before those that vouch for it."""
    start, end = pem.find(ssl.PEM_HEADER), pem.find(ssl.PEM_FOOTER)
    return pem[start : end + len(ssl.PEM_FOOTER)]


def _no_password() -> str:
    raise ValueError("the key has a password, which nobody is there to type")
