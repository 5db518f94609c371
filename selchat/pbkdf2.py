"""The program of the helper process of derive.py: PBKDF2 (RFC 8018), one after the other.

It is run as a file, without site packages, and imports as little as it can. What it is told and
answers goes over its standard input, a socket: who looks at the list of processes sees nothing.

    → iterations (4 bytes), length of the password (2), length of the salt (2), password, salt
    ← 32 bytes

It ends with the socket: when the server is done with it, or is no more, however that came.
"""

from __future__ import annotations

import hashlib
import os
import signal

_SOCKET = 0
_NICER = 10  # a chat goes on while passwords are checked


def main() -> None:
    """Answer until the end of input."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.nice(_NICER)
    while head := _read(8):
        password = _read(int.from_bytes(head[4:6], "big"))
        salt = _read(int.from_bytes(head[6:], "big"))
        rounds = int.from_bytes(head[:4], "big")
        os.write(_SOCKET, hashlib.pbkdf2_hmac("sha256", password, salt, rounds))


def _read(size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = os.read(_SOCKET, size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


if __name__ == "__main__":
    try:
        main()
    except (EOFError, ConnectionError):
        os._exit(0)
