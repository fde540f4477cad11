"""The tables of the scheduler's database, and the way there from those of earlier versions."""

import sqlite3
import time
from pathlib import Path
from typing import Final

SCHEMA_VERSION: Final = 3
_MODELS: Final = """
CREATE TABLE IF NOT EXISTS model (name TEXT PRIMARY KEY, deleted_at REAL);
CREATE TABLE IF NOT EXISTS version (
    model TEXT NOT NULL REFERENCES model ON DELETE CASCADE, number INTEGER NOT NULL,
    definition BLOB NOT NULL, created REAL NOT NULL, server TEXT, runtime_info BLOB,
    PRIMARY KEY (model, number)
);
CREATE TABLE IF NOT EXISTS server (
    name TEXT PRIMARY KEY, shared INTEGER NOT NULL, expected INTEGER NOT NULL,
    minimum INTEGER NOT NULL, maximum INTEGER NOT NULL, kubernetes_meta BLOB
);
CREATE TABLE IF NOT EXISTS replica (
    server TEXT NOT NULL REFERENCES server ON DELETE CASCADE, replica INTEGER NOT NULL,
    PRIMARY KEY (server, replica)
);
"""
_PIPELINES: Final = """
ALTER TABLE model ADD COLUMN at_gateways INTEGER NOT NULL DEFAULT 0;
CREATE TABLE pipeline (
    name TEXT PRIMARY KEY, deleted_at REAL, at_gateways INTEGER NOT NULL, gateways TEXT NOT NULL
);
CREATE TABLE pipeline_version (
    pipeline TEXT NOT NULL REFERENCES pipeline ON DELETE CASCADE, uid TEXT NOT NULL, position INTEGER NOT NULL,
    definition BLOB NOT NULL, created REAL NOT NULL,
    generation INTEGER NOT NULL, superseded INTEGER NOT NULL, at_engines INTEGER NOT NULL,
    PRIMARY KEY (pipeline, position)
);
CREATE TABLE member (kind TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (kind, name));
"""
_ORIGIN: Final = """
CREATE TABLE origin (created REAL NOT NULL);
"""
_STEPS: Final = (_MODELS, _PIPELINES, _ORIGIN)
"""What each version added to the one before."""
_WITH_ORIGIN: Final = 3


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring the tables up to date, all or nothing. Raises RuntimeError for a database from the future."""
    (found,) = db.execute("PRAGMA user_version").fetchone()
    if not 0 <= found <= SCHEMA_VERSION:
        raise RuntimeError(f"{path} was written by another version (schema {found}, this one has {SCHEMA_VERSION})")
    if found == SCHEMA_VERSION:
        return
    steps = "".join(_STEPS[found:])
    # Of one that is older than this table it is only known that it was not made just now.
    if found < _WITH_ORIGIN:
        steps += f"INSERT INTO origin VALUES ({time.time() if found == 0 else 0.0!r});"
    try:
        db.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
