"""The client: the same loop, over the terminal or a pipe on one side and the server on the other.

What each module is about:

    state.py, conversations.py    what it knows; pure
    link.py, keeper.py            its connection, and what outlives it on disk
    devices.py, private.py        what logs in again without a password; files for one pair of eyes
    front.py                      what every front end does with these
    plain.py                      the front end of pipes and files
    line.py                       the one of terminals, which stands on these:
        keys.py, bindings.py      a byte is a key, and the table says what that does
        editor.py, buffer.py      to the line (or to what is never shown: secret.py),
        layout.py, window.py      which is laid out and drawn (or said: linear.py)
        output.py, terminal.py    and written, below the lines that stay

So a key is followed from keys.py to terminal.py, and a message from link.py to output.py.
"""
