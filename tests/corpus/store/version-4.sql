PRAGMA application_id = 1399155811;
PRAGMA user_version = 4;
CREATE TABLE conversation (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    trimmed INTEGER NOT NULL DEFAULT 0  -- entries up to this seq were forgotten
);
INSERT INTO conversation VALUES (0, '', 0);
INSERT INTO conversation VALUES (1, '#dev', 0);
INSERT INTO conversation VALUES (2, '#strasse', 0);
INSERT INTO conversation VALUES (3, '@3:5', 0);
CREATE TABLE "entry" (
    seq INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL,
    session INTEGER NOT NULL,
    user INTEGER,  -- in their personal streams it stands
    other INTEGER,
    post_id TEXT,
    fact BLOB NOT NULL,  -- JSON, as in the JSON tongue
    author INTEGER,  -- who caused it, where its id is not that of the session
    corrects INTEGER  -- the message that it edits or deletes
, more INTEGER NOT NULL DEFAULT 0);
INSERT INTO entry VALUES (1, 0, 0, NULL, NULL, NULL, CAST('{"type":"opened","seq":1,"at":"2026-01-31T12:00:00.123Z","user":"alice","token":null}' AS BLOB), NULL, NULL, 0);
INSERT INTO entry VALUES (10, 1, 1, NULL, NULL, NULL, CAST('{"type":"message","seq":10,"at":"2026-01-31T12:00:01.123Z","to":"#dev","from":"alice","text":"waves","action":true}' AS BLOB), NULL, NULL, 0);
INSERT INTO entry VALUES (11, 2, 1, 1, NULL, NULL, CAST('{"type":"joined","seq":11,"at":"2026-01-31T12:00:01.123Z","room":"Straße","user":"alice","owner":true}' AS BLOB), NULL, NULL, 0);
INSERT INTO entry VALUES (12, 1, 1, 1, NULL, NULL, CAST('{"type":"renamed","seq":12,"at":"2026-01-31T12:00:01.123Z","room":"dev","user":"alice","name":"Alicia"}' AS BLOB), NULL, NULL, 0);
INSERT INTO entry VALUES (13, 2, 1, 1, NULL, NULL, CAST('{"type":"renamed","seq":13,"at":"2026-01-31T12:00:01.123Z","room":"Straße","user":"alice","name":"Alicia"}' AS BLOB), NULL, NULL, 0);
INSERT INTO entry VALUES (14, 3, 5, 5, 3, '1', CAST('{"type":"message","seq":14,"at":"2026-01-31T12:00:01.123Z","to":"@carol","from":"dora","text":"just between us"}' AS BLOB), NULL, NULL, 0);
INSERT INTO entry VALUES (15, 1, 5, 5, NULL, NULL, CAST('{"type":"left","seq":15,"at":"2026-01-31T12:00:01.123Z","room":"dev","user":"dora","reason":"left"}' AS BLOB), NULL, NULL, 0);
INSERT INTO entry VALUES (16, 0, 5, NULL, NULL, NULL, CAST('{"type":"gone","seq":16,"at":"2026-01-31T12:00:01.123Z","for_good":true}' AS BLOB), NULL, NULL, 0);
INSERT INTO entry VALUES (17, 1, 3, NULL, NULL, '3', CAST('{"type":"message","seq":17,"at":"2026-01-31T12:00:01.123Z","to":"#dev","from":"carol","text":"after the snapshot"}' AS BLOB), NULL, NULL, 0);
INSERT INTO entry VALUES (19, 1, 1, NULL, NULL, NULL, CAST('{"type":"messages","seq":19,"at":"2026-01-31T12:00:01.123Z","to":"#dev","from":"Alicia","texts":["one of two","two of two"]}' AS BLOB), NULL, NULL, 1);
INSERT INTO entry VALUES (2, 1, 1, 1, NULL, NULL, CAST('{"type":"joined","seq":2,"at":"2026-01-31T12:00:00.123Z","room":"dev","user":"alice","owner":true}' AS BLOB), NULL, NULL, 0);
INSERT INTO entry VALUES (3, 0, 0, NULL, NULL, NULL, CAST('{"type":"opened","seq":3,"at":"2026-01-31T12:00:00.123Z","user":"carol","token":"3f08aace122ee2368432c1ca23a049bc640bafbf00fdf33a52429f38ba12dbf9"}' AS BLOB), NULL, NULL, 0);
INSERT INTO entry VALUES (4, 1, 3, 3, NULL, NULL, CAST('{"type":"joined","seq":4,"at":"2026-01-31T12:00:00.123Z","room":"dev","user":"carol"}' AS BLOB), NULL, NULL, 0);
INSERT INTO entry VALUES (5, 0, 0, NULL, NULL, NULL, CAST('{"type":"opened","seq":5,"at":"2026-01-31T12:00:00.123Z","user":"dora","token":"0f6bffa9661cb5dd2f3f7b2929f33061f58a7ba7fdd689530b1a306f8ed8f3ec"}' AS BLOB), NULL, NULL, 0);
INSERT INTO entry VALUES (6, 1, 5, 5, NULL, NULL, CAST('{"type":"joined","seq":6,"at":"2026-01-31T12:00:00.123Z","room":"dev","user":"dora"}' AS BLOB), NULL, NULL, 0);
INSERT INTO entry VALUES (7, 1, 3, NULL, NULL, '1', CAST('{"type":"message","seq":7,"at":"2026-01-31T12:00:00.123Z","to":"#dev","from":"carol","text":"hello from long ago"}' AS BLOB), NULL, NULL, 0);
INSERT INTO entry VALUES (8, 1, 3, NULL, NULL, '2', CAST('{"type":"message","seq":8,"at":"2026-01-31T12:00:00.123Z","to":"#dev","from":"carol","text":"two\nlines ☃"}' AS BLOB), NULL, NULL, 0);
INSERT INTO entry VALUES (9, 1, 5, NULL, NULL, NULL, CAST('{"type":"topic","seq":9,"at":"2026-01-31T12:00:00.123Z","room":"dev","user":"dora","text":"fish"}' AS BLOB), NULL, NULL, 0);
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO meta VALUES ('filed', '9');
INSERT INTO meta VALUES ('id', '76ed852b79ccaa43');
INSERT INTO meta VALUES ('indexed', '9');
INSERT INTO meta VALUES ('secret', '849c8683e05a91bf2a2de9e118b904d2a9d60838147126b8f67a5bfda42a2737');
CREATE TABLE place (
    key INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (key, seq)
) WITHOUT ROWID;
INSERT INTO place VALUES (-1, 2);
INSERT INTO place VALUES (-3, 4);
INSERT INTO place VALUES (-5, 6);
INSERT INTO place VALUES (0, 1);
INSERT INTO place VALUES (0, 3);
INSERT INTO place VALUES (0, 5);
INSERT INTO place VALUES (1, 2);
INSERT INTO place VALUES (1, 4);
INSERT INTO place VALUES (1, 6);
INSERT INTO place VALUES (1, 7);
INSERT INTO place VALUES (1, 8);
INSERT INTO place VALUES (1, 9);
CREATE TABLE post (
    session INTEGER NOT NULL,
    id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (session, id)
) WITHOUT ROWID;
INSERT INTO post VALUES (3, '1', 7);
INSERT INTO post VALUES (3, '2', 8);
INSERT INTO post VALUES (3, '3', 17);
CREATE VIRTUAL TABLE search USING fts5 (
    place, author, text, content = '', tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TABLE snapshot (
    seq INTEGER PRIMARY KEY,
    state BLOB NOT NULL
);
INSERT INTO snapshot VALUES (9, CAST('{"users":[[1,"alice",true,["dev"],null,[],[]],[3,"carol",true,["dev"],null,[],[]],[5,"dora",true,["dev"],null,[],[]]],"sessions":[[1,1,null,true,0,"2026-01-31T12:00:00.123Z"],[3,3,"3f08aace122ee2368432c1ca23a049bc640bafbf00fdf33a52429f38ba12dbf9",true,0,"2026-01-31T12:00:00.123Z"],[5,5,"0f6bffa9661cb5dd2f3f7b2929f33061f58a7ba7fdd689530b1a306f8ed8f3ec",true,0,"2026-01-31T12:00:00.123Z"]],"rooms":[["dev","dev","fish",[1,3,5],false,[[1,"owner"]],[],[],[]]],"exclusions":[],"invitations":[]}' AS BLOB));
CREATE TABLE trimmed (
    user INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL
);
CREATE INDEX entry_by_corrected ON entry (corrects, seq) WHERE corrects IS NOT NULL;
UPDATE meta SET value = '0' WHERE key = 'indexed';
