"""People and rooms: what a command means, and who is told. No I/O; log and clock are passed in.

state.py is what the log says is true, and changes by entries only. hub.py checks a command,
orders what it makes and names those who are told. dispatch.py is the table of commands.
catchup.py finds what a session has missed.
"""
