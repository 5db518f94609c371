"""Whom the client believes to be the server: a pinned certificate, or one from an authority.

As with ssh, what was seen first at a host and port is pinned, and must be seen there from then on.
On this machine it is pinned without a word; elsewhere the user is asked, once. A certificate that
an authority vouches for (RFC 5280, RFC 9525) needs no pin.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
from ipaddress import ip_address
from pathlib import Path

import platformdirs

from selchat.client.link import Address
from selchat.errors import StartError
from selchat.settings import ClientOptions
from selchat.tls import fingerprint

log = logging.getLogger(__name__)

_PATIENCE = 10.0
"""Seconds for the first meeting with a server."""


class Trust:
    """What a connection is secured with, and what its server must show."""

    def __init__(self, host: str, where: str, pin: str | None) -> None:
        """`pin` is the fingerprint to see; None where an authority has to vouch for `host`."""
        self.host = host
        self._where = where
        self._pin = pin
        self.context = _context(verify=pin is None)

    def objection(self, session: ssl.SSLObject) -> str | None:
        """Why the server at the other end is not the right one; None if it is."""
        seen = fingerprint(session.getpeercert(binary_form=True) or b"")
        if self._pin in (None, seen):
            return None
        return (
            f"its certificate is not the one that was seen before ({self._pin}) but {seen}. "
            "Somebody may be listening in; if its operator says that it was made anew, type  "
            f"selchat-client {self._where} --fingerprint {seen}"
        )


class Pins:
    """The fingerprints that were seen, one line each: HOST:PORT FINGERPRINT."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[str, str]:
        """All pins, by HOST:PORT; the last one of each counts."""
        try:
            lines = self._path.read_text("utf-8", errors="replace").splitlines()
        except OSError:
            return {}
        return {words[0]: words[1] for line in lines if len(words := line.split()) == 2}

    def save(self, where: str, pin: str) -> None:
        """Pin one. Where that cannot be kept, the server will be new again the next time."""
        # Appended, so that of two clients that do it at once neither undoes the other's.
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self._path, flags, 0o600)
            with os.fdopen(fd, "r+b", buffering=0) as file:
                size = file.seek(0, os.SEEK_END)
                whole = not size or os.pread(fd, 1, size - 1) == b"\n"  # else by another's hand
                file.write(f"{'' if whole else chr(10)}{where} {pin}\n".encode())
        except OSError as error:
            log.debug("the fingerprint of %s is not kept: %s", where, error)


def settle(options: ClientOptions, addresses: list[Address], person: bool) -> Trust | None:
    """Find out what to trust; None where the user wants no encryption.

    Where nothing is known yet, the server is met once for that, which blocks, and a `person` is
    asked. Raises `StartError` where it stays unknown.
    """
    if not options.tls:
        return None
    where = f"[{options.host}]" if ":" in options.host else options.host
    where = f"{where}:{options.port}".lower()
    pins = Pins(platformdirs.user_state_path("selchat") / "servers")
    pin = pins.load().get(where)
    if options.fingerprint is not None:
        if pin != options.fingerprint:
            pins.save(where, options.fingerprint)
        return Trust(options.host, where, options.fingerprint)
    if pin is not None:
        return Trust(options.host, where, pin)
    seen, vouched = _meet(options.host, addresses)
    if vouched:
        return Trust(options.host, where, None)
    if seen is not None:
        if not is_local(addresses) and not _accepted(where, seen, person):
            raise StartError(
                f"the server {where} is not known yet. Ask its operator for the fingerprint; if it "
                f"is the same, type  selchat-client {where} --fingerprint {seen}"
            )
        pins.save(where, seen)
    return Trust(options.host, where, seen)


def _meet(host: str, addresses: list[Address]) -> tuple[str | None, bool]:
    """The fingerprint of the server, and whether an authority vouches for it as `host`.

    None where there is no server, or none that speaks TLS: the connection will say why.
    """
    for family, address in addresses:
        for verify in (True, False):
            try:
                return _seen(host, family, address, _context(verify=verify)), verify
            except ssl.SSLCertVerificationError:
                continue  # the same one again, to see what it has
            except (OSError, ValueError):
                break
    return None, False


def _seen(
    host: str, family: socket.AddressFamily, address: tuple[str, int], context: ssl.SSLContext
) -> str:
    with socket.socket(family) as sock:
        sock.settimeout(_PATIENCE)
        sock.connect(address)
        with context.wrap_socket(
            sock, server_hostname=host, do_handshake_on_connect=False
        ) as secured:
            secured.do_handshake()  # here, so that it is closed whatever interrupts this
            return fingerprint(secured.getpeercert(binary_form=True) or b"")


def _context(*, verify: bool) -> ssl.SSLContext:
    if verify:
        context = ssl.create_default_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the fingerprint is compared instead
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


def is_local(addresses: list[Address]) -> bool:
    """Whether the way to a server does not leave this machine."""
    return all(ip_address(address[0].partition("%")[0]).is_loopback for _, address in addresses)


def _accepted(where: str, seen: str, person: bool) -> bool:
    """Ask whether it is the right one."""
    if not person:
        return False
    os.write(2, f"{where} is not known yet. Its fingerprint is {seen}\n".encode())
    os.write(2, b"Is that the one that its operator tells you? (yes or no) ")
    return os.read(0, 4_096).strip().lower() == b"yes"
