"""The domain: segments and the rules about them. Pure: no I/O, no asyncio; clock and randomness are passed in."""
