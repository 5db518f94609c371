"""People talking over the wire: text and JSON, IPv4 and IPv6, nc and scripts."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess

import pytest

from tests.e2e.conftest import Start
from tests.e2e.harness import PATIENCE, ServerProcess, Speaker, Wire, play
from tests.e2e.test_server_start import needs_ipv6


def openbsd_nc() -> str | None:
    """The nc that can end its side (-N) when its input ends; others cannot."""
    for name in ("nc.openbsd", "nc"):
        path = shutil.which(name)
        if path is not None:
            usage = subprocess.run((path, "-h"), check=False, capture_output=True, encoding="utf-8")
            if re.search(r"-\w*N", usage.stderr + usage.stdout):
                return path
    return None


NC = openbsd_nc() or ""
needs_nc = pytest.mark.skipif(not NC, reason="netcat-openbsd is not installed")


# Text


def test_three_people_talk(server: ServerProcess) -> None:
    people = {name: server.connect() for name in ("alice", "bob", "carol")}
    play(
        people,
        """
        alice >> alice
        alice << * welcome alice: /join ROOM enters a room, /help lists the commands, quit leaves
        bob >> bob
        bob << * welcome bob: …
        carol >> carol
        carol << * welcome carol: …
        alice >> /join dev
        alice << * you joined #dev
        bob >> /join #dev
        bob << * you joined #dev
        alice << * bob joined #dev
        carol >> /join dev
        carol << * you joined #dev
        alice << * carol joined #dev
        bob << * carol joined #dev
        alice >> #dev hello everybody
        bob << [#dev] alice: hello everybody
        carol << [#dev] alice: hello everybody
        bob >> @carol just you
        carol << [@bob] just you
        carol >> /me #dev waves
        alice << [#dev] * carol waves
        bob << [#dev] * carol waves
        bob >> /leave dev
        bob << * you left #dev
        alice << * bob left #dev
        carol << * bob left #dev
        bob >> #dev am I still in?
        bob << ! you are not in #dev: type /join dev first
        carol >> quit
        carol << * bye
        carol << end
        alice << * carol left #dev (quit)
        bob >> #
        bob << ! type a message behind the name: …
        """,
    )


def test_every_kind_of_line_ends_works(server: ServerProcess) -> None:
    bob = server.text("bob", "dev")
    alice = server.connect()
    alice.send_bytes(b"alice\r\n")  # as telnet sends it
    alice.expect("* welcome alice: …")
    alice.send_bytes(b"/join dev\r\n#dev with CR\r\n#dev without\n\r\n\n#dev last\r\n")
    alice.expect("* you joined #dev")
    bob.expect(
        "* alice joined #dev",
        "[#dev] alice: with CR",
        "[#dev] alice: without",
        "[#dev] alice: last",
    )


def test_a_conversation_byte_by_byte_is_the_same(server: ServerProcess) -> None:
    bob = server.text("bob", "dev")
    alice, json = server.connect(), server.connect()
    for wire, said in (
        (alice, "alice\r\n/join dev\r\n#dev grüße, 世界 🎉\r\n"),
        (json, '{"type":"hello","user":"json"}\n{"type":"join","room":"dev"}\n'),
    ):
        for byte in said.encode():
            wire.send_bytes(bytes((byte,)))  # TCP_NODELAY: a segment each
            wire.arrived()
    alice.expect("* welcome alice: …", "* you joined #dev", "* json joined #dev")
    json.expect('{"type":"welcome","user":"json"}', '{"type":"ok"}')
    bob.expect("* alice joined #dev", "[#dev] alice: grüße, 世界 🎉", "* json joined #dev")


def test_many_commands_in_one_segment_are_done_in_order(server: ServerProcess) -> None:
    alice = server.connect()
    alice.send(
        "alice", "/join dev", "/topic dev cats", "/topic dev", "nonsense", "/leave dev", "quit"
    )
    alice.expect(
        "* welcome alice: …",
        "* you joined #dev",
        "* you set the topic of #dev",
        "* the topic of #dev: cats",
        "! say to whom: …",
        "* you left #dev",
        "* bye",
    )
    alice.expect_end()


def test_a_refused_name_may_be_tried_again_three_times(server: ServerProcess) -> None:
    server.text("alice")
    second = server.connect()
    for name in ("alice", "ALICE", "a b"):
        second.send(name)
        second.expect("! …")
    second.send("bob")
    second.expect("* welcome bob: …")
    third = server.connect()
    third.send("alice", "alice", "alice", "alice", "carol")
    third.expect(*["! the name alice is in use: …"] * 4, "! too many …")
    third.expect_end()


def test_1500_lines_pasted_at_once_all_come_in_order(server: ServerProcess) -> None:
    alice, bob, carol = server.text("alice", "dev"), server.text("bob", "dev"), server.json("carol")
    alice.expect("* bob joined #dev")
    carol.do("join", room="dev")
    pasted = [f"line {number} of what was pasted" for number in range(1500)]
    alice.send(*(f"#dev {line}" for line in pasted))
    bob.expect("* carol joined #dev", *(f"[#dev] alice: {line}" for line in pasted))
    for line in pasted:
        carol.event(type="message", text=line)
    alice.expect("* carol joined #dev")
    for person in (alice, bob, carol):
        person.quiet()


def test_1500_mistakes_pasted_at_once_are_each_answered(server: ServerProcess) -> None:
    alice = server.text("alice")
    alice.send(*["forgot to say to whom"] * 1500, "/topic none")
    alice.expect(*["! say to whom: …"] * 1500, "! there is no room #none: …")


# JSON


def test_json_and_text_talk_to_each_other(server: ServerProcess) -> None:
    people: dict[str, Wire] = {"bot": server.connect(), "alice": server.connect()}
    play(
        people,
        """
        bot >> {"type":"hello","version":1,"user":"bot"}
        bot << {"type":"welcome","user":"bot","rooms":[]}
        bot >> {"type":"join","id":"1","room":"dev"}
        bot << {"type":"ok","id":"1"}
        alice >> alice
        alice << * welcome alice: …
        alice >> /join dev
        alice << * you joined #dev
        bot << {"type":"joined","room":"dev","user":"alice"}
        alice >> #dev hi bot
        bot << {"type":"message","to":"#dev","from":"alice","text":"hi bot"}
        bot >> {"type":"post","id":"2","to":"#dev","text":"hi alice\\nhow are you?"}
        bot << {"type":"ok","id":"2"}
        alice << [#dev] bot: hi alice
        alice << [#dev] bot: how are you?
        alice >> @bot fine
        bot << {"type":"message","to":"@bot","from":"alice","text":"fine"}
        bot >> {"type":"post","to":"@alice","text":"good"}
        bot << {"type":"ok"}
        alice << [@bot] good
        bot >> {"type":"history","id":"3","of":"#dev","limit":2}
        bot << {"type":"history","id":"3","of":"#dev","more":true}
        bot >> {"type":"jion","id":"4","room":"dev"}
        bot << {"type":"error","id":"4","code":"unknown-command"}
        bot >> {"type":"quit","id":"5"}
        bot << {"type":"ok","id":"5"}
        bot << end
        alice << * bot left #dev (quit)
        """,
    )


def test_all_see_one_order(server: ServerProcess) -> None:
    """Three who all write at the same time, and two who read: the same order for both."""
    reader, other = server.json("reader", "dev"), server.json("other", "dev")
    reader.event(type="joined", user="other")
    writers = [server.text(f"writer{number}") for number in range(3)]
    for round_ in range(50):
        for writer in writers:
            writer.send(*(["/join dev"] if round_ == 0 else []), f"#dev {round_}")
    seen = []
    for person in (reader, other):
        events = [person.event() for _ in range(3 * 51)]
        assert [event["seq"] for event in events] == sorted({event["seq"] for event in events})
        seen.append([(event["seq"], event.get("from"), event.get("text")) for event in events])
        for number in range(3):
            said = [event["text"] for event in events if event.get("from") == f"writer{number}"]
            assert said == [str(round_) for round_ in range(50)]
    assert seen[0] == seen[1]


def test_an_ok_stands_between_the_entries_before_and_after_it(server: ServerProcess) -> None:
    alice, bob = server.json("alice", "dev"), server.json("bob", "dev")
    alice.event(type="joined", user="bob")
    for number in range(100):
        alice.say("post", id=str(number), to="#dev", text="from alice")
        bob.say("post", id=str(number), to="#dev", text="from bob")
    for person in (alice, bob):
        numbers = [person.event()["seq"] for _ in range(200)]  # 100 answers, 100 messages
        assert numbers == list(range(numbers[0], numbers[0] + 200))


# Addresses


@needs_ipv6
def test_ipv4_and_ipv6_talk_to_each_other(start: Start) -> None:
    server = start()
    server.ready()
    four = server.text("four", "dev", host="127.0.0.1")
    six = server.json("six", "dev", host="::1")
    four.expect("* six joined #dev")
    four.send("#dev from an older world")
    six.event(type="message", text="from an older world")
    six.do("post", to="#dev", text="from a newer one")
    four.expect("[#dev] six: from a newer one")


# nc


@needs_nc
def test_nc_is_a_client(server: ServerProcess) -> None:
    alice = server.text("alice", "dev")
    nc = server.program(NC, "-N", server.host, str(server.port))
    people: dict[str, Speaker] = {"alice": alice, "nc": nc}
    play(
        people,
        """
        nc >> nc
        nc << * welcome nc: …
        nc >> /join dev
        nc << * you joined #dev
        alice << * nc joined #dev
        nc >> #dev from nc
        alice << [#dev] nc: from nc
        alice >> #dev hi nc
        nc << [#dev] alice: hi nc
        """,
    )
    nc.end_input()
    alice.expect("* nc left #dev (quit)")
    nc.expect_end()
    assert nc.wait() == 0


@needs_nc
def test_nc_with_crlf_is_a_client(server: ServerProcess) -> None:
    nc = server.program(NC, "-C", "-N", server.host, str(server.port))
    nc.send("nc", "/join dev")
    nc.expect("* welcome nc: …", "* you joined #dev")
    nc.send("quit")
    nc.expect("* bye")
    nc.end_input()  # this nc waits for its own input to end, too
    nc.expect_end()
    assert nc.wait() == 0


@needs_nc
def test_a_script_says_something_with_printf_and_nc(server: ServerProcess) -> None:
    alice = server.text("alice", "ops")
    command = f"{shlex.quote(NC)} -N {server.host} {server.port}"
    script = subprocess.run(
        ("sh", "-c", rf"printf 'cron\n/join ops\n#ops disk is full\n' | {command}"),
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
    )
    assert script.returncode == 0, script.stderr
    welcome, joined = script.stdout.splitlines()
    assert welcome.startswith("* welcome cron")
    assert joined == "* you joined #ops"
    alice.expect("* cron joined #ops", "[#ops] cron: disk is full", "* cron left #ops (quit)")


@needs_nc
def test_a_script_pipes_much_through_nc(server: ServerProcess) -> None:
    alice = server.text("alice", "ops")
    numbers = range(1, 3001)
    command = f"{shlex.quote(NC)} -N {server.host} {server.port}"
    script = subprocess.run(
        ("sh", "-c", f"{{ echo cron; echo /join ops; seq 3000 | sed 's/^/#ops /'; }} | {command}"),
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
    )
    assert script.returncode == 0, script.stderr
    assert len(script.stdout.splitlines()) == 2
    alice.expect("* cron joined #ops", *(f"[#ops] cron: {number}" for number in numbers))
    alice.expect("* cron left #ops (quit)")
