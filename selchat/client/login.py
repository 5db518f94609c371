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
from selchat.model import commands, events


class Login:
    """What one user has to log in with, to one server.

    `password` is used for the next log-in, and forgotten after it if a device token came of it;
    `server_password` is for servers where guests need one.
    """

    def __init__(
        self, host: str, port: int, devices: Devices, binding: Callable[[], bytes | None]
    ) -> None:
        """`binding` gives what binds a log-in to the connection, None without TLS."""
        self._where = host, port
        self._devices = devices
        self._binding = binding
        self._exchange: scram.Client | None = None
        self._change: tuple[scram.Client, scram.Verifier] | None = None
        self.password: str | None = None
        self.server_password: str | None = None

    def hello(self, hello: commands.Hello) -> commands.Hello:
        """Add to a `hello` what proves who its user is. Raises `Refusal` `bad-password`."""
        self._exchange = None
        if hello.token is not None:
            return hello
        hello.server_password = self.server_password
        if self.password is not None:
            self._exchange = scram.Client(hello.user, self.password, self._binding())
            hello.auth = self._exchange.first()
        else:
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
        self.password = None
        self._devices.save(*self._where, user, device)

    def forget(self, user: str) -> None:
        """The token is no more good."""
        self._devices.forget(*self._where, user)

    # Another password

    def change(self, user: str, old: str, new: str) -> commands.Auth:
        """Begin to change the password. Raises `Refusal` `bad-password`."""
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
