"""The in-memory index. Synchronous, and without locks, because nothing in it awaits: no reader sees half a change."""
