"""Benchmarks: how fast the service is, as ratios to a reference measured in the same run.

``tox run -e bench`` (or ``python -m tests.bench``) runs them, prints a table and writes build/bench.json. They need
Linux, two cores and wrk, and KUBEBUILDER_ASSETS for the half of them that runs in front of a real API server. A figure
in requests per second says something about a machine; a ratio to a bare aiohttp handler, measured in turns with the
service on the same core, says something about the service.

What is measured runs on the first core; whatever puts load on it or stands around it, on the second.
To add a measurement: write a function from `Bench` to `Result` and name it in ``__main__``.
"""
