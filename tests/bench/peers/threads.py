"""A plain chat with a thread for each client, to compare with: rooms and direct messages in text.

It checks nothing and keeps nothing; whoever is written to by two threads at once has a lock.
"""

from __future__ import annotations

import socket
import sys
import threading


class Person:
    def __init__(self, name: str, sock: socket.socket) -> None:
        self.name = name
        self._socket = sock
        self._lock = threading.Lock()

    def tell(self, text: str) -> None:
        with self._lock:
            self._socket.sendall(text.encode())


people: dict[str, Person] = {}
rooms: dict[str, dict[str, Person]] = {}
lock = threading.Lock()


def talk(sock: socket.socket) -> None:
    with sock, sock.makefile("rb") as lines:
        me = Person(lines.readline().decode().strip(), sock)
        with lock:
            people[me.name] = me
        try:
            me.tell(f"* welcome {me.name}\n")
            for line in lines:
                carry_out(me, line.decode().rstrip("\r\n"))
        except ConnectionError:
            pass
        finally:
            with lock:
                del people[me.name]
                for room in rooms.values():
                    room.pop(me.name, None)


def carry_out(me: Person, line: str) -> None:
    to, _, text = line.partition(" ")
    if to == "/join":
        with lock:
            rooms.setdefault(text, {})[me.name] = me
        me.tell(f"* you joined #{text}\n")
    elif to[:1] == "#":
        with lock:
            others = [one for one in rooms.get(to[1:], {}).values() if one is not me]
        for other in others:
            other.tell(f"[{to}] {me.name}: {text}\n")
    elif to[:1] == "@" and to[1:] in people:
        people[to[1:]].tell(f"[@{me.name}] {text}\n")
    else:
        me.tell("! what?\n")


def serve(port: int) -> None:
    threading.stack_size(262_144)
    with socket.create_server(("127.0.0.1", port), backlog=4096) as door:
        while True:
            sock, _ = door.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=talk, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
