"""What the server makes of a body: decoding, field validation, pruning, defaults, schema and metadata rules."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.client import API_VERSION, GROUP, Api, widget

SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
NAME_PART = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
LABEL_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
BLOCKING = {
    "FieldValueNotSupported",
    "FieldValueRequired",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
}
UNCHECKED = (
    "<nil>",
    "FieldValueInvalid",
    (
        "Invalid value: null: some validation rules were not checked because the object was invalid; correct the "
        "existing errors to complete validation"
    ),
)
INVALID, MISTYPED, REQUIRED = "FieldValueInvalid", "FieldValueTypeInvalid", "FieldValueRequired"


def _with_unchecked(causes: set[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
    """Add the cause that says that the schema's CEL rules were left alone, where they were."""
    return causes | ({UNCHECKED} if any(reason in BLOCKING for _, reason, _ in causes) else set())


@pytest.mark.parametrize(
    ("spec", "causes"),
    [
        (
            {"size": "x"},
            {("spec.size", MISTYPED, 'Invalid value: "string": spec.size in body must be of type integer: "string"')},
        ),
        (
            {"size": 1.5},
            {
                ("spec.size", MISTYPED, 'Invalid value: "number": spec.size in body must be of type integer: "number"'),
                (
                    "<nil>",
                    INVALID,
                    'Invalid value: "": Checked value must be of type integer (default format) in spec.size',
                ),
            },
        ),
        ({"mode": "fast"}, {("spec.size", REQUIRED, "Required value")}),
        ({"size": None}, {("spec.size", REQUIRED, "Required value")}),
        (
            {"size": -1},
            {("spec.size", INVALID, "Invalid value: -1: spec.size in body should be greater than or equal to 0")},
        ),
        (
            {"size": 2000},
            {("spec.size", INVALID, "Invalid value: 2000: spec.size in body should be less than or equal to 1000")},
        ),
        (
            {"size": 1, "mode": "no"},
            {("spec.mode", "FieldValueNotSupported", 'Unsupported value: "no": supported values: "fast", "slow"')},
        ),
        (
            {"size": 1, "label": ""},
            {("spec.label", INVALID, 'Invalid value: "": spec.label in body should be at least 1 chars long')},
        ),
        (
            {"size": 1, "label": "abcdefghijk"},
            {("spec.label", "FieldValueTooLong", "Too long: may not be more than 10 bytes")},
        ),
        (
            {"size": 1, "label": "ABC"},
            {("spec.label", INVALID, "Invalid value: \"ABC\": spec.label in body should match '^[a-z]*$'")},
        ),
        (
            {"size": 1, "label": "abc\n"},
            {("spec.label", INVALID, "Invalid value: \"abc\\n\": spec.label in body should match '^[a-z]*$'")},
        ),
        (
            {"size": 1, "tags": ["a", "b", "c", "d"]},
            {("spec.tags", "FieldValueTooMany", "Too many: 4: must have at most 3 items")},
        ),
        (
            {"size": 1, "tags": []},
            {("spec.tags", INVALID, "Invalid value: 0: spec.tags in body should have at least 1 items")},
        ),
        (
            {"size": 1, "tags": ["a", None]},
            {("spec.tags[1]", MISTYPED, 'Invalid value: "null": spec.tags[1] in body must be of type string: "null"')},
        ),
        (
            {"size": 1, "env": {"A": 1}},
            {
                (
                    "spec.env.A",
                    MISTYPED,
                    'Invalid value: "integer": spec.env.A in body must be of type string: "integer"',
                )
            },
        ),
        (
            {"size": 1, "env": {"A": "", "B": "", "C": "", "D": ""}},
            {("spec.env", "FieldValueTooMany", "Too many: 4: must have at most 3 items")},
        ),
        (
            {"size": 1, "env": []},
            {("spec.env", MISTYPED, 'Invalid value: "array": spec.env in body must be of type object: "array"')},
        ),
        (
            {"size": 1, "port": True},
            {
                (
                    "spec.port",
                    MISTYPED,
                    'Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"',
                )
            },
        ),
        (
            {"size": 1, "ratio": 0.3},
            {("spec.ratio", INVALID, "Invalid value: 0.3: spec.ratio in body should be a multiple of 0.5")},
        ),
        (
            {"size": 1, "when": "yesterday"},
            {
                (
                    "spec.when",
                    MISTYPED,
                    'Invalid value: "yesterday": spec.when in body must be of type date-time: "yesterday"',
                )
            },
        ),
        ({"size": 1, "keys": ["a", "b", "a"]}, {("spec.keys[2]", "FieldValueDuplicate", 'Duplicate value: "a"')}),
        (
            {"size": 1, "limits": {"low": 2, "high": 1}},
            {("spec.limits", INVALID, "Invalid value: low is above high")},
        ),
        ({"size": 1, "word": "no"}, {("spec.word", INVALID, "Invalid value: \"no\": failed rule: self != 'no'")}),
        (
            {"size": 1, "either": 5},
            {
                ("<nil>", INVALID, 'Invalid value: "": "spec.either" must validate at least one schema (anyOf)'),
                ("spec.either", INVALID, "Invalid value: 5: spec.either in body should be less than or equal to 3"),
            },
        ),
        (
            {"size": 1, "one": 5},
            {
                (
                    "<nil>",
                    INVALID,
                    (
                        'Invalid value: "": "spec.one" must validate one and only one schema (oneOf). '
                        "Found 2 valid alternatives"
                    ),
                )
            },
        ),
        (
            {"size": 1, "never": 13},
            {("<nil>", INVALID, 'Invalid value: "": "spec.never" must not validate the schema (not)')},
        ),
        (
            {"size": 1, "all": 9},
            {
                ("<nil>", INVALID, 'Invalid value: "": "spec.all" must validate all the schemas (allOf)'),
                ("spec.all", INVALID, "Invalid value: 9: spec.all in body should be less than or equal to 7"),
            },
        ),
        (
            {"size": 1, "limits": {"low": 2, "high": 1}, "label": "ABC"},
            {
                ("spec.limits", INVALID, "Invalid value: low is above high"),
                ("spec.label", INVALID, "Invalid value: \"ABC\": spec.label in body should match '^[a-z]*$'"),
            },
        ),
        ({"size": 1, "nested": {}}, {("spec.nested.a", REQUIRED, "Required value")}),
        (
            {"size": -1, "nested": {}, "on": "x"},
            {
                ("spec.size", INVALID, "Invalid value: -1: spec.size in body should be greater than or equal to 0"),
                ("spec.nested.a", REQUIRED, "Required value"),
                ("spec.on", MISTYPED, 'Invalid value: "string": spec.on in body must be of type boolean: "string"'),
            },
        ),
    ],
)
async def test_the_schema_is_enforced(cluster: Api, spec: dict[str, Any], causes: set[tuple[str, str, str]]) -> None:
    answer = await cluster.request("POST", cluster.widgets, widget("w", spec))
    assert (answer.status, answer.body["reason"]) == (422, "Invalid"), answer.body
    assert answer.causes == _with_unchecked(causes)
    assert {key: answer.body["details"][key] for key in ("name", "group", "kind")} == {
        "name": "w",
        "group": GROUP,
        "kind": "Widget",
    }
    if len(answer.causes) == 1:
        ((field, _, message),) = causes
        assert answer.body["message"] == f'Widget.{GROUP} "w" is invalid: {field}: {message}'


async def test_valid_values_of_every_type_are_kept(cluster: Api) -> None:
    spec = {
        "size": 0,
        "mode": "slow",
        "label": "abc",
        "colour": "blue",
        "tags": ["a"],
        "env": {"A": ""},
        "nick": "x",
        "port": "http",
        "free": {"x": [1, {"y": None}]},
        "on": False,
        "when": "2020-03-18T18:08:31.850Z",
        "nested": {"a": "", "b": 0},
    }
    assert (await cluster.create("w", spec))["spec"] == spec
    assert (await cluster.create("w2", {"size": 1, "port": 80}))["spec"]["port"] == 80


async def test_nulls_vanish_become_defaults_or_stay(cluster: Api) -> None:
    spec = {"size": 1, "colour": None, "nick": None, "env": {"A": None, "B": "x"}, "mode": None, "nested": None}
    answer = await cluster.request("POST", cluster.widgets, widget("w", spec), params={"fieldValidation": "Strict"})
    assert answer.status == 201
    assert answer.body["spec"] == {"size": 1, "colour": "red", "nick": None, "env": {"B": "x"}}


async def test_whole_numbers_with_a_fraction_are_integers(cluster: Api) -> None:
    body = b'{"apiVersion":"%s","kind":"Widget","metadata":{"name":"w"},"spec":{"size":2.0}}' % API_VERSION.encode()
    assert (await cluster.request("POST", cluster.widgets, body)).body["spec"]["size"] == 2


async def test_a_strict_write_refuses_unknown_and_repeated_fields(cluster: Api) -> None:
    body = (
        b'{"apiVersion":"%s","kind":"Widget","metadata":{"name":"w","xyz":1},"top":1,'
        b'"spec":{"size":1,"size":2,"foo":1,"nested":{"a":"x","c":1}}}' % API_VERSION.encode()
    )
    answer = await cluster.request("POST", cluster.widgets, body, params={"fieldValidation": "Strict"})
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
    assert answer.body["message"] == (
        'Widget in version "v1" cannot be handled as a Widget: strict decoding error: duplicate field "spec.size", '
        'unknown field "metadata.xyz", unknown field "spec.foo", unknown field "spec.nested.c", unknown field "top"'
    )


@pytest.mark.parametrize("query", [{}, {"fieldValidation": "Warn"}])
async def test_by_default_unknown_fields_are_pruned_with_a_warning(cluster: Api, query: dict[str, str]) -> None:
    spec = {"size": 1, "foo": 1, "nested": {"a": "x", "c": 1}}
    answer = await cluster.request("POST", cluster.widgets, widget("w", spec), params=query)
    assert answer.status == 201
    assert answer.body["spec"] == {"size": 1, "colour": "red", "nested": {"a": "x", "b": 3}}
    assert answer.warnings == ['299 - "unknown field \\"spec.foo\\""', '299 - "unknown field \\"spec.nested.c\\""']


async def test_unknown_fields_can_be_pruned_in_silence(cluster: Api) -> None:
    body = widget("w", {"size": 1, "foo": 1})
    answer = await cluster.request("POST", cluster.widgets, body, params={"fieldValidation": "Ignore"})
    assert (answer.status, answer.warnings, answer.body["spec"]) == (201, [], {"size": 1, "colour": "red"})


async def test_there_is_no_other_field_validation(cluster: Api) -> None:
    answer = await cluster.request("POST", cluster.widgets, widget("w"), params={"fieldValidation": "Bogus"})
    message = 'Unsupported value: "Bogus": supported values: "", "Ignore", "Strict", "Warn"'
    assert answer.status == 422
    assert answer.causes == {("fieldValidation", "FieldValueNotSupported", message)}


@pytest.mark.parametrize(
    ("metadata", "causes"),
    [
        ({"name": "Bad_Name"}, {("metadata.name", INVALID, f'Invalid value: "Bad_Name": {SUBDOMAIN}')}),
        ({"name": ""}, {("metadata.name", REQUIRED, "Required value: name or generateName is required")}),
        ({"labels": {"Bad Key!": "x"}}, {("metadata.labels", INVALID, f'Invalid value: "Bad Key!": {NAME_PART}')}),
        (
            {"labels": {"k": "bad value!"}},
            {("metadata.labels", INVALID, f'Invalid value: "bad value!": {LABEL_VALUE}')},
        ),
        (
            {"labels": {"k": "x" * 64}},
            {("metadata.labels", INVALID, f'Invalid value: "{"x" * 64}": must be no more than 63 bytes')},
        ),
        (
            {"annotations": {"bad key": "x"}},
            {("metadata.annotations", INVALID, f'Invalid value: "bad key": {NAME_PART}')},
        ),
        (
            {"annotations": {"a": "x" * 262_144}},
            {("metadata.annotations", "FieldValueTooLong", "Too long: may not be more than 262144 bytes")},
        ),
        (
            {"finalizers": ["bad one/x y"]},
            {
                ("metadata.finalizers", INVALID, f'Invalid value: "bad one/x y": prefix part {SUBDOMAIN}'),
                ("metadata.finalizers", INVALID, f'Invalid value: "bad one/x y": {NAME_PART}'),
            },
        ),
        (
            {"ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "y"}]},
            {("metadata.ownerReferences.uid", INVALID, 'Invalid value: "": must not be empty')},
        ),
    ],
)
async def test_metadata_is_validated(cluster: Api, metadata: dict[str, Any], causes: set[tuple[str, str, str]]) -> None:
    answer = await cluster.request("POST", cluster.widgets, widget(**{"name": "w", **metadata}))
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    assert answer.causes == _with_unchecked(causes)


async def test_a_name_may_have_253_characters(cluster: Api) -> None:
    await cluster.create("x" * 253)
    answer = await cluster.request("POST", cluster.widgets, widget("x" * 254))
    message = f'Invalid value: "{"x" * 254}": must be no more than 253 characters'
    assert answer.causes == {("metadata.name", INVALID, message)}


async def test_null_labels_and_annotations_become_empty(cluster: Api) -> None:
    created = await cluster.create("w", labels={"k": None}, annotations={"a": None, "UPPER.example.com/Key": "x"})
    assert created["metadata"]["labels"] == {"k": ""}
    assert created["metadata"]["annotations"] == {"a": "", "UPPER.example.com/Key": "x"}


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"labels": {"k": 1}}, "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string"),
        (
            {"annotations": ["a"]},
            "json: cannot unmarshal array into Go struct field ObjectMeta.annotations of type map[string]string",
        ),
        ({"name": 5}, "json: cannot unmarshal number into Go struct field ObjectMeta.name of type string"),
        (
            {"creationTimestamp": "x"},
            'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"',
        ),
    ],
)
async def test_metadata_of_the_wrong_type_is_a_bad_request(cluster: Api, metadata: dict[str, Any], why: str) -> None:
    answer = await cluster.request("POST", cluster.widgets, widget(**{"name": "w", **metadata}))
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
    assert answer.body["message"] == f'Widget in version "v1" cannot be handled as a Widget: {why}'


async def test_a_finalizer_without_a_domain_gets_a_warning(cluster: Api) -> None:
    answer = await cluster.request("POST", cluster.widgets, widget("w", finalizers=["plain"]))
    assert answer.status == 201
    (warning,) = answer.warnings
    assert "prefer a domain-qualified finalizer name" in warning


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "couldn't get version/kind; json parse error: unexpected end of JSON input ({)"),
        (b"", "couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)"),
        (b"null", "Object 'Kind' is missing in 'null' (6e756c6c)"),
        (b"{}", "Object 'Kind' is missing in '{}' ({})"),
    ],
)
async def test_a_body_that_is_no_object_is_a_bad_request(cluster: Api, body: bytes, message: str) -> None:
    answer = await cluster.request("POST", cluster.widgets, body)
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
    assert answer.body["message"] == f"the object provided is unrecognized (must be of type Widget): {message}"


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"12"])
async def test_json_that_is_no_object_is_a_bad_request(cluster: Api, body: bytes) -> None:
    answer = await cluster.request("POST", cluster.widgets, body)
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
    assert "json: cannot unmarshal" in answer.body["message"]


async def test_a_body_must_be_of_the_collection_s_type(cluster: Api) -> None:
    kind = await cluster.request("POST", cluster.widgets, {**widget("w"), "kind": "Gadget"})
    assert (kind.status, kind.causes) == (422, {("kind", INVALID, 'Invalid value: "Gadget": must be Widget')})
    version = await cluster.request("POST", cluster.widgets, {**widget("w"), "apiVersion": "other/v1"})
    assert version.status == 400
    assert version.body["message"] == (
        f"the API version in the data (other/v1) does not match the expected API version ({API_VERSION})"
    )


async def test_a_body_must_be_json(cluster: Api) -> None:
    answer = await cluster.request("POST", cluster.widgets, widget("w"), content_type="text/plain")
    assert (answer.status, answer.body["reason"]) == (415, "UnsupportedMediaType")


async def test_an_object_must_belong_to_the_namespace_of_the_path(cluster: Api) -> None:
    answer = await cluster.request("POST", cluster.widgets, widget("w", namespace="other"))
    assert answer.status == 400
    assert answer.body["message"] == (
        "the namespace of the provided object does not match the namespace sent on the request"
    )


async def test_text_that_is_no_unicode_is_mended(cluster: Api) -> None:
    start = b'{"apiVersion":"%s","kind":"Widget","metadata":{"name":"' % API_VERSION.encode()
    escaped = await cluster.request("POST", cluster.widgets, start + b'a"},"spec":{"size":1,"blob":"a\\ud800b"}}')
    assert escaped.body["spec"]["blob"] == "a\ufffdb"
    raw = await cluster.request("POST", cluster.widgets, start + b'b"},"spec":{"size":1,"blob":"a\xffb"}}')
    assert raw.body["spec"]["blob"] == "a\ufffdb"


async def test_sizes_are_limited_by_etcd_and_by_the_server(cluster: Api) -> None:
    assert (
        await cluster.request("POST", cluster.widgets, widget("a", {"size": 1, "blob": "x" * 1_560_000}))
    ).status == 201
    etcd = await cluster.request("POST", cluster.widgets, widget("b", {"size": 1, "blob": "x" * 1_600_000}))
    assert (etcd.status, etcd.body["message"]) == (500, "etcdserver: request is too large")
    assert (await cluster.get(f"{cluster.widgets}/b")).status == 404
    server = await cluster.request("POST", cluster.widgets, widget("c", {"size": 1, "blob": "x" * 3_200_000}))
    assert (server.status, server.body["reason"]) == (413, "RequestEntityTooLarge")
    assert server.body["message"] == "Request entity too large: limit is 3145728"
