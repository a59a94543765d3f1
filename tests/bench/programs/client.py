"""What the programs share that call a cluster themselves: their options, and a session that carries its credentials."""

import argparse
import ssl

import aiohttp


def add_options(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Let a program be told of a cluster's collection; see `tests.bench.environment.Surroundings.arguments`."""
    parser.add_argument("--cluster", required=required, help="URL of the collection")
    parser.add_argument("--token")
    parser.add_argument("--ca-file")


def session(options: argparse.Namespace) -> aiohttp.ClientSession:
    """Return a session for the cluster that the options name."""
    context = ssl.create_default_context(cafile=options.ca_file) if options.ca_file else True
    # a compressed list takes the API server many times as long
    headers = {"Accept-Encoding": "identity"}
    if options.token:
        headers["Authorization"] = f"Bearer {options.token}"
    return aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(ssl=context))
