"""From marshmallow schemas to JSON Schema, with what apispec cannot know: our own fields, which objects are strict."""

from collections.abc import Mapping
from inspect import cleandoc, getdoc
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema, fields

from segsvc.domain.ids import MAX_LENGTH, MIN_LENGTH, SUBDOMAIN_MAX_LENGTH
from segsvc.domain.ordinary import ENV_NAME, MAX_HISTORY_LIMIT
from segsvc.domain.schema import (
    BodySchema,
    CronjobSchema,
    DataSchema,
    EnvMap,
    ImageSchema,
    MetadataSchema,
    RolesSchema,
    SecretKeySchema,
    StrictSchema,
    Text,
    Texts,
    WholeNumber,
)
from segsvc.web.openapi import schemas
from segsvc.web.openapi.patterns import NOT_BLANK, SUBDOMAIN

JsonSchema = dict[str, Any]

# innermost first: apispec refers to what it knows by its name here, and would invent one for what it does not
_COMPONENTS: Mapping[str, type[Schema]] = {
    "Cronjob": CronjobSchema,
    "SecretKey": SecretKeySchema,
    "Image": ImageSchema,
    "Data": DataSchema,
    "SegmentBodyMetadata": MetadataSchema,
    "SegmentBodyRoles": RolesSchema,
    "SegmentBody": BodySchema,
    "Author": schemas.AuthorSchema,
    "SegmentMetadata": schemas.SegmentMetadataSchema,
    "SegmentRoles": schemas.SegmentRolesSchema,
    "SegmentLinks": schemas.SegmentLinksSchema,
    "Segment": schemas.SegmentSchema,
    "PageLinks": schemas.PageLinksSchema,
    "SegmentList": schemas.SegmentListSchema,
    "ExportMetadata": schemas.ExportMetadataSchema,
    "ExportRoles": schemas.ExportRolesSchema,
    "SegmentExport": schemas.SegmentExportSchema,
    "InvalidParam": schemas.InvalidParamSchema,
    "Error": schemas.ErrorSchema,
}


def ref(name: str) -> JsonSchema:
    """Refer to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def add_schemas(spec: APISpec, plugin: MarshmallowPlugin) -> None:
    """Put all schemas into the document."""
    if plugin.converter is None:
        raise ValueError("the plugin belongs to no document yet")
    plugin.converter.add_attribute_function(_custom_field)  # type: ignore[no-untyped-call]
    for name, schema in _COMPONENTS.items():
        component: JsonSchema = {"description": cleandoc(getdoc(schema) or "")}
        if issubclass(schema, StrictSchema):
            component["additionalProperties"] = False
        spec.components.schema(name, component, schema=schema)
    known = spec.components.schemas
    _accept_published_spelling(known["Data"])
    known["SegmentBody"]["properties"]["id"] |= {"pattern": SUBDOMAIN, "maxLength": SUBDOMAIN_MAX_LENGTH}
    spec.components.schema(
        "NewSegmentBody",
        {
            "description": "The body of a create: `id` must be fit for a new segment.",
            "allOf": [
                ref("SegmentBody"),
                {"properties": {"id": {"minLength": MIN_LENGTH, "maxLength": MAX_LENGTH}}},
            ],
        },
    )


def _accept_published_spelling(data: JsonSchema) -> None:
    data["properties"]["envFromSecretes"] = {
        **data["properties"]["envFromSecrets"],
        "description": "Read as `envFromSecrets`, for callers who took this spelling from earlier documentation.",
        "deprecated": True,
        "writeOnly": True,
    }
    data["not"] = {"required": ["envFromSecrets", "envFromSecretes"]}


def _custom_field(converter: Any, field: fields.Field[Any], **_kwargs: object) -> JsonSchema:
    """Describe a field of our own; apispec merges this with what it finds itself (choices, descriptions)."""
    match field:
        case Text():
            return {"type": "string", **({} if field.blank else {"pattern": NOT_BLANK})}
        case Texts():
            return {
                "type": "array",
                "items": converter.field2property(field.member),
                **({} if field.blank else {"minItems": 1}),
            }
        case WholeNumber():
            return {"type": "integer", "minimum": 0, "maximum": MAX_HISTORY_LIMIT}
        case EnvMap():
            named = {name: converter.field2property(member) for name, member in field.named.items()}
            return {
                "type": "object",
                "propertyNames": {"pattern": f"^{ENV_NAME.pattern}$"},
                **({"properties": named} if named else {}),
                "additionalProperties": converter.field2property(field.members),
            }
        case _:
            return {}
