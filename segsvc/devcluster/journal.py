"""The SQLite journal: the store's objects, revision and history in one file.

Invariant: one transaction per commit of the store, synced to disk before it returns, so a process that is
killed at any moment leaves the state after some whole write. The file belongs to one process at a time; it
is recognised by its application_id, and a file that is anything else is left untouched.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from segsvc.devcluster.store import Event, Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_APPLICATION_ID = 0x5E65DC01
_FORMAT = 1
_TABLES = """
CREATE TABLE objects (
    collection TEXT NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (collection, key)
) WITHOUT ROWID;
CREATE TABLE events (
    revision INTEGER PRIMARY KEY, collection TEXT NOT NULL, key TEXT NOT NULL,
    body BLOB NOT NULL, previous BLOB, deleted INTEGER NOT NULL
);
CREATE TABLE revision (newest INTEGER NOT NULL);
INSERT INTO revision VALUES (1);
"""


class JournalError(Exception):
    """The file cannot be used; the message says why and names it."""


class SqliteJournal:
    """A journal in the file at `path`, which is created when it is not there."""

    def __init__(self, path: Path) -> None:
        """Open the file and lock it for this process. Raises JournalError when that cannot be done."""
        try:
            self._connection = sqlite3.connect(path, timeout=0, isolation_level=None)
        except sqlite3.Error as error:
            raise JournalError(f"{path} cannot be opened: {error}") from error
        try:
            self._claim(path)
        except sqlite3.DatabaseError as error:
            self._connection.close()
            if error.sqlite_errorcode in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                raise JournalError(f"{path} is in use by another process") from error
            if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                raise JournalError(f"{path} is not a database of the embedded cluster") from error
            raise JournalError(f"{path} cannot be used: {error}") from error
        except JournalError:
            self._connection.close()
            raise

    def load(self) -> Snapshot:
        """Return what earlier processes have left."""
        query = self._connection.execute
        events = query("SELECT revision, collection, key, body, previous, deleted FROM events ORDER BY revision")
        return Snapshot(
            revision=query("SELECT newest FROM revision").fetchone()[0],
            objects=query("SELECT collection, key, body FROM objects").fetchall(),
            events=[
                Event(revision, collection, key, body, previous, bool(deleted))
                for revision, collection, key, body, previous, deleted in events
            ],
        )

    def append(self, events: Sequence[Event], *, compacted: int) -> None:
        """Keep `events` in one transaction, and forget events up to and including revision `compacted`.

        Raises sqlite3.Error, with nothing written, when the disk does not take them.
        """
        self._connection.execute("BEGIN")
        try:
            # Objects in order of their writes: a later event of the same key must win.
            for event in events:
                if event.deleted:
                    self._connection.execute(
                        "DELETE FROM objects WHERE collection = ? AND key = ?", (event.collection, event.key)
                    )
                else:
                    self._connection.execute(
                        "INSERT OR REPLACE INTO objects VALUES (?, ?, ?)",
                        (event.collection, event.key, event.body),
                    )
            self._connection.executemany(
                "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (e.revision, e.collection, e.key, e.body, e.previous, e.deleted)
                    for e in events
                    if e.revision > compacted
                ],
            )
            self._connection.execute("DELETE FROM events WHERE revision <= ?", (compacted,))
            self._connection.execute("UPDATE revision SET newest = ?", (events[-1].revision,))
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def _claim(self, path: Path) -> None:
        query = self._connection.execute
        # The exclusive lock is taken by the first access and held until close.
        query("PRAGMA locking_mode = EXCLUSIVE")
        query("BEGIN EXCLUSIVE")
        known = query("PRAGMA application_id").fetchone()[0]
        empty = query("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
        if known != _APPLICATION_ID and not (known == 0 and empty):
            raise JournalError(f"{path} is not a database of the embedded cluster")
        if empty:
            for statement in _TABLES.split(";\n"):
                query(statement)
            query(f"PRAGMA application_id = {_APPLICATION_ID}")
            query(f"PRAGMA user_version = {_FORMAT}")
        found = query("PRAGMA user_version").fetchone()[0]
        query("COMMIT")
        if found != _FORMAT:
            raise JournalError(f"{path} has format {found}, and this version reads only {_FORMAT}")
        query("PRAGMA journal_mode = WAL")
        query("PRAGMA synchronous = FULL")
