"""A password is proved without being told, and nothing but the password proves it."""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from hypothesis import example, given
from hypothesis import strategies as st

from selchat import scram
from selchat.errors import Refusal
from selchat.scram import Client, Server, Verifier

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey

SECRET = b"the server's own"
PASSWORD = "correct horse"
HERE, ELSEWHERE = hashlib.sha256(b"here").digest(), hashlib.sha256(b"elsewhere").digest()

# As few rounds as are possible: what is tested is not the time that they take.
ROUNDS = 4_096
VERIFIER = scram.make(PASSWORD, ROUNDS)


def log_in(server: Server, client: Client) -> bool:
    return client.verify(server.final(client.final(server.first(client.first()))))


def refused(call: Callable[[], object]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        call()
    assert "\n" not in caught.value.text
    return caught.value


def serving(
    verifier: Verifier | None = VERIFIER, binding: bytes | None = None, user: str = "alice"
) -> Server:
    return Server(user, verifier, SECRET, binding)


# Logging in


def test_the_example_of_rfc_7677() -> None:
    salt = b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    verifier = scram.from_salted(scram.salted(b"pencil", salt, 4_096), salt, 4_096)
    server = Server("user", verifier, SECRET, None, nonce="%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
    client = Client("user", "pencil", None, nonce="rOprNGfwEbeRWgbNEkqO")
    first = client.first()
    assert first == "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    answer = server.first(first)
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    assert answer == f"r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    final = client.final(answer)
    proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    assert final == f"c=biws,r={nonce},p={proof}"
    last = server.final(final)
    assert last == "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    assert client.verify(last)


@pytest.mark.parametrize("binding", [None, HERE])
def test_the_password_lets_in_with_and_without_tls(binding: bytes | None) -> None:
    assert log_in(serving(binding=binding), Client("alice", PASSWORD, binding))


def test_a_client_that_knows_no_channel_binding_gets_in_over_tls() -> None:
    assert log_in(serving(binding=HERE), Client("alice", PASSWORD, None))


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("alice", "Alice"),
        ("Straße", "STRASSE"),
        ("ａｌｉｃｅ", "alice"),
        ("אבג1", "אבג1"),
        ("𞤀𞤁", "𞤢𞤣"),
        ("a.b-c_d", "a.b-c_d"),
    ],
)
def test_every_name_can_log_in_however_it_is_written(name: str, typed: str) -> None:
    assert log_in(serving(user=name), Client(typed, PASSWORD, None))


def test_a_password_is_the_same_however_its_letters_are_typed() -> None:
    verifier = scram.make("pa\u00dfw\u00f6rt \u2168", ROUNDS)
    assert log_in(serving(verifier), Client("alice", "pa\u00dfwo\u0308rt\u00a0IX", None))


@pytest.mark.parametrize("binding", [None, HERE])
def test_another_password_does_not(binding: bytes | None) -> None:
    client = Client("alice", "correct house", binding)
    server = serving(binding=binding)
    final = client.final(server.first(client.first()))
    assert refused(lambda: server.final(final)).code == "wrong-credential"


def test_the_name_has_to_be_the_one_that_logs_in() -> None:
    client = Client("bob", PASSWORD, None)
    server = serving()
    assert refused(lambda: server.first(client.first())).code == "wrong-credential"


def test_a_server_that_does_not_know_the_password_is_found_out() -> None:
    other = scram.make("another password", ROUNDS)
    known = msgspec.structs.replace(VERIFIER, server_key=other.server_key)
    assert not log_in(serving(known), Client("alice", PASSWORD, None))


def test_who_stands_between_two_tls_connections_cannot_pass_a_login_on() -> None:
    server, client = serving(binding=HERE), Client("alice", PASSWORD, ELSEWHERE)
    final = client.final(server.first(client.first()))
    assert refused(lambda: server.final(final)).code == "wrong-credential"


def test_who_stands_between_cannot_take_the_binding_away() -> None:
    server, client = serving(binding=HERE), Client("alice", PASSWORD, HERE)
    first = client.first()
    assert first.startswith("p=tls-server-end-point,,")
    stripped = first.replace("p=tls-server-end-point", "n")
    final = client.final(server.first(stripped))
    assert refused(lambda: server.final(final)).code == "wrong-credential"
    # Nor pretend to the client's side that the server had none to offer.
    said = refused(
        lambda: serving(binding=HERE).first(first.replace("p=tls-server-end-point", "y"))
    )
    assert said.code == "wrong-credential"


@pytest.mark.parametrize(
    ("binding", "flag"), [(None, "p=tls-server-end-point"), (HERE, "p=tls-exporter")]
)
def test_a_binding_that_is_not_there_is_told_to_whom_can_mend_it(
    binding: bytes | None, flag: str
) -> None:
    said = refused(lambda: serving(binding=binding).first(f"{flag},,n=alice,r=abc"))
    assert said.code == "bad-credential"
    assert "tls-server-end-point" in said.text


def test_an_exchange_is_used_once() -> None:
    server, client = serving(), Client("alice", PASSWORD, None)
    first = client.first()
    final = client.final(server.first(first))
    server.final(final)
    for call in (lambda: server.final(final), lambda: server.first(first)):
        assert refused(call).code == "bad-credential"
    server = serving()
    refused(lambda: server.first("nothing"))
    assert refused(lambda: server.first(first)).code == "bad-credential"


def test_a_proof_is_good_for_one_exchange() -> None:
    client, server = Client("alice", PASSWORD, None), serving()
    first = client.first()
    final = client.final(server.first(first))
    again = serving()
    again.first(first)
    refused(lambda: again.final(final))


# Names that are no account


def shape(answer: str) -> str:
    """A server's first message without what is random in each."""
    return re.sub(r"r=[^,]+", lambda match: f"r={len(match[0])}", answer)


def test_a_name_that_is_no_account_looks_like_one_until_the_end() -> None:
    real = scram.make(PASSWORD)
    first = Client("alice", PASSWORD, None).first()
    known = shape(serving(real).first(first))
    answers = [shape(serving(None).first(first)) for _ in range(2)]
    assert answers[0] == answers[1]
    blank = r"s=[^,]+"
    assert re.sub(blank, "", answers[0]) == re.sub(blank, "", known)
    salts = [b64decode(answer.split("s=")[1].split(",")[0]) for answer in (answers[0], known)]
    assert len(salts[0]) == len(salts[1])
    assert salts[0] != salts[1]


def test_its_refusal_is_that_of_a_wrong_password() -> None:
    said = set()
    for verifier in (VERIFIER, None):
        client, server = Client("alice", "correct house", None), serving(verifier)
        final = client.final(server.first(client.first()))
        refusal = refused(lambda server=server, final=final: server.final(final))  # type: ignore[misc]
        said.add((refusal.code, refusal.text))
    assert len(said) == 1


def test_what_stands_for_a_verifier_depends_on_the_name_and_the_server() -> None:
    one = scram.fake("alice", SECRET)
    assert one == scram.fake("ALICE", SECRET)
    assert one.salt != scram.fake("bob", SECRET).salt
    assert one.salt != scram.fake("alice", b"another server's").salt
    scram.check(one)


# Passwords and verifiers


@pytest.mark.parametrize(
    "password", ["", "\u00ad" * 9, "1234567", "a" * 257, "\ufdfa" * 257, "bell\x07bell", "🙂" * 8]
)
def test_what_can_be_no_password_is_refused(password: str) -> None:
    assert refused(lambda: scram.make(password)).code == "bad-password"


def test_a_password_that_was_chosen_elsewhere_may_be_short() -> None:
    assert scram.prepared("pencil") == b"pencil"
    assert refused(lambda: scram.prepared("pencil", new=True)).code == "bad-password"
    assert refused(lambda: Client("alice", "", None)).code == "bad-password"


def test_a_salted_password_fits_its_own_verifier_alone() -> None:
    salted = scram.salted(scram.prepared(PASSWORD), VERIFIER.salt, ROUNDS)
    assert scram.fits(VERIFIER, salted)
    assert not scram.fits(scram.make(PASSWORD, ROUNDS), salted)
    assert scram.from_salted(salted, VERIFIER.salt, ROUNDS) == VERIFIER


def test_a_verifier_survives_json() -> None:
    assert msgspec.json.decode(msgspec.json.encode(VERIFIER), type=Verifier) == VERIFIER


def test_a_verifier_as_it_is_made_is_accepted() -> None:
    made = scram.make(PASSWORD)
    scram.check(made)
    assert made.iterations == scram.ITERATIONS


@pytest.mark.parametrize(
    "change",
    [
        {"salt": b"x" * 15},
        {"salt": b"x" * 65},
        {"stored_key": b"x" * 31},
        {"server_key": b"x" * 33},
        {"iterations": 99_999},
        {"iterations": 1_000_001},
        {"iterations": -1},
    ],
)
def test_a_weak_verifier_is_refused(change: dict[str, object]) -> None:
    weak = msgspec.structs.replace(scram.fake("alice", SECRET), **change)
    assert refused(lambda: scram.check(weak)).code == "bad-credential"


# The certificate


KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    ("key", "algorithm", "used"),
    [
        (KEY, hashes.SHA256(), "sha256"),
        (KEY, hashes.SHA384(), "sha384"),
        (KEY, hashes.SHA512(), "sha512"),
        (ed25519.Ed25519PrivateKey.generate(), None, "sha512"),
        (ed448.Ed448PrivateKey.generate(), None, None),
    ],
)
def test_a_binding_is_the_hash_that_the_certificate_was_signed_with(
    key: Key, algorithm: hashes.SHA256 | None, used: str | None
) -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "chat.example.org")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now)
    der = builder.sign(key, algorithm).public_bytes(serialization.Encoding.DER)
    assert scram.binding(der) == (hashlib.new(used, der).digest() if used else None)


@given(st.binary(max_size=200))
def test_what_is_no_certificate_binds_nothing(der: bytes) -> None:
    assert scram.binding(der) is None


# Hostile ends

ATTRIBUTES = st.lists(
    st.sampled_from(
        [
            *("n", "y", "p=tls-server-end-point", "p=tls-unique", "p=", "", "a=bob", "n=alice"),
            *("n=*", "n=bob", "n=a=2Cb", "r=abc", "r=", "s=QUJD", "i=4096", "i=0", "i=" + "9" * 99),
            *("i=4294967296", "c=biws", "c=!", "p=QUJD", "m=x", "e=other-error", "x=\ud800"),
            *("v=QUJD", "x=\x00", "r=\u00e9", "n=\u0300" * 300, "\ufdfa" * 300),
        ]
    )
    | st.text(max_size=20),
    max_size=9,
).map(",".join)
MESSAGES = ATTRIBUTES | st.text(max_size=2_000)


@given(MESSAGES, st.sampled_from([None, HERE]), st.sampled_from([None, VERIFIER]))
@example("n,,n=alice,r=abc,x=\ud800", None, VERIFIER)
@example("n,,n=" + "\ufdfa" * 900 + ",r=abc", None, None)
def test_any_text_is_answered_or_refused_by_a_server(
    message: str, binding: bytes | None, verifier: Verifier | None
) -> None:
    server = serving(verifier, binding)
    try:
        assert server.first(message).startswith("r=")
    except Refusal as refusal:
        assert refusal.code in ("bad-credential", "wrong-credential")
    server = serving(verifier, binding)
    nonce = server.first("n,,n=alice,r=abc").partition(",")[0]
    for final in (message, f"c=biws,{nonce},{message}", f"c=biws,{nonce},p={message}"):
        assert refused(lambda final=final: server.final(final)).code in (  # type: ignore[misc]
            "bad-credential",
            "wrong-credential",
        )


@given(MESSAGES)
def test_any_text_is_answered_or_refused_by_a_client(message: str) -> None:
    for told in (message, f"r=abcdef,{message}", f"r=abcdef,s={message},i=4096"):
        client = Client("alice", PASSWORD, None, nonce="abc")
        client.first()
        try:
            assert client.final(told).startswith("c=biws,r=abcdef")
        except Refusal as refusal:
            assert refusal.code == "bad-credential"
            continue
        assert not client.verify(message)


@pytest.mark.parametrize("rounds", [1, 4_095, 1_000_001, 10_000_000, 10_000_001, 2**40])
def test_a_server_cannot_make_a_client_compute_for_long_nor_too_little(rounds: int) -> None:
    client = Client("alice", PASSWORD, None, nonce="abc")
    client.first()
    salt = b64encode(b"s" * 16).decode()
    said = refused(lambda: client.final(f"r=abcdef,s={salt},i={rounds}"))
    assert said.code == "bad-credential"
