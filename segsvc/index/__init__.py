"""The in-memory index: one writer, many readers, synchronous, no locks because nothing in it awaits."""
