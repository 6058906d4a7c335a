"""The tables of the results index. A result's `id` is its place in the order of completion.

Ids are never given a second time: what a deleted result left in ``search`` would be taken for another's.
"""

from __future__ import annotations

VERSION = 5

SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE users (key INTEGER PRIMARY KEY, user_id TEXT NOT NULL UNIQUE);
CREATE TABLE results (
    id INTEGER PRIMARY KEY,
    job_id BLOB NOT NULL UNIQUE,
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
CREATE TABLE orphans (id INTEGER PRIMARY KEY);
CREATE VIRTUAL TABLE search USING fts5 (
    owner, name, command, output,
    content = '', columnsize = 0,
    tokenize = "unicode61 remove_diacritics 2 categories 'L* N* Co Mn Mc' tokenchars '_'"
);
"""
"""`started` and `changed` (the file's modification time) are in microseconds and nanoseconds since 1970,
`size` is in bytes with the output kept beside the result. In ``search`` a result's rowid is its id negated:
FTS5 walks upwards in half the time that it takes to walk down, and mostly the latest are asked for.
``orphans`` are the ids that ``search`` still has and ``results`` no more. Its texts are those that
``pairs.indexed`` gives; marks (M) are parts of words, as Thai and Hindi words would fall apart at them."""
