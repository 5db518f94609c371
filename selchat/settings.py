"""Every tunable, documented where it is defined.

Each server setting is one annotated field of `ServerSettings`: its flag, its variable, its TOML
key, its limits, its text in `--help` and its row in docs/configuration.md all come from that
field. Where the values come from, and what wins, is the subject of sources.py.
"""

# No annotations from __future__: msgspec would have to compile the text of each, at every start.

from functools import cache
from typing import Annotated, Final, Literal, get_args, get_origin

from msgspec import Meta, Struct
from msgspec.structs import FieldInfo, fields

DEFAULT_PORT: Final = 9000
VARIABLE_PREFIX: Final = "SELCHAT_"

_YEAR: Final = 31_536_000.0
_GIB: Final = 2**30


def _bytes(description: str) -> Meta:
    return Meta(ge=512, le=_GIB, description=description, extra={"unit": "bytes"})


def _count(description: str, le: int) -> Meta:
    return Meta(ge=1, le=le, description=description)


def _seconds(description: str, ge: float = 0.1) -> Meta:
    return Meta(ge=ge, le=_YEAR, description=description, extra={"unit": "seconds"})


class ServerSettings(Struct, frozen=True, kw_only=True):
    """Every tunable of the server. `load` checks the limits; the constructor does not."""

    host: Annotated[
        str | None,
        Meta(
            description="Address or host name to listen on; all addresses, IPv4 and IPv6, "
            "unless it is set.",
            extra={
                "takes": "an address or a host name, such as 127.0.0.1 or ::1",
                "placeholder": "HOST",
            },
        ),
    ] = None
    port: Annotated[
        int,
        Meta(ge=0, le=65_535, description="TCP port to listen on; 0 picks a free one."),
    ] = DEFAULT_PORT
    data: Annotated[
        str | None,
        Meta(
            description="Folder for what the server keeps, such as the log; made where there is "
            "none, and used by one server at a time. Unless it is set, a folder of the user who "
            "runs the server.",
            extra={"takes": "the path of a folder", "placeholder": "DIR"},
        ),
    ] = None
    store: Annotated[
        Literal["disk", "memory"],
        Meta(
            description="Where the log is. On disk it survives restarts; in memory it holds "
            "memory_entries, and ends with the server."
        ),
    ] = "disk"
    durability: Annotated[
        Literal["full", "normal"],
        Meta(
            description="What an acknowledged entry survives: full also a power cut, normal the "
            "death of the server only. With full every commit waits for the disk."
        ),
    ] = "full"
    join_history: Annotated[
        int,
        Meta(
            ge=0,
            le=200,
            description="Lines of a room's history that are shown on joining it in the text "
            "tongue. 20 fill a terminal of 24 lines.",
        ),
    ] = 20
    snapshot_entries: Annotated[
        int,
        _count(
            "Entries after which the state is saved, so that a start need not apply more than "
            "that many. 50,000 take about half a second.",
            le=10_000_000,
        ),
    ] = 50_000
    retention_days: Annotated[
        float,
        Meta(
            ge=0.0,
            le=36_500.0,
            description="Age at which entries are forgotten, messages between two as well; 0 keeps "
            "them. Who comes back after longer than that begins a new session.",
            extra={"unit": "days"},
        ),
    ] = 0.0
    retention_entries: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000_000,
            description="Entries kept of each room, and of each conversation between two; older "
            "ones are forgotten, and 0 keeps all. Let it be more than a room says in a day, or a "
            "client that was away can miss some and has to begin a new session.",
        ),
    ] = 0
    tls: Annotated[
        Literal["on", "required", "off"],
        Meta(
            description="Encryption on the port. On: TLS and plaintext, as each client begins. "
            "Required: plaintext from this machine only. Off: plaintext only."
        ),
    ] = "on"
    cert: Annotated[
        str | None,
        Meta(
            description="File with the certificate, and those that lead to an authority, in PEM "
            "form. Unless it is set, the server makes one of its own in the data folder.",
            extra={"takes": "the path of a file", "placeholder": "FILE"},
        ),
    ] = None
    key: Annotated[
        str | None,
        Meta(
            description="File with the private key of cert, in PEM form, without a password.",
            extra={"takes": "the path of a file", "placeholder": "FILE"},
        ),
    ] = None
    line_limit: Annotated[
        int,
        _bytes(
            "Longest line that a client may send. A longer one is dropped to its newline and "
            "answered by one error. 64 KiB holds any message that people type or paste, and "
            "bounds what a client that never ends its line can make the server hold."
        ),
    ] = 65_536
    read_size: Annotated[
        int,
        _bytes(
            "Most bytes read from one connection in a tick. 64 KiB empties a usual socket buffer "
            "in one system call, and keeps a client that floods from holding up the others."
        ),
    ] = 65_536
    write_budget: Annotated[
        int,
        _bytes(
            "Most bytes written to one connection in a tick. 256 KiB is a page of history at "
            "once, and keeps one big reader from holding up the others."
        ),
    ] = 262_144
    soft_limit: Annotated[
        int,
        _bytes(
            "Bytes waiting to go out to one connection above which it is not read, and gets no "
            "more live entries into memory. 256 KiB is what one tick may write to it."
        ),
    ] = 262_144
    hard_limit: Annotated[
        int,
        _bytes(
            "Bytes waiting to go out to one connection above which it is closed with a reason. "
            "Must be greater than soft_limit. 4 MiB leaves room for every answer that was under "
            "way when the soft limit was passed."
        ),
    ] = 4_194_304
    backlog: Annotated[
        int,
        _count(
            "Connections that the system holds until they are accepted. 1024 is enough for all "
            "clients coming back at once after a restart; Linux caps it at net.core.somaxconn.",
            le=65_535,
        ),
    ] = 1024
    accept_batch: Annotated[
        int,
        _count(
            "Connections accepted in a tick. 128 keep a rush of new ones from holding up those "
            "who are already connected; the rest wait in the backlog.",
            le=65_535,
        ),
    ] = 128
    login_timeout: Annotated[
        float,
        _seconds(
            "Time from connecting to being logged in. A minute lets a person type a name into nc "
            "and frees what silent connections hold."
        ),
    ] = 60.0
    handshake_timeout: Annotated[
        float,
        _seconds(
            "Time from a connection's first byte until it is clear what it speaks, and its TLS "
            "handshake is done. Ten seconds are many round trips over any network, and what "
            "only dribbles holds a handshake's memory no longer. Who has said nothing yet has "
            "login_timeout."
        ),
    ] = 10.0
    tls_handshakes: Annotated[
        int,
        _count(
            "TLS handshakes under way at a time. Further ones wait, unread, until one is done, "
            "within handshake_timeout. 256 take some 10 MB, and let all clients come back after a "
            "restart without one of them waiting for another's slow network.",
            le=65_535,
        ),
    ] = 256
    connections: Annotated[
        int,
        _count(
            "Connections in all; over it, new ones are told that the server is full. 20,000 idle "
            "ones take some 100 MB, or 600 MB with TLS. Each needs a descriptor: where ulimit -n "
            "allows fewer, those beyond it wait in the backlog without a word.",
            le=10_000_000,
        ),
    ] = 20_000
    connections_per_address: Annotated[
        int,
        _count(
            "Connections from one address, of IPv6 from one /64; over it, new ones are told so. 64 "
            "let an office or a school behind one address talk, and keep one machine from taking "
            "all the connections that there are.",
            le=10_000_000,
        ),
    ] = 64
    limits_exempt: Annotated[
        str,
        Meta(
            description="Addresses and networks whose connections are not limited per address, in "
            "rate and in registrations; none exempts nobody. This machine is, for bots and bridges "
            "on it; behind a proxy or a tunnel on it that is everybody, so say none there.",
            extra={
                "takes": "addresses and networks separated by commas (or a list in TOML), such as "
                "127.0.0.0/8, ::1, or none",
                "placeholder": "NETWORKS",
            },
        ),
    ] = "127.0.0.0/8, ::1"
    rate: Annotated[
        float,
        Meta(
            ge=1.0,
            le=1e9,
            description="What one connection may ask for in a second, in the long run: a message "
            "is 1, entering a room 2, a page of history or a search 200. Who asks for more is not "
            "read for a while; nothing is lost. 50 are more than people and most bots ever say, "
            "and a hundred that flood leave the server half of its time.",
        ),
    ] = 50.0
    rate_burst: Annotated[
        float,
        Meta(
            ge=1.0,
            le=1e9,
            description="What one connection may ask for at once, before it is slowed to rate. "
            "1000 are a pasted file, or five pages of history one after the other.",
        ),
    ] = 1_000.0
    rate_bytes: Annotated[
        int,
        _bytes(
            "Bytes a second that are read from one connection, in the long run. 64 KiB are the "
            "longest line once a second, or a busy bot."
        ),
    ] = 65_536
    rate_burst_bytes: Annotated[
        int,
        _bytes(
            "Bytes that one connection may send at once, before it is slowed to rate_bytes. 1 MiB "
            "is a long log that somebody pastes."
        ),
    ] = 1_048_576
    memory_limit: Annotated[
        int,
        Meta(
            ge=0,
            le=2**50,
            description="Resident memory over which new connections are told that the server is "
            "full, while those that are there go on; 0 for none. 1 GiB is some ten times what a "
            "thousand clients need.",
            extra={"unit": "bytes"},
        ),
    ] = 2**30
    registrations_per_address: Annotated[
        int,
        _count(
            "Accounts that may be registered from one address, of IPv6 from one /64, within an "
            "hour. 10 let a class register together, and make taking names in bulk slow.",
            le=1_000_000,
        ),
    ] = 10
    name_attempts: Annotated[
        int,
        _count(
            "Further tries that a connection has after its first log-in was refused, before it is "
            "closed. Three are enough for a person whose name is in use.",
            le=1000,
        ),
    ] = 3
    ping_after: Annotated[
        float,
        _seconds(
            "An idle JSON client is pinged after this long. A minute is shorter than what routers "
            "and load balancers commonly forget idle connections after."
        ),
    ] = 60.0
    ping_timeout: Annotated[
        float,
        _seconds(
            "A JSON client that has not answered a ping for this long has lost its connection. A "
            "minute forgives a slow mobile network."
        ),
    ] = 60.0
    keepalive: Annotated[
        int,
        Meta(
            ge=1,
            le=32_767,
            description="Idle time after which TCP itself probes a connection; it finds dead peers "
            "of the text tongue, which has no ping. The system's own default is two hours.",
            extra={"unit": "seconds"},
        ),
    ] = 60
    linger: Annotated[
        float,
        _seconds(
            "How long a closing connection is waited for to take its last lines and close its "
            "side. Closing at once could destroy the reason that is still under way.",
            ge=0.0,
        ),
    ] = 2.0
    grace: Annotated[
        float,
        _seconds(
            "How long name, presence and rooms of a session with a token are kept when its "
            "connection is lost. Two minutes cover a change of network or a restart.",
            ge=0.0,
        ),
    ] = 120.0
    token_lifetime: Annotated[
        float,
        _seconds(
            "How long after its last contact a session's token is valid and its post ids are "
            "remembered. At least grace. A day covers a laptop that slept all night.",
            ge=0.0,
        ),
    ] = 86_400.0
    memory_entries: Annotated[
        int,
        _count(
            "Entries that the log in memory holds; the oldest go first. 200000 are many days of "
            "a busy room, and a bound for the memory they take.",
            le=1_000_000_000,
        ),
    ] = 200_000
    page: Annotated[
        int,
        _count(
            "Most entries in one page of history; a client that asks for more gets this many. "
            "200 fill several screens.",
            le=10_000,
        ),
    ] = 200
    message_lines: Annotated[
        int,
        _count(
            "Lines that one message may have. 200 hold a pasted traceback or a screen of code; "
            "each line is repeated with its author's name in the text tongue, so many empty "
            "lines would be a small message that makes a large one.",
            le=100_000,
        ),
    ] = 200
    list_limit: Annotated[
        int,
        _count("Most names or rooms that one answer lists, so that it stays readable.", le=100_000),
    ] = 500
    guests: Annotated[
        bool,
        Meta(
            description="Whether who has no account may talk. If not, a guest can do nothing but "
            "register."
        ),
    ] = True
    registration: Annotated[
        Literal["open", "invite", "closed"],
        Meta(
            description="Who may make an account: anybody, who has a word that "
            "'selchat-server invite' gave, or nobody."
        ),
    ] = "open"
    first_admin: Annotated[
        bool,
        Meta(
            description="Whether who registers first is an admin of the server. For the first "
            "minutes of a new one; otherwise 'selchat-server admin add NAME' makes admins."
        ),
    ] = False
    join_password_file: Annotated[
        str | None,
        Meta(
            description="File whose first line is a password that guests have to know to come in.",
            extra={"takes": "the path of a file", "placeholder": "FILE"},
        ),
    ] = None
    device_lifetime: Annotated[
        float,
        Meta(
            gt=0,
            le=36_500.0,
            description="How long a client may log in without a password after it last did so. "
            "Three months cover a long holiday.",
            extra={"unit": "days"},
        ),
    ] = 90.0
    accounts: Annotated[
        int,
        _count("Accounts there may be. Each takes about 1 KiB of memory for good.", le=10_000_000),
    ] = 100_000
    sessions_per_account: Annotated[
        int,
        _count(
            "Sessions that one account may have at a time, and clients that it may have "
            "remembered. 20 are more than a person has devices.",
            le=10_000,
        ),
    ] = 20
    rooms: Annotated[
        int,
        _count(
            "Rooms there may be. Each takes about 1 KiB of memory, and stays when it is empty if "
            "it has a topic, bans, or an owner with an account.",
            le=10_000_000,
        ),
    ] = 100_000
    rooms_per_user: Annotated[
        int,
        _count(
            "Rooms that one user may be in, and rooms that it may own. 200 are more than anybody "
            "reads.",
            le=1_000_000,
        ),
    ] = 200
    members_per_room: Annotated[
        int,
        _count("Members that a room may have: what one says is sent to all of them.", le=1_000_000),
    ] = 20_000
    bans_per_room: Annotated[
        int,
        _count(
            "Bans, and open invitations, that one room may have, and addresses that may be banned "
            "from the server.",
            le=100_000,
        ),
    ] = 500
    blocks_per_user: Annotated[
        int,
        _count("Users that one user may block.", le=100_000),
    ] = 500
    message_size: Annotated[
        int,
        Meta(
            ge=0,
            le=_GIB,
            description="Characters that one message may have; 0 is as many as a line of "
            "line_limit holds.",
        ),
    ] = 0
    stop_timeout: Annotated[
        float,
        _seconds(
            "How long stopping waits for clients to take their last lines. 3 s is well within "
            "what service managers wait before they kill (10 to 90 s).",
            ge=0.0,
        ),
    ] = 3.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="Least severe kind of log line that goes to standard error."),
    ] = "info"


class ClientOptions(Struct, frozen=True, kw_only=True):
    """What the client's command line asks for."""

    host: str
    port: int
    user: str | None
    """None: ask for it, on a terminal."""
    json: bool
    """Print events as JSON lines."""
    tls: bool = True
    """Encrypt; False for a server that does not, in a network that is trusted."""
    fingerprint: str | None = None
    """Of the server's certificate, to be pinned; None: what is pinned, or is seen first."""
    rooms: tuple[str, ...] = ()
    """Rooms to enter, without marks."""
    bell: bool = True
    """Ring the terminal's bell for what is meant for the user."""
    color: bool = True
    """Colours, where the terminal and NO_COLOR allow them."""
    linear: bool = False
    """Nothing moves on the terminal; always so where TERM is dumb."""
    history: bool = True
    """Keep what is typed from one run to the next."""
    to: str = ""
    """Whom to talk to, with a mark. Off a terminal, each line of the input is said there."""
    patience: float | None = None
    """Seconds to try to reach a server that was lost; None: for ever, or a minute in a script."""
    message: str | None = None
    """What to say to `to`, in the place of an input."""
    password_file: str | None = None
    """File whose first line is the password of the account, where nobody is to be asked."""
    join_password_file: str | None = None
    """File whose first line is the password of the server."""


class SettingRow(Struct, frozen=True, kw_only=True):
    """One server setting as people see it; every text is one line."""

    name: str
    """The key in the TOML file."""
    flag: str
    variable: str
    placeholder: str
    """What stands for the value after the flag."""
    takes: str
    """What it may be, with the limits: 'a whole number of bytes from 512 to 1073741824'."""
    default: str
    description: str
    type: object
    """The annotated type, for msgspec."""


@cache
def documentation() -> tuple[SettingRow, ...]:
    """Every server setting, in the order of `ServerSettings`."""
    return tuple(_row(field) for field in fields(ServerSettings))


def _row(field: FieldInfo) -> SettingRow:
    base, meta = get_args(field.type)
    takes, placeholder = _takes(base, meta)
    return SettingRow(
        name=field.name,
        flag="--" + field.name.replace("_", "-"),
        variable=VARIABLE_PREFIX + field.name.upper(),
        placeholder=placeholder,
        takes=takes,
        default="not set" if field.default is None else _plain(field.default),
        description=meta.description or "",
        type=field.type,
    )


def _takes(base: object, meta: Meta) -> tuple[str, str]:
    extra = meta.extra or {}
    if get_origin(base) is Literal:
        return "one of " + ", ".join(get_args(base)), "LEVEL"
    if "takes" in extra:
        return extra["takes"], extra["placeholder"]
    if base is bool:
        return "true or false", "BOOL"
    unit = extra.get("unit")
    number = ("a whole number" if base is int else "a number") + (f" of {unit}" if unit else "")
    least = f"from {_plain(meta.ge)}" if meta.ge is not None else f"above {_plain(meta.gt)}"
    return f"{number} {least} to {_plain(meta.le)}", unit.upper() if unit else "N"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.10g}" if isinstance(value, float) else str(value)
