"""The tables of the index.

A result's `id` is its place in the order of completion. A row of ``search`` is never reused, because words of
a deleted result that are still in it would be attributed to another.
"""

from __future__ import annotations

from ...searching import TOKENIZER

VERSION = 9
DISPLACED = "displaced"
"""The fact that says how far a row of ``search`` may be from where it belongs (`rows.wanted_row`)."""

_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE users (key INTEGER PRIMARY KEY, user_id TEXT NOT NULL UNIQUE);
CREATE TABLE results (
    id INTEGER PRIMARY KEY,
    job_id BLOB NOT NULL UNIQUE,
    search_row INTEGER NOT NULL UNIQUE,
    user INTEGER NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    mode TEXT NOT NULL,
    success INTEGER NOT NULL,
    started INTEGER NOT NULL,
    runtime REAL NOT NULL,
    size INTEGER NOT NULL,
    changed INTEGER NOT NULL
);
CREATE INDEX by_user ON results (user);
CREATE INDEX by_user_name ON results (user, name);
CREATE INDEX by_user_started ON results (user, started);
CREATE INDEX by_user_runtime ON results (user, runtime);
CREATE INDEX by_name ON results (name);
CREATE INDEX by_started ON results (started);
CREATE INDEX by_runtime ON results (runtime);
CREATE INDEX failures_by_user ON results (user) WHERE success = 0;
CREATE INDEX failures ON results (success) WHERE success = 0;
CREATE TABLE paces (first INTEGER PRIMARY KEY, search_row INTEGER NOT NULL, bits INTEGER NOT NULL);
CREATE TABLE orphans (search_row INTEGER PRIMARY KEY);
"""
_SEARCH = f"""
CREATE VIRTUAL TABLE search USING fts5 (words, content = '', columnsize = 0, detail = none, {TOKENIZER});
"""
_SETTINGS = """
INSERT INTO search (search, rank) VALUES ('hashsize', 16777216);
INSERT INTO search (search, rank) VALUES ('automerge', 8);
INSERT INTO search (search, rank) VALUES ('pgsz', 1000);
"""
SCHEMA = _TABLES + _SEARCH + _SETTINGS
"""`started` and `changed` (the file's modification time) are in microseconds and nanoseconds since 1970,
`size` is in bytes with the output kept beside the result.

``search`` holds which results have a word, and neither where nor the text (``writer``), which is in
the files: so it takes a sixth of English text. `search_row` is a result's row in it (`rows`, ``paces``), and
``orphans`` are the rows that it still has and ``results`` no more. Its settings have a whole transaction
written as one part, and eight parts merged at once, so that a word is written again seldom, and pages so
small that to look for one row in a long list is to read little:
https://www.sqlite.org/fts5.html#configuration_options
"""
