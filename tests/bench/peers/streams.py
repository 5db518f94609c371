"""A plain chat on asyncio streams, to compare with: rooms and direct messages in the text tongue.

It checks nothing, keeps nothing and never stops a reader that is slow. One write for each reader of
each message, as one writes it first.
"""

from __future__ import annotations

import asyncio
import sys

People = dict[str, asyncio.StreamWriter]

people: People = {}
rooms: dict[str, People] = {}


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    name = (await reader.readline()).decode().strip()
    people[name] = writer
    writer.write(f"* welcome {name}\n".encode())
    mine: set[str] = set()
    try:
        while line := (await reader.readline()).decode().rstrip("\r\n"):
            to, _, text = line.partition(" ")
            if to == "/join":
                rooms.setdefault(text, {})[name] = writer
                mine.add(text)
                writer.write(f"* you joined #{text}\n".encode())
            elif to[0] == "#":
                data = f"[{to}] {name}: {text}\n".encode()
                for who, other in rooms.get(to[1:], {}).items():
                    if who != name:
                        other.write(data)
            elif to[0] == "@" and to[1:] in people:
                people[to[1:]].write(f"[@{name}] {text}\n".encode())
            else:
                writer.write(b"! what?\n")
    except ConnectionError:
        pass
    finally:
        del people[name]
        for room in mine:
            del rooms[room][name]
        writer.close()


async def serve(port: int) -> None:
    server = await asyncio.start_server(talk, "127.0.0.1", port, backlog=4096, limit=1 << 20)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
