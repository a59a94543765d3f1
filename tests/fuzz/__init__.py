"""Fuzzing of what reads bytes from outside: `python -m tests.fuzz` (see its `--help`).

A target takes any bytes and returns, or raises for a fault. The files in ``corpus/TARGET`` are seeds, and every input
that ever found something: the fuzzer begins with them, and the default test run tries each. What the fuzzer finds is
written to ``build/fuzz/TARGET``; mended, it goes into the corpus under a name that says what it is.
"""
