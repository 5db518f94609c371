"""The first bytes of a connection say what it speaks; what is not spoken is told so politely."""

from __future__ import annotations

import pytest

from selchat.wire import Tongue
from selchat.wire.jsonl import Jsonl
from selchat.wire.sniff import LONGEST, Refused, sniff
from selchat.wire.text import Text
from tests.unit.ways import pieces

CASES: list[tuple[bytes, str]] = [
    (b"\x16\x03\x01\x02\x00", "TLS"),
    (b"\x16", "TLS"),
    (b'{"type":"hello"}', "Jsonl"),
    (b"{", "Jsonl"),
    (b"GET / HTTP/1.1\r\n", "HTTP"),
    (b"POST / HTTP/1.1\r\n", "HTTP"),
    (b"PUT / HTTP/1.1\r\n", "HTTP"),
    (b"HEAD / HTTP/1.1\r\n", "HTTP"),
    (b"OPTIONS * HTTP/1.1\r\n", "HTTP"),
    (b"DELETE /x HTTP/1.1\r\n", "HTTP"),
    (b"get / http/1.1\r\n", "Text"),  # methods have a case (RFC 9110, section 9.1)
    (b"PATCH / HTTP/1.1\r\n", "Text"),
    (b"CAP LS 302\r\n", "IRC"),
    (b"cap ls\r\n", "IRC"),
    (b"NICK alice\r\n", "IRC"),
    (b"nIcK alice\r\n", "IRC"),
    (b"USER a 0 * :a\r\n", "IRC"),
    (b"PASS x\r\n", "IRC"),
    # Names that begin like another tongue.
    (b"alice\n", "Text"),
    (b"GET\n", "Text"),
    (b"Gerd\n", "Text"),
    (b"DELETE\n", "Text"),
    (b"OPTIONS\n", "Text"),
    (b"OPTIONSX\n", "Text"),
    (b"user\n", "Text"),
    (b"nick\r\n", "Text"),
    (b"captain\n", "Text"),
    (b"passer-by\n", "Text"),
    (b"Nicki\n", "Text"),
    # What is nothing of this is text, and will be told what is wrong with it.
    (b"\n", "Text"),
    (b"\r\n", "Text"),
    (b" {", "Text"),
    (b"[1]\n", "Text"),
    (b"/help\n", "Text"),
    (b"\x00\n", "Text"),
    (b"\x15\x03\x01", "Text"),
    (b"\xff\xfb\x01", "Text"),
    (b"\xef\xbb\xbf{", "Text"),
    ("Ünal\n".encode(), "Text"),
]


def name(found: type[Tongue] | Refused | None) -> str | None:
    if found is None or isinstance(found, Refused):
        return found and found.name
    return found.__name__


@pytest.mark.parametrize(("data", "kind"), CASES)
def test_the_first_bytes_tell(data: bytes, kind: str) -> None:
    for way, cut in pieces(data, behind=b"\r\nGET / \x16{ whatever"):
        seen, found = b"", None
        for piece in cut:
            seen += piece
            found = sniff(seen)
            if found is not None:
                break
        assert name(found) == kind, way


@pytest.mark.parametrize(
    "data", [b"", b"G", b"GET", b"P", b"PU", b"pa", b"HEAD", b"OPTIONS", b"DELETE", b"n", b"Cap"]
)
def test_what_can_become_something_else_is_waited_for(data: bytes) -> None:
    assert sniff(data) is None


def test_eight_bytes_are_always_enough() -> None:
    assert len(b"OPTIONS ") == LONGEST
    for prefix in (b"OPTIONS ", b"DELETE x", b"NICKNICK", b"\xff" * 8, b" " * 8):
        assert sniff(prefix[:LONGEST]) is not None


def test_the_tongues_are_the_ones_that_are_spoken() -> None:
    assert sniff(b"{") is Jsonl
    assert sniff(b"alice\n") is Text


def goodbye(data: bytes) -> bytes:
    found = sniff(data)
    assert isinstance(found, Refused)
    return found.goodbye


def test_tls_is_refused_with_an_alert() -> None:
    # RFC 8446, sections 5.1 and 6: alert (21), TLS 1.0, 2 bytes, fatal (2), handshake_failure (40)
    assert goodbye(b"\x16\x03\x01") == bytes([21, 3, 1, 0, 2, 2, 40])


@pytest.mark.parametrize("method", [b"GET", b"POST", b"PUT", b"OPTIONS", b"DELETE"])
def test_http_is_refused_with_a_page_that_says_what_to_do(method: bytes) -> None:
    head, _, page = goodbye(method + b" / HTTP/1.1\r\n").partition(b"\r\n\r\n")
    status, *fields = head.split(b"\r\n")
    assert status == b"HTTP/1.1 501 Not Implemented"
    assert b"Content-Length: %d" % len(page) in fields
    assert b"Connection: close" in fields
    assert b"selchat-client" in page
    assert page.endswith(b"\n")


def test_the_answer_to_head_has_no_content() -> None:
    assert goodbye(b"HEAD / HTTP/1.1\r\n").endswith(b"\r\n\r\n")
    assert goodbye(b"GET / HTTP/1.1\r\n").startswith(goodbye(b"HEAD / HTTP/1.1\r\n"))


def test_irc_is_refused_with_an_error_line() -> None:
    line = goodbye(b"NICK alice\r\n")
    assert line.startswith(b"ERROR :")
    assert line.endswith(b"\r\n")
    assert line.count(b"\n") == 1
    assert len(line) <= 512  # RFC 2812, section 2.3
    assert b"selchat-client" in line
