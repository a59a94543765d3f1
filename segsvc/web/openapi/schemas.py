"""Marshmallow schemas of answers. They describe: what is sent is rendered elsewhere, and tests hold it against these.

Answers may gain properties, so these schemas let in what they do not name; an export alone is as strict as the body of
a POST, for it is one.
"""

from marshmallow import EXCLUDE, Schema, fields, validate

from segsvc.domain.schema import DataSchema, StrictSchema
from segsvc.web.openapi.examples import SEGMENT_ID
from segsvc.web.openapi.patterns import NOT_BLANK, TIMESTAMP, TRACE_ID

ERROR_TYPES = (
    "bad_parameter_value",
    "bad_header_value",
    "entity_not_accessible",
    "entity_not_found",
    "method_not_allowed",
    "entity_already_exists",
    "entity_modified",
    "unexpected_error",
    "service_unavailable",
)


def _text(description: str, *, required: bool = True, **metadata: object) -> fields.String:
    return fields.String(required=required, metadata={"description": description, **metadata})


def _url(description: str, *, required: bool = True) -> fields.String:
    return _text(description, required=required, format="uri")


def _texts(description: str, *, required: bool = True) -> fields.List[str]:
    return fields.List(fields.String(), required=required, metadata={"description": description})


class AnswerSchema(Schema):
    """An object that may have more properties than are named."""

    class Meta:
        """Which is what EXCLUDE makes of the document."""

        unknown = EXCLUDE


class AuthorSchema(AnswerSchema):
    """Who wrote, by the token. Both are empty where nobody did, and `email` where the token has none."""

    name = _text("The token's `name`, else its `preferred_username`, else its `sub`.", example="Segment Team")
    email = _text("The token's `email`.", example="segments@example.com")


class SegmentMetadataSchema(AnswerSchema):
    """What people call the segment, and its history. Times are UTC without a zone, in milliseconds."""

    displayName = _text("Never blank.", pattern=NOT_BLANK, example="Demo Segment")  # noqa: N815
    description = _text("May be empty.")
    createdAt = _text("When it was created.", pattern=TIMESTAMP, example="2020-03-18T18:08:31.850")  # noqa: N815
    modifiedAt = _text("When it was last replaced; empty: never.", pattern=TIMESTAMP, example="")  # noqa: N815
    createdBy = fields.Nested(AuthorSchema, required=True)  # noqa: N815
    modifiedBy = fields.Nested(AuthorSchema, required=True)  # noqa: N815


class SegmentRolesSchema(AnswerSchema):
    """Who may change and who may only read the segment: roles of the token's client."""

    editor = _texts("Any of these roles lets a caller read, replace and delete.")
    viewer = _texts("Any of these roles lets a caller read.")


class SegmentLinksSchema(AnswerSchema):
    """Where the segment is, by the address that the caller used."""

    self = _url("The segment's own address.")


class SegmentSchema(AnswerSchema):
    """A segment job."""

    id = _text("The segment's id: the name of its Kubernetes resource.", example=SEGMENT_ID)
    metadata = fields.Nested(SegmentMetadataSchema, required=True)
    roles = fields.Nested(SegmentRolesSchema, required=True)
    data = fields.Nested(DataSchema, required=True)
    labels = _texts("Texts to find the segment by; may be empty.")
    links = fields.Nested(SegmentLinksSchema, required=True)


class PageLinksSchema(AnswerSchema):
    """The addresses of this page and its neighbours, by the address that the caller used."""

    self = _url("This page.")
    prev = _url("The page before; absent on the first.", required=False)
    next = _url("The page after; absent on the last.", required=False)


class SegmentListSchema(AnswerSchema):
    """One page of the segments that the caller may see and the filters keep."""

    items = fields.List(fields.Nested(SegmentSchema), required=True)
    links = fields.Nested(PageLinksSchema, required=True)
    totalCount = fields.Integer(  # noqa: N815
        required=True,
        validate=validate.Range(min=0),
        metadata={"description": "How many there are on all pages together.", "example": 1},
    )


class ExportMetadataSchema(StrictSchema):
    """What people call the segment; a blank description is left out."""

    displayName = _text("Never blank.", pattern=NOT_BLANK, example="Demo Segment")  # noqa: N815
    description = _text("Not blank.", required=False, pattern=NOT_BLANK)


class ExportRolesSchema(StrictSchema):
    """The role lists that differ from the default ones."""

    editor = _texts("Left out: `segment_job_edit` alone.", required=False)
    viewer = _texts("Left out: `segment_job_view` alone.", required=False)


class SegmentExportSchema(StrictSchema):
    """The body of a POST that creates this segment elsewhere: all that is generated or has its default is left out."""

    id = _text("The segment's id.", example=SEGMENT_ID)
    metadata = fields.Nested(ExportMetadataSchema, required=True)
    roles = fields.Nested(ExportRolesSchema)
    data = fields.Nested(DataSchema, required=True)
    labels = _texts("Never empty.", required=False)


class InvalidParamSchema(AnswerSchema):
    """One thing that is wrong with the request."""

    name = _text(
        "Where: a query parameter's name, or a path into the body such as `metadata.displayName`, `labels[1]` or "
        "`data.env.TYPE`; `body` for the body as a whole.",
        example="metadata.displayName",
    )
    reason = _text("Why, as a phrase that follows the name.", example="must not be empty")


class ErrorSchema(AnswerSchema):
    """What went wrong."""

    timestamp = _text("When, with offset.", format="date-time", example="2020-12-02T19:14:45+00:00")
    message = _text("A sentence for people; programs look at `type`.")
    type = fields.String(
        required=True,
        validate=validate.OneOf(ERROR_TYPES),
        metadata={"description": "The kind of error; there may be more kinds one day."},
    )
    traceId = _text(  # noqa: N815
        "Leads to this request in the service's log: the trace id of the caller's `traceparent`, else one made for it.",
        pattern=TRACE_ID,
    )
    invalidParams = fields.List(  # noqa: N815
        fields.Nested(InvalidParamSchema),
        metadata={"description": "All that is wrong, where parameters are the reason.", "minItems": 1},
    )
