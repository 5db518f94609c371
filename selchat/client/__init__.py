"""The client.

state.py, conversations.py    what it knows; pure
link.py, keeper.py            its connection, and what outlives it on disk
front.py                      what every front end does with these two
plain.py                      the front end of pipes and files
line.py                       the one of terminals, and what it stands on:
    keys.py → bindings.py → editor.py → layout.py → window.py or linear.py → terminal.py
    a byte is a key, which changes the line, which is laid out, drawn, and written
"""
