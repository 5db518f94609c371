"""Nothing missed: servers and clients are killed in the middle of it, and the talk goes on."""

from __future__ import annotations

import json
import random
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Json, ServerProcess, Text, until
from tests.e2e.screens import CLIENT, Screen
from tests.e2e.test_client_pipe import Running

LOST = "* the connection was lost"
BACK = "* the connection is back"


def free_port() -> int:
    """A port that is free, and that no connection gets by chance while nobody listens there.

    Those are given out from above, so that who connects to one of them may even meet itself.
    """
    while True:
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", random.randrange(12_000, 30_000)))
            except OSError:
                continue
            return int(sock.getsockname()[1])


class Site:
    """A data folder and a port, where one server after the other runs."""

    def __init__(self, tmp: Path, stack: ExitStack) -> None:
        self.port = free_port()
        self.data = tmp / "site"
        self._tmp = tmp
        self._stack = stack
        self._numbers = count(1)
        self.now: ServerProcess

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self, *flags: str) -> ServerProcess:
        """Start the next server."""
        log = self._tmp / f"site-{next(self._numbers)}.log"
        place = ("--host", "127.0.0.1", "--port", str(self.port), "--data", str(self.data))
        self.now = ServerProcess(log, *place, *flags)
        self._stack.callback(self._finish, self.now)
        self.now.ready()
        return self.now

    @staticmethod
    def _finish(server: ServerProcess) -> None:
        server.signal(signal.SIGCONT)  # a test that failed may have left it standing
        server.finish()

    def kill(self) -> None:
        """Kill the server, as `kill -9` does."""
        self.now.signal(signal.SIGKILL)
        self.now.expect_exit(-signal.SIGKILL)

    def forget(self) -> None:
        """Lose the log; the server's certificate stays."""
        for path in self.data.glob("log.*"):
            path.unlink()

    def said(self, room: str = "dev") -> list[str]:
        """All that was ever said in a room, in order, as somebody reads it who enters it now."""
        reader = self.now.json("reader", room)
        texts: list[str] = []
        after, more = 0, True
        while more:
            reader.say("history", id="h", of=f"#{room}", after=after)
            page = reader.event(type="history")
            texts += [one["text"] for one in page["entries"] if one["type"] == "message"]
            after, more = page["entries"][-1]["seq"], page["more"]
        reader.say("quit")
        return texts


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site with a running server."""
    with ExitStack() as stack:
        site = Site(tmp_path, stack)
        site.start()
        yield site


Open = Callable[..., Screen]


@pytest.fixture
def terminal(site: Site, tmp_path: Path) -> Iterator[Open]:
    """Open terminals with a client of somebody, at a home of one's own; not yet welcome."""
    with ExitStack() as stack:

        def terminal(name: str, *flags: str, home: str = "") -> Screen:
            place = tmp_path / (home or name)
            place.mkdir(exist_ok=True)
            one = Screen(place, *CLIENT, site.address, "--user", name, *flags)
            stack.callback(one.close)
            return one

        yield terminal


@pytest.fixture
def person(terminal: Open) -> Open:
    """Somebody at a terminal, in #dev."""

    def person(name: str, *flags: str) -> Screen:
        one = terminal(name, *flags)
        one.sees(f"* welcome {name}: ")
        one.enters("/join dev")
        one.sees("* you joined #dev")
        one.prompts("#dev> ")
        return one

    return person


def sessions(one: Screen) -> dict[str, dict[str, Any]]:
    """The sessions that are kept at somebody's home, by user."""
    folder = one.home / "state" / "selchat" / "sessions"
    kept = [json.loads(path.read_bytes()) for path in folder.glob("*.json")]
    return {session["user"]: session for session in kept}


def outbox(one: Screen, name: str) -> list[str]:
    """What is kept there of what somebody said and does not know to have arrived."""
    session = sessions(one).get(name, {"pending": []})
    return [post["text"] for post in session["pending"]]


def kill(one: Screen) -> None:
    """Kill a client, as `kill -9` does."""
    one.signal(signal.SIGKILL)
    one.until(lambda: not one.read(0), "it is gone")


def times(one: Screen, text: str) -> int:
    """How many rows have that, on the screen or scrolled away."""
    return sum(text in row for row in one.all.split("\n"))


def settled(*screens: Screen) -> None:
    """Nothing waits to be acknowledged any more."""
    for one in screens:
        one.until(lambda one=one: not any("…" in row for row in one.rows), "nothing waits")  # type: ignore[misc]


# The server is killed


def test_a_conversation_goes_on_over_the_death_of_its_server(site: Site, person: Open) -> None:
    alice, bob = person("alice"), person("bob")
    alice.enters("before")
    bob.sees("[#dev] alice: before")
    bob.enters("I hear you")
    alice.sees("[#dev] bob: I hear you")
    alice.types("in mid-")
    alice.prompts("#dev> in mid-")

    site.kill()
    for one in (alice, bob):
        one.sees(LOST)
    alice.prompts("(waiting) #dev> in mid-")
    alice.enters("sentence")
    alice.sees("… [#dev] alice: in mid-sentence")
    alice.enters("and one more")
    alice.sees("… [#dev] alice: and one more")
    bob.enters("are you there?")
    bob.sees("… [#dev] bob: are you there?")
    assert "✓" not in alice.all.partition(LOST)[2]

    site.start()
    for one in (alice, bob):
        one.sees(BACK)
        one.prompts("#dev> ")
    bob.sees("[#dev] alice: in mid-sentence", "[#dev] alice: and one more")
    alice.sees("[#dev] alice: in mid-sentence ✓", "[#dev] alice: and one more ✓")
    alice.sees("[#dev] bob: are you there?")
    alice.enters("after")
    bob.sees("[#dev] alice: after", "[#dev] bob: are you there? ✓")
    bob.enters("the end")
    alice.sees("[#dev] bob: the end")
    settled(alice, bob)

    mine = ["before", "in mid-sentence", "and one more", "after"]
    bobs = ["I hear you", "are you there?", "the end"]
    for one in (alice, bob):
        for text in mine + bobs:
            assert times(one, f": {text}") == 1, one.all
        assert times(one, "* you joined #dev") == 1, "nobody noticed that anybody was away"
        assert times(one, "lost connection") == times(one, "left #dev") == 0
    said = site.said()
    assert [text for text in said if text in mine] == mine
    assert [text for text in said if text in bobs] == bobs
    assert len(said) == len(mine + bobs)


def test_what_was_sent_and_not_answered_when_the_server_died_is_said_once(
    site: Site, person: Open
) -> None:
    """Whether the server had it or not: it was killed with lines that it had not read."""
    alice, bob = person("alice"), person("bob")
    lines = [f"line {number}." for number in range(12)]
    for number in range(0, 12, 4):
        for line in lines[number : number + 2]:
            alice.enters(line)
        bob.sees(f"[#dev] alice: {lines[number]}")
        settled(alice)
        site.now.signal(signal.SIGSTOP)
        for line in lines[number + 2 : number + 4]:
            alice.enters(line)
            alice.sees(f"… [#dev] alice: {line}")
        site.kill()
        site.start()
    for one in (alice, bob):
        one.sees("alice: line 11.")
    alice.sees("alice: line 11. ✓")
    settled(alice)
    for line in lines:
        assert times(alice, f"alice: {line}") == times(bob, f"alice: {line}") == 1
    assert site.said() == lines


def test_a_server_that_stops_is_waited_for(site: Site, person: Open) -> None:
    alice = person("alice")
    site.now.signal()
    alice.sees("* the server is stopping", LOST)
    site.now.expect_exit()
    alice.enters("hello?")
    alice.sees("… [#dev] alice: hello?")
    site.start()
    alice.sees(BACK, "[#dev] alice: hello? ✓")


def test_what_was_said_while_one_was_away_is_shown_once_and_in_order(
    site: Site, person: Open
) -> None:
    alice = person("alice")
    bob = site.now.json("bob", "dev")
    alice.signal(signal.SIGSTOP)  # it does not come back before all is said
    site.kill()
    site.start()
    again = site.now.new_json()
    again.login("bob", token=bob.token, after=bob.seq, log=bob.log)
    for number in range(100):
        again.do("post", to="#dev", text=f"number {number}.")
    alice.signal(signal.SIGCONT)
    alice.sees(BACK, "number 99.")
    seen = [row.partition("bob: ")[2] for row in alice.all.split("\n") if "bob: number" in row]
    assert seen == [f"number {number}." for number in range(100)]


def test_the_names_and_rooms_are_back_when_the_grace_was_over(site: Site, person: Open) -> None:
    alice, bob = person("alice"), person("bob")
    alice.enters("/join ops")
    alice.prompts("#ops> ")
    alice.enters("/to #dev")
    alice.prompts("#dev> ")
    bob.enters("before")
    alice.sees("[#dev] bob: before")
    _away(site, alice, bob)

    for one in (alice, bob):
        one.signal(signal.SIGCONT)
        one.sees(BACK, "left #dev (lost connection)")
        one.prompts("#dev> ")
    bob.sees("[#dev] alice: typed meanwhile")
    alice.sees("[#dev] alice: typed meanwhile ✓")
    bob.enters("welcome back")
    alice.sees("[#dev] bob: welcome back")
    alice.enters("#ops nobody is here")
    alice.sees("[#ops] alice: nobody is here ✓")
    settled(alice, bob)
    for one in (alice, bob):
        assert times(one, "* you joined #dev") == 2
        for text in ("before", "typed meanwhile", "welcome back"):
            assert times(one, f": {text}") == 1, one.all
    assert site.said() == ["before", "typed meanwhile", "welcome back"]


def _away(site: Site, *people: Screen) -> Json:
    """The server dies and comes back, and its grace is over before anybody returns.

    The first of them has typed something meanwhile. Gives somebody who is there by then.
    """
    site.kill()
    people[0].sees(LOST)
    people[0].enters("typed meanwhile")
    people[0].sees("… [#dev] alice: typed meanwhile")
    for one in people:
        one.signal(signal.SIGSTOP)
    site.start("--grace", "0.3")
    witness = site.now.json("witness")

    def alone() -> bool:
        witness.say("who", id="w")
        users = witness.event(type="users")["users"]
        return [user["user"] for user in users] == ["witness"]

    until(alone, "the grace is over")
    return witness


def test_a_name_that_was_taken_meanwhile_is_asked_for_and_nothing_is_lost(
    site: Site, person: Open
) -> None:
    alice = person("alice")
    witness = _away(site, alice)
    witness.do("join", room="dev")
    thief = site.now.json("alice")
    alice.signal(signal.SIGCONT)
    alice.sees("! the name alice is in use")
    alice.prompts("Username: ")
    alice.enters("anna")
    alice.sees(BACK, "typed meanwhile ✓")
    witness.event(type="joined", user="anna")
    witness.event(type="message", text="typed meanwhile", **{"from": "anna"})
    alice.prompts("#dev> ")
    thief.quiet()


def test_a_log_that_is_another_one_makes_unsure_what_may_have_arrived(
    site: Site, person: Open
) -> None:
    alice, bob = person("alice"), person("bob")
    alice.enters("before")
    bob.sees("[#dev] alice: before")
    settled(alice)
    site.now.signal(signal.SIGSTOP)
    alice.enters("on its way")
    alice.sees("… [#dev] alice: on its way")
    site.kill()
    alice.sees(LOST)
    alice.enters("certainly not sent")
    alice.sees("… [#dev] alice: certainly not sent")
    site.forget()
    site.start()
    for one in (alice, bob):
        one.until(lambda one=one: times(one, "* you joined #dev") == 2, "it is in the room again")  # type: ignore[misc]
        one.prompts("#dev> ")
    alice.sees("* unsure whether it was sent: #dev on its way")
    alice.sees("[#dev] alice: certainly not sent ✓")
    settled(alice)
    assert times(alice, "on its way") == 1
    # Bob may have been in the room before that was said, or have been shown it on entering.
    bob.sees("alice: certainly not sent")
    bob.enters("a new beginning")
    alice.sees("[#dev] bob: a new beginning")
    assert times(bob, "certainly not sent") == 1
    assert site.said() == ["certainly not sent", "a new beginning"]


# The client is killed


def test_a_line_in_the_outbox_of_a_client_that_is_killed_is_sent_once_by_the_next(
    site: Site, person: Open, terminal: Open
) -> None:
    bob = person("bob")
    alice = person("alice")
    alice.enters("first")
    bob.sees("[#dev] alice: first")
    settled(alice)
    site.kill()
    alice.sees(LOST)
    alice.enters("from the outbox")
    alice.sees("… [#dev] alice: from the outbox")
    until(lambda: outbox(alice, "alice") == ["from the outbox"], "it is on disk")
    kill(alice)

    site.start()
    bob.sees(BACK)
    again = terminal("alice")
    again.sees("* welcome alice: ", "[#dev] alice: from the outbox ✓")
    again.prompts("#dev> ")
    bob.sees("[#dev] alice: from the outbox")
    until(lambda: outbox(again, "alice") == [], "it is done with")
    kill(again)
    third = terminal("alice")
    third.sees("* welcome alice: ")
    third.prompts("#dev> ")
    third.enters("the end")
    bob.sees("[#dev] alice: the end")
    assert times(bob, "from the outbox") == 1
    assert times(bob, "left #dev") == 0
    assert site.said() == ["first", "from the outbox", "the end"]


def test_a_line_whose_answer_a_killed_client_did_not_get_is_not_said_twice(
    site: Site, person: Open, terminal: Open
) -> None:
    bob = site.now.text("bob", "dev")
    alice = person("alice")
    bob.expect("* alice joined #dev")
    site.now.signal(signal.SIGSTOP)
    alice.enters("just once")
    alice.sees("… [#dev] alice: just once")
    until(lambda: outbox(alice, "alice") == ["just once"], "it is on disk")
    kill(alice)
    site.now.signal(signal.SIGCONT)
    bob.expect("[#dev] alice: just once")
    again = terminal("alice")
    again.sees("[#dev] alice: just once ✓")
    again.enters("and on")
    bob.expect("[#dev] alice: and on")
    assert times(again, "just once") == 1
    assert site.said() == ["just once", "and on"]


def test_what_was_missed_is_shown_to_a_client_that_is_started_again(
    site: Site, person: Open, terminal: Open
) -> None:
    alice = person("alice")
    bob = site.now.text("bob", "dev")
    bob.send("#dev seen")
    alice.sees("[#dev] bob: seen")
    after = _newest(site)
    until(lambda: sessions(alice).get("alice", {}).get("after", 0) >= after, "that is on disk")
    kill(alice)
    bob.send("#dev missed", "@alice you, too")
    again = terminal("alice")
    again.sees("[#dev] bob: missed", "[@bob] you, too")
    again.prompts("#dev> ")
    assert times(again, "seen") == 0


def test_a_client_that_prints_json_on_a_terminal_comes_back_as_well(
    site: Site, terminal: Open
) -> None:
    """Its ids are new in each run, or the server would take the next post for the last one."""
    bob = site.now.text("bob", "dev")
    for number in range(3):
        alice = terminal("alice", "--json")
        alice.sees('{"type":"welcome"')
        alice.enters("/join dev")
        alice.enters(f"#dev {number}")
        if number == 0:
            bob.expect("* alice joined #dev")
        bob.expect(f"[#dev] alice: {number}")
        until(lambda alice=alice: alice.read() and "alice" in sessions(alice), "it is kept")  # type: ignore[misc]
        until(lambda alice=alice: outbox(alice, "alice") == [], "nothing waits")  # type: ignore[misc]
        kill(alice)
    bob.quiet()


def _newest(site: Site) -> int:
    """The `seq` of the last thing said in #dev."""
    reader = site.now.json("reader", "dev")
    reader.say("history", id="h", of="#dev")
    said = [one for one in reader.event(type="history")["entries"] if one["type"] == "message"]
    reader.say("quit")
    return int(said[-1]["seq"])


# Whose session it is


def test_two_clients_of_one_user_do_not_share_a_session(
    site: Site, person: Open, terminal: Open
) -> None:
    first = person("alice")
    second = terminal("alice")
    second.sees("! the name alice is in use")
    second.prompts("Username: ")
    second.enters("alina")
    second.sees("* welcome alina: ")
    second.enters("/join dev")
    second.prompts("#dev> ")
    second.enters("I am another")
    first.sees("[#dev] alina: I am another")
    first.enters("and I am still here")
    second.sees("[#dev] alice: and I am still here")
    assert LOST not in first.all
    until(lambda: set(sessions(first)) == {"alice", "alina"}, "both are kept")
    until(lambda: outbox(first, "alina") == [], "nothing waits")

    kill(second)
    again = terminal("alina", home="alice")
    again.sees("* welcome alina: ")
    again.prompts("#dev> ")
    again.enters("back")
    first.sees("[#dev] alina: back")
    assert times(first, "left #dev") == 0


def test_a_session_is_kept_for_the_user_alone_and_forgotten_when_the_user_quits(
    site: Site, person: Open, terminal: Open
) -> None:
    alice = person("alice")
    until(lambda: set(sessions(alice)) == {"alice"}, "it is kept")
    folder = alice.home / "state" / "selchat" / "sessions"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    alice.enters("quit")
    alice.ends(0)
    assert sessions(alice) == {}
    again = terminal("alice")
    again.sees("* welcome alice: ")
    again.prompts("> ")


@pytest.mark.parametrize("how", ["quit\r", "\x04"])
def test_who_quits_while_the_server_is_away_is_not_locked_out(
    site: Site, person: Open, terminal: Open, how: str
) -> None:
    alice = person("alice")
    until(lambda: set(sessions(alice)) == {"alice"}, "it is kept")
    site.kill()
    alice.sees(LOST)
    alice.types(how)
    alice.ends(0)
    site.start()
    again = terminal("alice")
    again.sees("* welcome alice: ")
    assert "in use" not in again.all


def test_who_quits_with_a_line_that_waits_is_told_and_it_is_sent_the_next_time(
    site: Site, person: Open, terminal: Open
) -> None:
    alice = person("alice")
    site.kill()
    alice.sees(LOST)
    alice.enters("later")
    alice.sees("… [#dev] alice: later")
    alice.types("\x04")
    assert "1 line may not have arrived" in alice.ends(1)
    site.start()
    again = terminal("alice")
    again.sees("[#dev] alice: later ✓")
    assert site.said() == ["later"]


# Scripts


LINES = 5_000


def _begin(site: Site, tmp_path: Path, *flags: str) -> tuple[Running, Text]:
    """A script that has said some of its lines, and who hears them."""
    bob = site.now.text("bob", "ops")
    client = Running(site.port, tmp_path / "script.log", *flags)
    half = LINES // 2
    client.send(*(f"#ops line {number}" for number in range(half)))
    bob.expect("* cron joined #ops")
    for number in range(half // 4):
        bob.expect(f"[#ops] cron: line {number}")
    return client, bob


def test_a_script_gets_all_its_lines_through_once_and_in_order(site: Site, tmp_path: Path) -> None:
    client, _ = _begin(site, tmp_path)
    try:
        site.kill()
        client.send(*(f"#ops line {number}" for number in range(LINES // 2, LINES)))
        client.stdin.close()
        site.start()
        assert client.process.wait(60) == 0, (tmp_path / "script.log").read_text()
    finally:
        client.close()
    said = (tmp_path / "script.log").read_text().splitlines()
    assert [line.partition(" (")[0] for line in said] == [
        "selchat-client: the connection was lost",
        "selchat-client: the connection is back",
    ]
    assert site.said("ops") == [f"line {number}" for number in range(LINES)]


def test_a_script_that_does_not_wait_says_how_many_lines_may_be_lost(
    site: Site, tmp_path: Path
) -> None:
    client, _ = _begin(site, tmp_path, "--patience", "0")
    try:
        site.now.signal(signal.SIGSTOP)
        client.send(*(f"#ops line {number}" for number in range(LINES // 2, LINES)))
        site.kill()
        why = client.why()
    finally:
        client.close()
    start, _, lost = why.partition("; ")
    assert start.startswith(f"the connection to 127.0.0.1 port {site.port} was lost (")
    number, _, rest = lost.partition(" ")
    assert rest.startswith("lines may not have arrived")
    site.start()
    said = site.said("ops")
    assert said == [f"line {number}" for number in range(len(said))], "in order, and no gap"
    assert len(said) + int(number) >= LINES // 2, "all of what was read is said, or counted"


def test_a_single_message_waits_for_its_server(site: Site, tmp_path: Path) -> None:
    """`uptime | selchat-client`, while the server is being started again."""
    client = Running(site.port, tmp_path / "script.log", "--to", "#ops")
    try:
        bob = site.now.text("bob", "ops")
        client.send("one")
        bob.expect("* cron joined #ops", "[#ops] cron: one")
        site.kill()
        client.send("two")
        client.stdin.close()
        site.start()
        client.went_well()
    finally:
        client.close()
    assert site.said("ops") == ["one", "two"]
