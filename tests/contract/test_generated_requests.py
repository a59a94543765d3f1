"""Requests made of the OpenAPI document, valid and not, against the running service: each keeps to the other.

A few for each operation in the default run. CONTRACT_EXAMPLES says how many instead, and brings in what takes longer:
every boundary that the document draws, and workflows along its links, for at least CONTRACT_WORKFLOW_SECONDS.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase

from segsvc.index.query import RELEVANCE
from segsvc.web.openapi import build_document
from segsvc.web.openapi.examples import MINIMAL_BODY
from tests.contract.running import RunningService, running_service

if TYPE_CHECKING:
    from collections.abc import Iterator

KNOWN = "known-segment"
EXAMPLES = int(os.environ.get("CONTRACT_EXAMPLES", "0"))
WORKFLOW_SECONDS = float(os.environ.get("CONTRACT_WORKFLOW_SECONDS", "0"))

RELAXED = settings(deadline=None, database=None, derandomize=not EXAMPLES, suppress_health_check=list(HealthCheck))

CONFIG: dict[str, Any] = {
    # tokens that are wrong or missing are `ignored_auth`'s business
    "generation": {"max-examples": max(EXAMPLES, 3), "with-security-parameters": False},
    "checks": {
        # what is described as valid may still meet a segment that is not there, there already, changed, or another's
        "positive_data_acceptance": {"expected-statuses": ["200", "204", "304", "403", "404", "409", "412"]},
        "negative_data_rejection": {"expected-statuses": ["400", "404", "405", "412", "415"]},
    },
    "phases": {"coverage": {"enabled": EXAMPLES > 0}},
}


def schedules() -> st.SearchStrategy[str]:
    """Schedules that a Kubernetes CronJob accepts."""

    def field(low: int, high: int) -> st.SearchStrategy[str]:
        number = st.integers(low, high)
        span = st.tuples(number, number).map(lambda pair: "{}-{}".format(*sorted(pair)))
        step = st.builds("{}/{}".format, st.just("*") | span, st.integers(1, 59))
        return st.lists(st.just("*") | number.map(str) | span | step, min_size=1, max_size=3).map(",".join)

    fields = st.tuples(field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6)).map(" ".join)
    return fields | st.sampled_from(
        ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@every 1h30m"]
    )


schemathesis.openapi.format("kubernetes-cron", schedules())

api = schemathesis.openapi.from_dict(build_document(), config=schemathesis.Config.from_dict(CONFIG))


@schemathesis.hook
def before_call(_context: schemathesis.HookContext, case: schemathesis.Case[Any], _kwargs: dict[str, Any]) -> None:
    """Keep to what the descriptions say and JSON Schema cannot, and meet a segment that there is."""
    meta = case.meta  # an example of the document has none
    if str(case.query.get("minRevision", "")).isdigit():
        del case.query["minRevision"]  # a random one is from the future, and worth a wait and a 503
    if meta is not None and meta.phase.name is TestPhase.STATEFUL:
        _mean_it(case)
    elif meta is None or not meta.is_negative_at(ParameterLocation.PATH):
        _meet_known_segment(case)
    meta = case.meta  # looked at anew: what is taken out by now may have been all that was wrong
    if meta is None or meta.generation.mode.is_positive:
        _be_consistent(case)


def _meet_known_segment(case: schemathesis.Case[Any]) -> None:
    """Ask for a segment that there is, and leave it as it is."""
    if "id" not in case.path_parameters or case.method == "POST":
        return
    case.path_parameters["id"] = KNOWN
    if case.method in {"PUT", "DELETE"} and str(case.query.get("dryRun", "false")).lower() == "false":
        case.query["dryRun"] = "true"


def _mean_it(case: schemathesis.Case[Any]) -> None:
    """Have what is said to be there or gone be so, and be ours to change in later steps."""
    if str(case.query.get("dryRun", "")).lower() == "true":
        del case.query["dryRun"]
    body: Any = case.body
    if isinstance(body, dict):
        body.pop("roles", None)


def _be_consistent(case: schemathesis.Case[Any]) -> None:
    """Drop what contradicts other parts of a request, each of them valid."""
    if not case.headers.get("If-Match", "*").endswith(('"', "*")):
        del case.headers["If-Match"]  # the coverage phase finds no value for a header's pattern with quotes
    if case.query.get("sort") in RELEVANCE and not case.query.get("search", "").strip():
        del case.query["sort"]
    body: Any = case.body
    if isinstance(body, dict):
        if "id" in case.path_parameters or "id" in case.query:
            body.pop("id", None)
        cronjob = body["data"]["cronjob"]
        cronjob |= {name: int(value) for name, value in cronjob.items() if isinstance(value, float)}


def sent_to(service: RunningService) -> dict[str, Any]:
    """Where requests go, and an editor's token with each."""
    return {"base_url": service.url, "headers": {"Authorization": f"Bearer {service.token}"}}


@pytest.fixture(scope="module")
def sent() -> Iterator[dict[str, Any]]:
    """What goes to a service that has the known segment."""
    with running_service() as service:
        sent = sent_to(service)
        case = api["/segments/{id}"]["POST"].Case(path_parameters={"id": KNOWN}, body=MINIMAL_BODY)
        assert case.call(**sent).status_code == 200
        yield sent


@pytest.fixture
def empty_service() -> Iterator[RunningService]:
    with running_service() as service:
        yield service


@api.parametrize()
@settings(RELAXED)
def test_each_operation_keeps_to_its_description(case: schemathesis.Case[Any], sent: dict[str, Any]) -> None:
    case.call_and_validate(**sent)


@pytest.mark.skipif(not EXAMPLES, reason="takes its time: CONTRACT_EXAMPLES says how many")
@pytest.mark.timeout(300 + WORKFLOW_SECONDS)
def test_what_operations_lead_to_keeps_to_its_description(
    empty_service: RunningService, capsys: pytest.CaptureFixture[str]
) -> None:
    workflows = 0
    met: Counter[tuple[str, int]] = Counter()

    class Workflow(api.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            """Begin with nothing, so that a workflow that is tried again does what it did."""
            nonlocal workflows
            workflows += 1
            empty_service.clear()

        def get_call_kwargs(self, _case: schemathesis.Case[Any]) -> dict[str, Any]:
            return sent_to(empty_service)

        def after_call(self, response: schemathesis.Response, case: schemathesis.Case[Any]) -> None:
            super().after_call(response, case)
            name = case.operation.definition.raw["operationId"]
            exports = name == "getSegment" and str(case.query.get("export", "")).lower() == "true"
            met["exportSegment" if exports else name, response.status_code] += 1

    until = time.monotonic() + WORKFLOW_SECONDS
    while not workflows or time.monotonic() < until:
        Workflow.run(settings=settings(RELAXED, max_examples=EXAMPLES, stateful_step_count=8))

    with capsys.disabled():
        print(f"\n{workflows} workflows of {met.total()} requests:")
        for (name, status), count in sorted(met.items()):
            print(f"{name:24} {status} {count:6}")
    # a run that never changed what it created would prove nothing
    wanted = {("getSegment", 200), ("exportSegment", 200), ("replaceSegment", 200), ("deleteSegment", 204)}
    assert met.keys() >= wanted
