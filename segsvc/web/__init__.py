"""The HTTP layer: parse, call the service, render."""
