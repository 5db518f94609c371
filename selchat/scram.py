"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677): a password is proved, never sent.

Four messages, as text: the client's first, the server's first, the client's final, the server's
final. Each end is an object that takes one and gives the next; no I/O. What a server keeps of a
password is a `Verifier`, from which nobody can log in, and which only guessing leads back from.

It stands among the words that all speak: hub, wire and client know verifiers, and there is nothing
here but bytes in and bytes out. Loading scramp takes some 60 ms and everything else here needs it
only for a log-in, so that is imported where it is used.

Whose log-in it is, is known before the first message (the name in `hello`). The name in the
message has to be that one, or `*` (PostgreSQL has the same rule): SASLprep (RFC 4013) refuses many
a name that is one here, such as those with letters younger than 2002.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
import re
from functools import lru_cache
from secrets import token_bytes
from typing import TYPE_CHECKING, NoReturn

import msgspec

from selchat.errors import Refusal
from selchat.model import names

if TYPE_CHECKING:
    from scramp import ScramException

ITERATIONS = 600_000
"""Rounds of PBKDF2 (RFC 8018) for a new password: OWASP's figure for HMAC-SHA-256. Some 120 ms."""

ITERATIONS_LEAST = 100_000
"""A verifier with fewer is refused: whoever stole it would guess too fast."""

ITERATIONS_MOST = 1_000_000
"""Nobody is made to compute for more than about as many seconds by the other end."""

_ITERATIONS_OF_OTHERS = 4_096  # what RFC 7677 asks of every server, which a client has to take

SALT = 16
"""Bytes of a new salt."""

_SALT_MOST = 64
_KEY = hashlib.sha256().digest_size

SHORTEST = 8
"""Characters of a new password (OWASP ASVS 5.0, 6.2.1). Of which kinds is not asked (6.2.5)."""

LONGEST = 256
"""Characters of any password. ASVS asks for 64 at least (6.2.9)."""

LONGEST_MESSAGE = 1_024
"""Characters of a message; ours have fewer than 200."""

_ANY_NAME = "*"
_MECHANISM = "SCRAM-SHA-256"
_CHANNEL = "tls-server-end-point"
_WRONG = ("invalid-proof", "channel-bindings-dont-match", "server-does-support-channel-binding")
_NOT_HERE = ("channel-binding-not-supported", "unsupported-channel-binding-type")
_FIRST = re.compile(r"[^,]*,[^,]*,n=([^,]+),r=.*", re.DOTALL)


class Verifier(msgspec.Struct, frozen=True):
    """What a server keeps of a password (RFC 5802, section 2.2). In JSON, bytes are base64."""

    salt: bytes
    stored_key: bytes
    server_key: bytes
    iterations: int


def load() -> None:
    """Load what log-ins need, which takes some 70 ms, so that no log-in does."""
    importlib.import_module("scramp")


def check(verifier: Verifier) -> None:
    """Refuse one that is too weak, or not possible. Raises `Refusal` `bad-credential`."""
    if not SALT <= len(verifier.salt) <= _SALT_MOST:
        raise Refusal("bad-credential", f"a salt has {SALT} to {_SALT_MOST} bytes: make another")
    if len(verifier.stored_key) != _KEY or len(verifier.server_key) != _KEY:
        raise Refusal("bad-credential", f"the keys of {_MECHANISM} have {_KEY} bytes each")
    if not ITERATIONS_LEAST <= verifier.iterations <= ITERATIONS_MOST:
        raise Refusal(
            "bad-credential",
            f"iterations is {ITERATIONS_LEAST} to {ITERATIONS_MOST}: take {ITERATIONS}",
        )


def prepared(password: str, *, new: bool = False) -> bytes:
    """A password as PBKDF2 takes it: by SASLprep (RFC 4013), so that it does not matter which of
    several ways to write a letter somebody's keyboard knows.

    `new` asks for the length of a new one. Raises `Refusal` `bad-password`.
    """
    from scramp import ScramException
    from scramp.utils import saslprep

    if len(password) > LONGEST:
        raise Refusal("bad-password", f"a password has at most {LONGEST} characters")
    try:
        text = str(saslprep(password))
    except ScramException:
        raise Refusal(
            "bad-password",
            "that password holds signs that not every system writes alike: "
            "take letters, digits and punctuation",
        ) from None
    if not text or (new and len(text) < SHORTEST):
        raise Refusal("bad-password", f"a password has at least {SHORTEST} characters: add some")
    return text.encode()


def salted(password: bytes, salt: bytes, iterations: int) -> bytes:
    """What costs the time: the SaltedPassword of RFC 5802. `password` is a prepared one."""
    return hashlib.pbkdf2_hmac("sha256", password, salt, iterations)


def from_salted(salted_password: bytes, salt: bytes, iterations: int) -> Verifier:
    """The verifier that belongs to it (RFC 5802, section 3)."""
    client_key = hmac.digest(salted_password, b"Client Key", "sha256")
    server_key = hmac.digest(salted_password, b"Server Key", "sha256")
    return Verifier(salt, hashlib.sha256(client_key).digest(), server_key, iterations)


def make(password: str, iterations: int = ITERATIONS) -> Verifier:
    """A verifier for a new password. Takes its time. Raises `Refusal` `bad-password`."""
    salt = token_bytes(SALT)
    return from_salted(salted(prepared(password, new=True), salt, iterations), salt, iterations)


def fits(verifier: Verifier, salted_password: bytes) -> bool:
    """Whether a password, salted as `verifier` says, is the one that it was made for."""
    other = from_salted(salted_password, verifier.salt, verifier.iterations)
    return hmac.compare_digest(other.stored_key, verifier.stored_key)


def fake(user: str, secret: bytes) -> Verifier:
    """What stands for a verifier where there is none: no password fits it, and it is always the
    same for the same name, as a real one would be. `secret` is the server's own.
    """
    key = names.key(user).encode(errors="surrogatepass")
    salt, stored_key, server_key = (
        hmac.digest(secret, what + key, "sha256") for what in (b"salt ", b"stored ", b"server ")
    )
    return Verifier(salt[:SALT], stored_key, server_key, ITERATIONS)


@lru_cache(maxsize=16)
def binding(der: bytes) -> bytes | None:
    """What binds a log-in to the server's certificate, which is given in DER form: the data of
    `tls-server-end-point` (RFC 5929, section 4.1).

    None where that is undefined, as the signature has no hash of its own that could be used
    (for Ed25519, SHA-512 counts as its own).
    """
    from scramp import ScramException
    from scramp.core import CBindData

    try:
        return bytes(CBindData.from_der(der))
    except (ScramException, LookupError, TypeError, ValueError):
        return None


class Server:
    """One log-in, as the server sees it. Whatever fails ends it: every later message is refused.

    Raises `Refusal`: `bad-credential` for what is no message of this protocol, and for all else
    `wrong-credential`, always with the same text.
    """

    def __init__(
        self,
        user: str,
        verifier: Verifier | None,
        secret: bytes,
        binding: bytes | None,
        nonce: str | None = None,
    ) -> None:
        """`verifier` is None where `user` is no account, which then looks like one until the end.
        `binding` is that of the connection, None without TLS. `nonce` is random unless told.
        """
        from scramp import ScramMechanism

        # Made in any case: to have one costs the time that it costs not to have one.
        other = fake(user, secret)
        found = verifier or other
        self._user = user
        self._over = False
        self._exchange = ScramMechanism(_MECHANISM).make_server(
            lambda _: (found.salt, found.stored_key, found.server_key, found.iterations),
            channel_binding=_channel(binding),
            s_nonce=nonce,
        )

    def first(self, message: str) -> str:
        """Take the client's first message, give the server's first."""
        from scramp import ScramException

        self._take(message)
        # The name before all else: to prepare any other would take milliseconds.
        match = _FIRST.fullmatch(message)
        if match is None:
            self._malformed()
        if match[1] != _ANY_NAME and names.key(match[1]) != names.key(self._user):
            self._wrong()
        try:
            self._exchange.set_client_first(message)
            answer = str(self._exchange.get_server_first())
        except ScramException as error:
            self._refuse(error)
        self._over = False
        return answer

    def final(self, message: str) -> str:
        """Take the client's final message, give the server's: the client is who it says."""
        from scramp import ScramException

        self._take(message)
        try:
            self._exchange.set_client_final(message)
            return str(self._exchange.get_server_final())
        except ScramException as error:
            self._refuse(error)

    def _take(self, message: str) -> None:
        if self._over or not _readable(message):
            self._malformed()
        self._over = True

    def _refuse(self, error: ScramException) -> NoReturn:
        reason = error.server_error.value if error.server_error is not None else ""
        if reason in _NOT_HERE:
            raise Refusal(
                "bad-credential",
                f"channel binding is {_CHANNEL}, and there under TLS only: "
                f"take that, or {_MECHANISM} without it",
            ) from None
        if reason in _WRONG:
            self._wrong()
        self._malformed()

    def _malformed(self) -> NoReturn:
        self._over = True
        raise Refusal(
            "bad-credential", f"that is no message of {_MECHANISM} (RFC 5802): log in anew"
        ) from None

    def _wrong(self) -> NoReturn:
        raise Refusal("wrong-credential", "the name or the password is wrong: try again") from None


class Client:
    """One log-in, as the client sees it. The server is not trusted before `verify` says so."""

    def __init__(
        self, user: str, password: str, binding: bytes | None, nonce: str | None = None
    ) -> None:
        """`binding` is that of the connection, None without TLS: then it is bound to nothing.

        Raises `Refusal` `bad-password` for what can be no password.
        """
        from scramp import ScramClient

        prepared(password)
        mechanism = _MECHANISM if binding is None else f"{_MECHANISM}-PLUS"
        self._exchange = ScramClient(
            [mechanism], _sendable(user), password, channel_binding=_channel(binding), c_nonce=nonce
        )

    def first(self) -> str:
        """The client's first message."""
        return str(self._exchange.get_client_first())

    def final(self, server_first: str) -> str:
        """Take the server's first message, give the client's final. Takes its time (PBKDF2).

        Raises `Refusal` `bad-credential` where that is no such message, or asks for too many or
        too few rounds.
        """
        from scramp import ScramException

        said = "the server's answer is no message of SCRAM-SHA-256 (RFC 5802): it is not used"
        if not _readable(server_first):
            raise Refusal("bad-credential", said)
        try:
            self._exchange.set_server_first(server_first)
            rounds = int(self._exchange.iterations)
            if not _ITERATIONS_OF_OTHERS <= rounds <= ITERATIONS_MOST:
                raise Refusal(
                    "bad-credential",
                    f"the server asks for {rounds} rounds of PBKDF2, and at most "
                    f"{ITERATIONS_MOST} are done: it is not answered",
                )
            return str(self._exchange.get_client_final())
        except ScramException:
            raise Refusal("bad-credential", said) from None

    def verify(self, server_final: str) -> bool:
        """Whether the server knows the password too; to be asked once, after `final`."""
        from scramp import ScramException

        if not _readable(server_final):
            return False
        try:
            self._exchange.set_server_final(server_final)
        except ScramException:
            return False
        return True


def _channel(binding: bytes | None) -> tuple[str, bytes] | None:
    return None if binding is None else (_CHANNEL, binding)


def _readable(message: str) -> bool:
    """Whether a message is short enough, and text: half of a surrogate pair is none."""
    if len(message) > LONGEST_MESSAGE:
        return False
    try:
        message.encode()
    except UnicodeEncodeError:
        return False
    return True


def _sendable(user: str) -> str:
    """The name to put into a message: what SASLprep leaves as it is, or what stands for any."""
    from scramp import ScramException
    from scramp.utils import saslprep

    try:
        same = names.key(saslprep(user)) == names.key(user)
    except ScramException:
        return _ANY_NAME
    return user if same and user else _ANY_NAME
