"""The tables of the log, and how an older file becomes a newer one.

`PRAGMA user_version` says how many of the migrations a file has seen. A file that has seen more
than there are here was made by a newer selchat, and is left alone.
"""

from __future__ import annotations

import sqlite3

from selchat.errors import StartError

APPLICATION_ID = 0x53656C63
"""'Selc': lets file(1) and us tell the file from other SQLite files."""

_VERSION_1 = """
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- Rooms and pairs by their names in model/entries.py. Entries refer to the number.
CREATE TABLE conversation (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    trimmed INTEGER NOT NULL DEFAULT 0  -- entries up to this seq were forgotten
);
INSERT INTO conversation (id, name) VALUES (0, '');

-- Clustered by conversation, because a page of one is what is read most.
CREATE TABLE entry (
    conversation INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    session INTEGER NOT NULL,
    user INTEGER,
    other INTEGER,
    post_id TEXT,
    fact BLOB NOT NULL,  -- JSON, as in the JSON tongue
    PRIMARY KEY (conversation, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX entry_by_seq ON entry (seq);

-- The personal streams: which entries concern a user by name.
CREATE TABLE personal (
    user INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (user, seq)
) WITHOUT ROWID;

-- Up to which seq the personal streams of those who are still around have lost entries.
CREATE TABLE trimmed (
    user INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL
);

-- The ids of the posts of token sessions, as long as the session is remembered,
-- which can be longer than the post.
CREATE TABLE post (
    session INTEGER NOT NULL,
    id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (session, id)
) WITHOUT ROWID;

-- The hub's state after the entry `seq`, so that start-up need not apply all entries.
CREATE TABLE snapshot (
    seq INTEGER PRIMARY KEY,
    state BLOB NOT NULL
);

-- The words of messages, and as words too where and by whom (store/search.py). Filled in idle
-- moments, up to the entry that meta's `indexed` names.
CREATE VIRTUAL TABLE search USING fts5 (
    place, author, text, content = '', tokenize = 'unicode61 remove_diacritics 2'
);
INSERT INTO meta VALUES ('indexed', '0');
"""

_VERSION_2 = """
-- The user who caused an entry, where its id is not that of the session: an account has several.
ALTER TABLE entry ADD COLUMN author INTEGER;

-- The message that an entry edits or deletes.
ALTER TABLE entry ADD COLUMN corrects INTEGER;
CREATE INDEX entry_by_corrected ON entry (corrects, seq) WHERE corrects IS NOT NULL;
"""

_VERSION_3 = """
-- In the order in which they happened: a tick's entries, of however many conversations, fill page
-- after page, and the same page of each index takes many of them. A page of a conversation takes
-- longer to read than when it was clustered, some 100 microseconds.
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL,
    session INTEGER NOT NULL,
    user INTEGER,  -- in their personal streams it stands
    other INTEGER,
    post_id TEXT,
    fact BLOB NOT NULL,  -- JSON, as in the JSON tongue
    author INTEGER,  -- who caused it, where its id is not that of the session
    corrects INTEGER  -- the message that it edits or deletes
);
INSERT INTO entries
SELECT seq, conversation, session, user, other, post_id, fact, author, corrects FROM entry
ORDER BY seq;
DROP TABLE entry;
DROP TABLE personal;
ALTER TABLE entries RENAME TO entry;
CREATE INDEX entry_by_conversation ON entry (conversation);
CREATE INDEX entry_by_user ON entry (user) WHERE user IS NOT NULL;
CREATE INDEX entry_by_other ON entry (other) WHERE other IS NOT NULL;
CREATE INDEX entry_by_corrected ON entry (corrects, seq) WHERE corrects IS NOT NULL;
"""

_VERSION_4 = """
-- Messages that came together are one row: `more` than one by so many, with the `seq` of the last.
ALTER TABLE entry ADD COLUMN more INTEGER NOT NULL DEFAULT 0;

-- Where entries are found (store/places.py), up to the entry that meta's `filed` names: by the
-- number of their conversation, and by the ids of users with a minus before them. It is no index,
-- as that would be filled at once: each message of a busy tick would write a page for each of them.
DROP INDEX entry_by_conversation;
DROP INDEX entry_by_user;
DROP INDEX entry_by_other;
CREATE TABLE place (
    key INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (key, seq)
) WITHOUT ROWID;
INSERT OR IGNORE INTO place
SELECT -user, seq FROM entry WHERE user IS NOT NULL
UNION ALL SELECT -other, seq FROM entry WHERE other IS NOT NULL
UNION ALL SELECT conversation, seq FROM entry ORDER BY 1, 2;
INSERT INTO meta SELECT 'filed', coalesce(max(seq), 0) FROM entry;
"""

MIGRATIONS = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4)


def migrate(db: sqlite3.Connection) -> None:
    """Bring the tables up to date, all or nothing. Raises `StartError` for a newer file."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise StartError(
            f"the log was written by a newer selchat (its version is {version}, "
            f"this one knows {len(MIGRATIONS)}): start that one"
        )
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        # executescript commits what is open before, so the transaction is part of the script.
        db.executescript(
            f"BEGIN IMMEDIATE;{script};PRAGMA application_id = {APPLICATION_ID};"
            f"PRAGMA user_version = {number};COMMIT;"
        )
