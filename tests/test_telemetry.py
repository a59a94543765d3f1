"""Logs without secrets, and trace ids."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from segsvc.telemetry import LOG_FORMATS, trace_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

FAILING = """
import logging, sys, structlog
from segsvc.telemetry import configure_logging

configure_logging("info", sys.argv[1])

def fail(password):
    if password:
        raise ValueError("it did not work")

try:
    fail(sys.argv[2])
except ValueError as error:
    structlog.get_logger().error("own", exc_info=error)
    logging.getLogger("library").exception("foreign")
"""


@pytest.mark.parametrize("format_", LOG_FORMATS)
def test_a_traceback_tells_where_and_what_but_no_variables(format_: str) -> None:
    # a process of its own: logging is set up once for all of it
    ended = subprocess.run(
        [sys.executable, "-c", FAILING, format_, "a-secret-value"], check=True, capture_output=True, text=True
    )
    said = ended.stderr
    assert "own" in said
    assert "foreign" in said
    assert said.count("it did not work") == 2
    assert "fail" in said
    assert "a-secret-value" not in said
    if format_ == "json":
        assert [json.loads(line)["exception"][0]["exc_type"] for line in said.splitlines()] == ["ValueError"] * 2


class TestTraceIds:
    """https://www.w3.org/TR/trace-context/#versioning-of-traceparent."""

    @pytest.mark.parametrize(
        "traceparent",
        [
            f"00-{TRACE}-00f067aa0ba902b7-01",
            f"01-{TRACE}-00f067aa0ba902b7-01",
            f"01-{TRACE}-00f067aa0ba902b7-01-what-the-future-will-be-like",
            f"cc-{TRACE}-00f067aa0ba902b7-01-",
        ],
    )
    def test_a_valid_one_is_taken(self, traceparent: str) -> None:
        assert trace_id(traceparent) == TRACE

    @pytest.mark.parametrize(
        "traceparent",
        [
            f"00-{TRACE}-00f067aa0ba902b7-01-what-the-future-will-be-like",
            f"00-{TRACE}-00f067aa0ba902b7-01-",
            f"00-{TRACE}-00f067aa0ba902b7-01.",
            f"01-{TRACE}-00f067aa0ba902b7-01.what",
            f"ff-{TRACE}-00f067aa0ba902b7-01",
        ],
    )
    def test_one_that_is_not_is_replaced(self, traceparent: str) -> None:
        assert re.fullmatch("[0-9a-f]{32}", trace_id(traceparent))
        assert trace_id(traceparent) != TRACE
