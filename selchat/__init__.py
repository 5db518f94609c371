"""selchat: a chat that people run themselves, and live in from the terminal.

The way of a byte, from one user's keyboard to another's screen. Read the files in this order:

    loop.py            select() says that a socket is readable          ─┐
    stream.py          a bounded read takes what is there                │
    tls.py             it is decrypted, if the first byte said TLS       │
    connection.py      the first bytes tell the tongue (wire/sniff.py)   │ for each
    wire/framing.py    bytes become lines                                │ readable
    wire/text.py,      lines become commands (model/commands.py)         │ socket
    wire/jsonl.py                                                        │
    hub/dispatch.py    the table: who may, and which method does it      │
    hub/hub.py         checked, put in order (seq, time), applied       ─┘
    upkeep.py          the tick ends (server.py): commit (store/), then
    delivery.py        tell: encoded once per tongue, shared by all its readers
    stream.py          one send per reader
    client/            the same loop, over standard input and the socket

docs/architecture.md says why it is built like this, docs/protocol.md what goes over the wire.
"""

__version__ = "0.1.0"
