"""The user's account in a run of a client: passwords are asked for and used, and made others.

What is sent and what is kept is the business of login.py; here is when, and what the user is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from selchat import scram
from selchat.client.login import Login
from selchat.client.state import State
from selchat.errors import Refusal
from selchat.loop import Loop
from selchat.model import commands, events
from selchat.model.clean import clean_line
from selchat.model.commands import Command
from selchat.model.events import Event

_PASSWORDS = ("registered", "wrong-credential", "join-password-required", "wait")
"""Codes of errors that another password may help against."""


class Run(Protocol):
    """What is used of the run: front.py says what each is."""

    name: str
    person: bool
    online: bool
    loop: Loop
    state: State

    def say(self, *lines: str) -> None:
        """Show lines of the client's own."""

    way_out: str

    def another_name(self, error: events.Error) -> None:
        """Ask for another name."""

    def ask_secret(self, prompt: str, then: Callable[[str | None], None]) -> None:
        """Ask for something that is shown nowhere."""

    def ask(self, what: Callable[[], list[Command]]) -> None:
        """Send what nobody typed, or say why that cannot be."""

    def tell(self, command: Command) -> None:
        """Send what is part of the log-in."""

    def say_hello(self) -> None:
        """Log in."""

    def hello_again(self) -> None:
        """Log in, connected anew if need be."""

    def fail(self, why: str) -> None:
        """End with exit code 1."""

    def objected(self, why: str) -> None:
        """The server is not the right one."""


class Account:
    """Whoever the user is, or wants to be. `asking` says that a password is being typed that is
    needed to log in, `checking` that one was, and the server has still to say what it thinks of it.
    """

    def __init__(self, run: Run, login: Login, password: str | None) -> None:
        """`password` is one that was given beforehand, for where nobody is asked."""
        self._run = run
        self._login = login
        self._given = password
        self._name = ""  # of the account, if it is one
        self._changing = False
        self.asking = False
        self.checking = False

    # Logging in

    def hello(self, hello: commands.Hello) -> commands.Hello | None:
        """Add what proves who the user is. None: that has to be asked for again."""
        try:
            return self._login.hello(hello)
        except Refusal as refusal:
            typed = self._run.person and self._login.password != self._given
            if typed and refusal.code == "bad-password":
                self._ask_password(refusal.text)
            else:
                self._run.fail(refusal.text)
                self._run.loop.stop()
            return None

    def not_welcomed(self, event: events.Error | events.Challenge) -> bool:
        """The log-in did not succeed, or not yet: True if that is seen to."""
        if isinstance(event, events.Challenge):
            self._answer(event)
        elif event.code == "device-unknown":
            self._login.forget(self._run.name)
            self._run.say_hello()
        elif event.code in _PASSWORDS:
            self._wrong_password(event)
        else:  # hello is said again when the user has answered
            return self.asking and event.code == "login-timeout"
        return True

    def welcomed(self, event: events.Welcome) -> bool:
        """The log-in succeeded; False where the server could not show that it is the right one."""
        self.checking = False
        by_password = self._login.password is not None
        if not self._login.welcomed(event):
            self._run.objected("it does not know your password, so it is not the right server")
            return False
        if event.account:
            self._name = self._name or event.user
            self._follow(event.user)
        else:
            self._name = ""
        if event.account and by_password and self._run.person:
            self._remember()
        if self._changing:
            self._changing = False
            self._run.say("! the connection was lost before your password was changed: try again")
        return True

    def _answer(self, challenge: events.Challenge) -> None:
        try:
            self._run.tell(self._login.challenged(challenge))
        except Refusal as refusal:
            self._run.objected(refusal.text)

    def _wrong_password(self, error: events.Error) -> None:
        """One is missing or wrong: use the next there is, or ask for it."""
        login = self._login
        self.checking = False
        guest = error.code == "join-password-required" or (
            error.code != "registered" and login.password is None
        )
        if guest and self._run.person:
            self._ask(error.text, "Server password: ", self._use_join_password)
        elif guest:
            self._run.fail(f"{clean_line(error.text)} (--join-password-file)")
            self._run.loop.stop()
        elif self._given is not None and login.password is None:
            self._use_password(self._given)
        elif self._run.person:
            login.password = None
            self._ask_password(error.text)
        else:
            hint = ": log in once at a terminal, or name a file with it: --password-file FILE"
            if self._given is not None:
                hint = " (--password-file)"
            self._run.fail(f"{clean_line(error.text)}{hint}")
            self._run.loop.stop()

    def _ask_password(self, why: str) -> None:
        self._ask(why, f"Password of {self._run.name}: ", self._use_password)

    def _ask(self, why: str, prompt: str, use: Callable[[str], None]) -> None:
        """Ask for what is needed to log in; who gives none takes another name."""

        def then(secret: str | None) -> None:
            self.asking = False
            if secret is not None:
                use(secret)
            elif not self._run.state.user and self._run.name:
                self._login.password = None
                self._run.another_name(
                    events.Error(code="registered", text="no password was given: take another name")
                )
            else:
                self._run.fail("no password was given")
                self._run.loop.stop()

        self.asking = True
        self._run.say(f"! {clean_line(why)}{self._run.way_out}")
        self._run.ask_secret(prompt, then)

    def _use_password(self, password: str) -> None:
        self._login.password = password
        self.checking = True
        self._run.hello_again()

    def _use_join_password(self, password: str) -> None:
        self._login.join_password = password
        self.checking = True
        self._run.hello_again()

    # The account itself

    def _remember(self) -> None:
        """Have this client logged in by itself the next time."""
        self._run.state.wonder(commands.Remember())

    def _follow(self, name: str) -> None:
        """Keep what is kept under the account's name, which may have become another."""
        if self._name and name != self._name:
            self._login.renamed(self._name, name)
            self._name = name

    def command(self, line: str) -> bool:
        """Carry out a line that is about the user's password, if it is one: passwords are made
        into what the server may know, here. What is not in the line is asked for.
        """
        word, *given = line.split() or [""]
        match word.lower(), given:
            case "/register", _ if self._name:
                self._refuse(f"{self._name} is registered already: /passwd changes its password")
            case "/passwd", _ if not self._run.online:  # a proof is for one connection
                self._refuse("there is no connection now: type it again when there is one")
            case "/passwd", _ if self._run.person and not self._name:
                self._refuse("you have no password yet: /register makes your name an account")
            case "/register", []:
                self._new_password(lambda new: self._register(new, None))
            case "/register", [new] | [new, _]:
                self._register(new, given[1] if given[1:] else None)
            case "/passwd", []:
                self._secret(
                    "The old password: ",
                    lambda old: self._new_password(lambda new: self._passwd(old, new)),
                )
            case "/passwd", [old, new]:
                self._passwd(old, new)
            case "/register" | "/passwd", _:
                usage = commands.usage(commands.TYPED[word[1:].lower()])[0]
                self._refuse(f"type it like this: {usage} (alone, it asks for what it needs)")
            case "/logout", []:
                self._login.forget(self._run.name)  # whether the server hears of it or not
                return False
            case _:
                return False
        return True

    def _refuse(self, why: str) -> None:
        self._run.ask(lambda: self._run.state.refused("usage", why))

    def _secret(self, prompt: str, use: Callable[[str], None]) -> None:
        if self._run.person:
            self._run.ask_secret(prompt, lambda secret: use(secret) if secret else None)
        else:
            self._refuse("give the password behind the command")

    def _new_password(self, use: Callable[[str], None]) -> None:
        """A new password, which is asked for twice."""

        def again(new: str) -> None:
            try:
                scram.prepared(new, new=True)
            except Refusal as refusal:
                self._run.say(f"! {refusal.text}")
                self._new_password(use)
            else:
                self._secret("The same again: ", lambda second: compare(new, second))

        def compare(new: str, second: str) -> None:
            if new == second:
                use(new)
            else:
                self._run.say("! these are two different ones: type it anew")
                self._new_password(use)

        self._secret("A new password: ", again)

    def _register(self, password: str, invitation: str | None) -> None:
        self._run.ask(lambda: self._run.state.asked(self._login.register(password, invitation)))

    def _passwd(self, old: str, new: str) -> None:
        self._change(lambda: self._login.change(self._run.name, old, new))

    def _change(self, step: Callable[[], Command]) -> None:
        """Take one of the two steps to another password; without it, it is not being changed."""

        def take() -> list[Command]:
            self._changing = False
            asked = self._run.state.asked(step())
            self._changing = True
            return asked

        self._run.ask(take)

    def told(self, event: Event, asked: Command | None) -> None:
        """See to what follows from an answer to `asked` that is about the account."""
        self._follow(self._run.state.user)
        match event, asked:
            case events.Remembered(), commands.Remember():
                self._login.remembered(self._run.name, event.device)
            case ((events.Ok() | events.Error()), commands.Passwd()):
                self._changing = False
                if isinstance(event, events.Ok) and self._run.person:
                    self._remember()
            case events.Error(), commands.Auth():
                self._changing = False
            case events.Challenge(), commands.Auth():
                self._change(lambda: self._login.changed(event))
            case events.Ok(), commands.Register():
                self._name = self._run.name
                if self._run.person:
                    self._remember()
            case events.Error(code="invitation-required"), commands.Register() if self._run.person:
                verifier = asked.verifier
                self._secret(
                    "The invitation: ",
                    lambda word: self._run.ask(
                        lambda: self._run.state.asked(
                            commands.Register(verifier=verifier, invitation=word)
                        )
                    ),
                )
