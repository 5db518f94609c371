"""The server's certificate: the operator's, or one that it makes for itself.

Nobody vouches for a certificate of our own. Clients remember its fingerprint when they first meet
it, as ssh does, so it is made once and kept, for longer than anybody will want it.
"""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

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
        self._files: tuple[Path, Path] | None = None
        if cert is not None and key is not None:
            self._files = Path(cert), Path(key)
        elif folder is not None:
            self._files = folder / CERTIFICATE, folder / KEY
            if not all(file.exists() for file in self._files):
                _make(*self._files)
        else:
            from tempfile import TemporaryDirectory  # late: seldom needed

            try:
                with TemporaryDirectory() as passing:
                    files = Path(passing) / CERTIFICATE, Path(passing) / KEY
                    _make(*files)
                    self._load(*files)
            except OSError as error:
                raise StartError(f"no certificate could be made: {error.strerror}") from None
        self.load()

    def load(self) -> None:
        """Read the files (again): connections that come from now on see what they say.

        Raises `StartError`, and then all stays as it was.
        """
        if self._files is not None:
            self._load(*self._files)

    def _load(self, cert: Path, key: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION  # a peer could ask for handshakes without end
        # Nobody resumes a TLS session with us. Who is sent a ticket, and ends without reading it,
        # would reset the connection instead.
        context.num_tickets = 0
        try:
            found = ssl.PEM_cert_to_DER_cert(_first(cert))
            key.read_bytes()  # so that an error names it
            context.load_cert_chain(cert, key, password=_no_password)
        except (OSError, ValueError) as error:  # SSLError is an OSError
            raise StartError(_unusable(error, cert, key)) from None
        self.context = context
        self.certificate = found
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
        # The certificate goes first and comes last: where it is, its key is, however this ends.
        cert.unlink(missing_ok=True)
        _write(key, private.private_bytes(pem, form, nothing))
        _write(cert, certificate.public_bytes(pem))
    except OSError as error:
        raise StartError(
            f"no certificate could be made in {cert.parent}: {error.strerror}"
        ) from None


def _write(path: Path, data: bytes) -> None:
    """Wholly or not at all, with mode 0600."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)
    draft.replace(path)


def _first(cert: Path) -> str:
    """The first certificate of a file: the server's own, before those that vouch for it."""
    pem = cert.read_text("ascii", errors="replace")  # there can be comments
    start, end = pem.find(ssl.PEM_HEADER), pem.find(ssl.PEM_FOOTER)
    if start < 0:
        raise ValueError(f"there is no certificate in PEM form in {cert}")
    return pem[start : end + len(ssl.PEM_FOOTER)]


def _unusable(error: OSError | ValueError, cert: Path, key: Path) -> str:
    files = f"the certificate {cert} with the key {key}"
    if not isinstance(error, ssl.SSLError):
        where = getattr(error, "filename", None)
        why = getattr(error, "strerror", None) or str(error)
        return f"{files} cannot be used: {f'{where}: ' if where else ''}{why}"
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"{files} cannot be used: the key is that of another certificate"
    # The library says little more than that it failed, and nothing of which file.
    why = error.reason or "one of them is damaged, or not in PEM form"
    return f"{files} cannot be used: {why.replace('_', ' ')}"


def _no_password() -> str:
    raise ValueError("the key has a password, which nobody is there to type")
