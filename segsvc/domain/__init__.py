"""The domain: segments and the rules about them. Pure: no I/O, no asyncio; clock and randomness come in as arguments."""
