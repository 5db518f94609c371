"""How the client shows who its user is: by a device token, or by the password. No I/O but the
token's file.

The password itself never leaves the client: it proves to know it (SCRAM), bound to the server's
certificate where there is TLS, and the server has to prove that it knows it, too.
"""

from __future__ import annotations

from collections.abc import Callable

from selchat import scram
from selchat.client.devices import Devices
from selchat.errors import Refusal
from selchat.model import commands, events, names

_LONGEST_DEVICE = 512
"""Characters of a device token; ours have fewer than 50."""


class Login:
    """What one user has to log in with, to one server.

    `password` is used for the next log-in, and forgotten after it if a device token came of it;
    `join_password` is for servers where guests need one.
    """

    def __init__(
        self,
        host: str,
        port: int,
        devices: Devices,
        binding: Callable[[], bytes | None],
        safe: bool,
    ) -> None:
        """`binding` gives what binds a log-in to the connection, None without TLS. Where it is not
        `safe`, as others may read it on its way, nothing is sent that is of use to them.
        """
        self._where = host, port
        self._devices = devices
        self._binding = binding
        self._safe = safe
        self._exchange: scram.Client | None = None
        self._change: tuple[scram.Client, scram.Verifier] | None = None
        self.password: str | None = None
        self.join_password: str | None = None

    def hello(self, hello: commands.Hello) -> commands.Hello:
        """Add to a `hello` what proves who its user is. Raises `Refusal`: `bad-password`, or
        `tls-required`.
        """
        self._exchange = None
        if hello.token is not None:
            return hello
        if self.password is not None or self.join_password is not None:
            self._check_way()
        hello.join_password = self.join_password
        if self.password is not None:
            self._exchange = scram.Client(hello.user, self.password, self._binding())
            hello.auth = self._exchange.first()
        elif self._safe:
            hello.device = self._devices.load(*self._where, hello.user)
        return hello

    def challenged(self, event: events.Challenge) -> commands.Auth:
        """The answer to the server's challenge. Takes some tenths of a second. Raises `Refusal`."""
        if self._exchange is None:
            raise Refusal("bad-credential", "the server answers what it was not asked")
        return commands.Auth(data=self._exchange.final(event.data))

    def welcomed(self, event: events.Welcome) -> bool:
        """Whether the server has shown that it knows the password, if that was used."""
        exchange, self._exchange = self._exchange, None
        return exchange is None or exchange.verify(event.proof or "")

    # Devices

    def remembered(self, user: str, device: str) -> None:
        """From now on there is a token for this user."""
        if 0 < len(device) <= _LONGEST_DEVICE and device.isprintable():
            self.password = None
            self._devices.save(*self._where, user, device)

    def renamed(self, old: str, new: str) -> None:
        """The user has another name, with which the token goes."""
        device = self._devices.load(*self._where, old)
        if device is not None:
            self._devices.save(*self._where, new, device)
            if names.key(old) != names.key(new):
                self._devices.forget(*self._where, old)

    def forget(self, user: str) -> None:
        """The token is no more good."""
        self._devices.forget(*self._where, user)

    # Another password

    def register(self, password: str, invitation: str | None) -> commands.Register:
        """What makes the user an account. Raises `Refusal`, as `hello` does."""
        self._check_way()
        return commands.Register(verifier=scram.make(password), invitation=invitation)

    def change(self, user: str, old: str, new: str) -> commands.Auth:
        """Begin to change the password. Raises `Refusal`, as `hello` does."""
        self._check_way()
        verifier = scram.make(new)
        exchange = scram.Client(user, old, self._binding())
        self._change = exchange, verifier
        return commands.Auth(data=exchange.first())

    def changed(self, event: events.Challenge) -> commands.Passwd:
        """Go on with it. Raises `Refusal`."""
        change, self._change = self._change, None
        if change is None:
            raise Refusal("bad-credential", "the server answers what it was not asked")
        exchange, verifier = change
        return commands.Passwd(proof=exchange.final(event.data), verifier=verifier)

    def _check_way(self) -> None:
        if not self._safe:
            raise Refusal("tls-required", "passwords go over TLS only: leave out --no-tls")
