"""The OpenAPI document is valid, current, true to itself and to the code around it."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator, oas31_format_checker
from openapi_spec_validator import OpenAPIV31SpecValidator

from segsvc.domain.errors import InvalidParameters
from segsvc.domain.export import DATA_DEFAULTS
from segsvc.domain.ids import id_problem, is_subdomain
from segsvc.domain.schema import parse_body
from segsvc.web.openapi import build_document
from segsvc.web.openapi.patterns import NOT_BLANK
from tests.contract.application import bare_application

PUBLISHED = Path(__file__).parents[2] / "docs" / "openapi.json"
DOCUMENT = build_document()
METHODS = ("get", "head", "post", "put", "delete")
OPERATIONS = {
    operation["operationId"]: operation
    for path in DOCUMENT["paths"].values()
    for method, operation in path.items()
    if method in METHODS
}


def resolved(value: Any) -> Any:
    """Follow a reference within the document, if it is one."""
    while isinstance(value, dict) and "$ref" in value:
        target: Any = DOCUMENT
        for step in value["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        value = target
    return value


def validator(schema: Any) -> OAS31Validator:
    whole = {**schema, "components": DOCUMENT["components"]}
    return OAS31Validator(whole, format_checker=oas31_format_checker)


def examples() -> Iterator[Any]:
    """Every example in the document beside the schema that it must satisfy."""

    def walk(value: Any, path: str) -> Iterator[Any]:
        if isinstance(value, dict):
            schema = value.get("schema") if "schema" in value else value
            if "example" in value:
                yield pytest.param(schema, value["example"], id=f"{path}/example")
            if isinstance(value.get("examples"), dict):
                for name, example in value["examples"].items():
                    yield pytest.param(schema, example["value"], id=f"{path}/{name}")
            for key, inner in value.items():
                if key not in {"example", "examples", "properties"}:
                    yield from walk(inner, f"{path}/{key}")
            for name, inner in value.get("properties", {}).items():
                yield from walk(inner, f"{path}/{name}")
        elif isinstance(value, list):
            for position, inner in enumerate(value):
                yield from walk(inner, f"{path}/{position}")

    yield from walk(DOCUMENT, "")


def test_is_valid_openapi() -> None:
    errors = list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors())

    assert errors == []


def test_published_document_is_current() -> None:
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))

    assert published == DOCUMENT, "docs/openapi.json is out of date: python -m segsvc.web.openapi > docs/openapi.json"


def test_is_the_same_each_time() -> None:
    assert json.dumps(build_document()) == json.dumps(DOCUMENT)


@pytest.mark.parametrize(("schema", "example"), list(examples()))
def test_each_example_satisfies_its_schema(schema: Any, example: object) -> None:
    problems = [error.message for error in validator(schema).iter_errors(example)]

    assert problems == []


@pytest.mark.parametrize("operation_id", ["createSegment", "createSegmentWithId", "replaceSegment"])
def test_each_example_of_a_body_is_accepted(operation_id: str) -> None:
    examples = OPERATIONS[operation_id]["requestBody"]["content"]["application/json"]["examples"]

    assert {parse_body(example["value"]).display_name for example in examples.values()} == {"Demo Segment"}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_each_operation_explains_itself(operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["description"].endswith(".")
    assert operation["tags"]
    for parameter in map(resolved, operation["parameters"]):
        assert parameter["description"].endswith("."), parameter["name"]
    for status, response in operation["responses"].items():
        assert resolved(response)["description"].endswith("."), status


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_each_answer_has_a_trace_id_and_each_unavailability_a_time_to_come_back(operation: dict[str, Any]) -> None:
    for status, response in operation["responses"].items():
        named = resolved(response)["headers"]
        assert "X-Trace-Id" in named, status
        assert ("Retry-After" in named) == (status == "503"), status


def test_a_head_answers_what_the_get_does_without_bodies() -> None:
    for path in DOCUMENT["paths"].values():
        get, head = path["get"], path["head"]
        assert head["parameters"] == get["parameters"]
        assert head["responses"].keys() == get["responses"].keys()
        assert all("content" not in resolved(response) for response in head["responses"].values())


def test_links_name_operations_and_parameters_that_there_are() -> None:
    links = [
        link
        for operation in OPERATIONS.values()
        for response in operation["responses"].values()
        for link in resolved(response).get("links", {}).values()
    ]

    assert links
    for link in links:
        target = OPERATIONS[link["operationId"]]
        names = {(parameter["in"], parameter["name"]) for parameter in map(resolved, target["parameters"])}
        assert {("path", "id")} <= names
        assert set(link["parameters"]) <= {"id"} | {f"{where}.{name}" for where, name in names}


def test_every_route_of_the_application_is_described_and_no_other() -> None:
    described = {
        (method.upper(), path)
        for path, operations in DOCUMENT["paths"].items()
        for method in operations
        if method in METHODS
    }

    routes = bare_application().router.routes()
    assert described == {(route.method, route.resource.canonical) for route in routes if route.resource is not None}


@pytest.mark.parametrize("name", ["demo-segment-95he0", "a.b", "abcd", "a" * 134, "-a", "a..b", "A", "a/b", "ab", "ü"])
def test_ids_are_described_as_they_are_checked(name: str) -> None:
    new_id, any_id = (
        resolved(OPERATIONS[name_]["parameters"][0])["schema"] for name_ in ("createSegmentWithId", "getSegment")
    )

    assert validator(new_id).is_valid(name) == (id_problem(name) is None)
    assert validator(any_id).is_valid(name) == is_subdomain(name)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"cronjob": {}},
        {"cronjob": {"schedule": " "}},
        {"cronjob": {"schedule": 1}},
        {"cronjob": {"schedule": "@daily", "failedJobsHistoryLimit": -1}},
        {"cronjob": {"schedule": "@daily", "failedJobsHistoryLimit": 2**31}},
        {"cronjob": {"schedule": "@daily", "failedJobsHistoryLimit": True}},
        {"cronjob": {"schedule": "@daily", "concurrencyPolicy": "allow"}},
        {"cronjob": {"schedule": "@daily"}, "env": {"1A": "x"}},
        {"cronjob": {"schedule": "@daily"}, "env": {"A": 1}},
        {"cronjob": {"schedule": "@daily"}, "env": {"TYPE": "x"}},
        {"cronjob": {"schedule": "@daily"}, "env": {"DB_TYPE": "x"}},
        {"cronjob": {"schedule": "@daily"}, "env": None},
        {"cronjob": {"schedule": "@daily"}, "envFromSecrets": {"A": {"secret": "x"}}},
        {"cronjob": {"schedule": "@daily"}, "envFromSecrets": {"A": "x"}},
        {"cronjob": {"schedule": "@daily"}, "envFromSecrets": {}, "envFromSecretes": {}},
        {"cronjob": {"schedule": "@daily"}, "image": {"pullPolicy": "x"}},
        {"cronjob": {"schedule": "@daily"}, "image": {"name": "x"}},
        {"cronjob": {"schedule": "@daily"}, "evn": {}},
    ],
    ids=json.dumps,
)
def test_what_the_description_of_data_refuses_the_service_refuses(data: object) -> None:
    body = {"metadata": {"displayName": "x"}, "data": data}
    schema = {"$ref": "#/components/schemas/SegmentBody"}

    assert not validator(schema).is_valid(body)
    with pytest.raises(InvalidParameters):
        parse_body(body)


def test_the_older_spelling_of_secrets_is_described() -> None:
    body = {
        "metadata": {"displayName": "x"},
        "data": {"cronjob": {"schedule": "@daily"}, "envFromSecretes": {"A": {"secret": "s", "key": "k"}}},
    }

    assert validator({"$ref": "#/components/schemas/SegmentBody"}).is_valid(body)
    assert "envFromSecrets" in parse_body(body).data


def test_blank_texts_are_described_as_they_are_checked() -> None:
    every = "".join(map(chr, range(sys.maxunicode + 1)))

    assert re.sub(NOT_BLANK, "", every) == "".join(character for character in every if not character.strip())


def test_every_default_is_told() -> None:
    told = DOCUMENT["info"]["description"]

    for part, members in DATA_DEFAULTS.items():
        for name in members:
            assert f"`{part}.{name}`" in told


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    text = json.dumps(DOCUMENT)
    used = {tuple(reference.split("/")) for reference in re.findall(r'"#/components/([^"]+)"', text)}
    there = {
        (kind, name)
        for kind, components in DOCUMENT["components"].items()
        if kind != "securitySchemes"
        for name in components
    }

    assert used <= there
    # no operation answers 405: it is what a method without an operation gets
    assert there - used == {("responses", "MethodNotAllowed")}
