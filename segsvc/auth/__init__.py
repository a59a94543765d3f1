"""Bearer tokens: from a header's value to a principal."""
