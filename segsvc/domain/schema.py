"""Marshmallow schemas of `data` and of request bodies.

They validate and report every problem at once; they neither convert nor fill in, so what passes is used as it came.
The OpenAPI document is built from these same schemas.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, cast

from marshmallow import EXCLUDE, Schema, ValidationError, fields, missing, validate, validates_schema

from segsvc.domain.draft import Draft
from segsvc.domain.errors import InvalidParameters, Problem
from segsvc.domain.hints import did_you_mean
from segsvc.domain.ids import MAX_LENGTH
from segsvc.domain.ordinary import (
    CONCURRENCY_POLICIES,
    DB_TYPES,
    ENV_NAME,
    MAX_HISTORY_LIMIT,
    PULL_POLICIES,
    RESTART_POLICIES,
    TYPES,
    is_ordinary,
)
from segsvc.domain.schedule import check_schedule
from segsvc.domain.segment import JsonObject

MAX_PROBLEMS = 1000
"""How many problems of one object, one list or one request are reported: a body can hold half a million."""

_EMPTY = "must not be empty"
_OBJECT = "must be an object"
_NULL = "must not be null"
_MESSAGES: dict[str, Any] = {"required": _EMPTY, "null": _NULL}
_GENERATED: dict[str, Any] = {
    "allow_none": True,
    "metadata": {"description": "Generated; ignored.", "readOnly": True},
}


class StrictSchema(Schema):
    """An object that refuses properties it does not know, with a hint at the likely name."""

    class Meta:
        """Unknown properties are reported by `refuse_unknown`, beside all other problems."""

        unknown = EXCLUDE

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def refuse_unknown(self, _data: object, original: JsonObject, **_kwargs: object) -> None:
        """Report each property that no field reads."""
        known = [field.data_key or name for name, field in self.fields.items()]
        _raise_first((key, [f"is unknown{did_you_mean(key, known)}"]) for key in original if key not in known)


class Text(fields.Field[str]):
    """A string; ``blank=False`` refuses white space alone."""

    def __init__(self, *, blank: bool = True, **kwargs: Any) -> None:
        self.blank = blank
        super().__init__(error_messages={**_MESSAGES, "null": _NULL if blank else _EMPTY}, **kwargs)

    def _deserialize(self, value: object, *_args: object, **_kwargs: object) -> str:
        reason = self.reason(value)
        if reason is not None:
            raise ValidationError(reason)
        return cast("str", value)

    def reason(self, value: object) -> str | None:
        """Say why a value is no such string, at a fraction of what the whole machinery costs."""
        if value is None:
            return _NULL if self.blank else _EMPTY
        if not isinstance(value, str):
            return "must be a string"
        return _EMPTY if not self.blank and not value.strip() else None


class WholeNumber(fields.Field[int]):
    """A whole number from 0 to what an int32 holds; JSON's true and 1.0 are none."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(error_messages=_MESSAGES, **kwargs)

    def _deserialize(self, value: object, *_args: object, **_kwargs: object) -> int:
        if type(value) is not int or not 0 <= value <= MAX_HISTORY_LIMIT:
            raise ValidationError(f"must be a whole number from 0 to {MAX_HISTORY_LIMIT}")
        return value


class Texts(fields.Field[list[str]]):
    """A list of strings; ``blank=False`` refuses an empty list and blank members."""

    def __init__(self, *, blank: bool = True, **kwargs: Any) -> None:
        self.member = Text(blank=blank)
        self.blank = blank
        super().__init__(error_messages=_MESSAGES, **kwargs)

    def _deserialize(self, value: object, *_args: object, **_kwargs: object) -> list[str]:
        if not isinstance(value, list):
            raise ValidationError("must be a list of strings")
        if not value and not self.blank:
            raise ValidationError(_EMPTY)
        _raise_first((position, _problems_of(self.member, member)) for position, member in enumerate(value))
        return value


class Member(fields.Nested):
    """An object within an object. A required one that is missing is reported by what is required in it."""

    def __init__(self, schema: type[Schema], **kwargs: Any) -> None:
        super().__init__(schema, error_messages=_MESSAGES, **kwargs)

    def deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        """Validate; see marshmallow.fields.Field.deserialize."""
        return super().deserialize({} if value is missing and self.required else value, *args, **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        # marshmallow would report this under a key of its own, which no property could be told from
        if not isinstance(value, dict):
            raise ValidationError(_OBJECT)
        return super()._deserialize(value, *args, **kwargs)


class Data(Member):
    """A segment's `data`. Most are ordinary, which is told at a fraction of what the whole machinery costs."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        return value if is_ordinary(value) else super()._deserialize(value, *args, **kwargs)


class EnvMap(fields.Field[dict[str, Any]]):
    """An object whose keys are names of environment variables.

    ``members`` is the field that each value must satisfy, ``named`` the stricter fields of some names. ``sound`` tells
    of a value, at a fraction of what the whole machinery costs, that it certainly satisfies ``members``: most do, and
    there may be a hundred thousand.
    """

    def __init__(
        self,
        members: fields.Field[Any],
        *,
        sound: Callable[[object], bool],
        named: Mapping[str, fields.Field[Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        self.members = members
        self.sound = sound
        self.named = dict(named or {})
        super().__init__(error_messages=_MESSAGES, **kwargs)

    def _deserialize(self, value: object, *_args: object, **_kwargs: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValidationError(_OBJECT)
        is_name, is_sound, named = ENV_NAME.fullmatch, self.sound, self.named
        _raise_first(
            (name, self._problems(name, member))
            for name, member in value.items()
            if not (is_name(name) and is_sound(member)) or name in named
        )
        return value

    def _problems(self, name: str, member: object) -> Any:
        if ENV_NAME.fullmatch(name) is None:
            return ["must be an environment variable's name: letters, digits, '-', '.', '_', no digit first"]
        return _problems_of(self.named.get(name, self.members), member)


def _problems_of(field: fields.Field[Any], value: object) -> Any:
    if isinstance(field, Text) and not field.validators:
        reason = field.reason(value)
        return None if reason is None else [reason]
    try:
        field.deserialize(value)
    except ValidationError as error:
        return error.messages
    return None


def _raise_first(problems: Iterable[tuple[Any, Any]]) -> None:
    """Raise the problems of an object's or a list's members, where there are any: `MAX_PROBLEMS` at most."""
    found = dict(islice(((key, messages) for key, messages in problems if messages), MAX_PROBLEMS))
    if found:
        raise ValidationError(found)


def _is_text(value: object) -> bool:
    return type(value) is str


def _is_secret_key(value: object) -> bool:
    if type(value) is not dict or value.keys() != {"secret", "key"}:
        return False
    secret, key = value["secret"], value["key"]
    return type(secret) is str and type(key) is str and bool(secret.strip() and key.strip())


def _one_of(choices: tuple[str, ...]) -> validate.OneOf:
    return validate.OneOf(choices, error="must be one of " + ", ".join(choices))


def _schedule(text: str) -> None:
    reason = check_schedule(text)
    if reason is not None:
        raise ValidationError(reason)


class CronjobSchema(StrictSchema):
    """When the job runs."""

    schedule = Text(
        blank=False,
        required=True,
        validate=_schedule,
        metadata={
            "description": "What a Kubernetes CronJob accepts as its schedule.",
            "format": "kubernetes-cron",
            "example": "*/10 * * * *",
        },
    )
    concurrencyPolicy = Text(  # noqa: N815 (the operator's spelling, here and below)
        validate=_one_of(CONCURRENCY_POLICIES),
        metadata={"description": "What happens when a run is due while one is under way. Left out: Always."},
    )
    failedJobsHistoryLimit = WholeNumber(  # noqa: N815
        metadata={"description": "How many failed jobs are kept. Left out: 1."}
    )
    successfulJobsHistoryLimit = WholeNumber(  # noqa: N815
        metadata={"description": "How many finished jobs are kept. Left out: 1."}
    )


class SecretKeySchema(StrictSchema):
    """A key of a Kubernetes Secret."""

    secret = Text(blank=False, required=True, metadata={"description": "The Secret's name.", "example": "grnry-pg"})
    key = Text(blank=False, required=True, metadata={"description": "The key.", "example": "postgresql-username"})


class ImageSchema(StrictSchema):
    """The container image that builds the segment."""

    pullPolicy = Text(  # noqa: N815
        validate=_one_of(PULL_POLICIES),
        metadata={"description": "When the image is pulled. Left out: IfNotPresent."},
    )
    pullSecrets = Text(  # noqa: N815
        metadata={"description": "The Secret to pull with. Left out: grnry-base-private-registry-token."}
    )
    repository = Text(
        metadata={"description": "The repository. Left out: hub.syncier.cloud/grnry/segment-table-creation."}
    )
    restartPolicy = Text(  # noqa: N815
        validate=_one_of(RESTART_POLICIES),
        metadata={"description": "What happens when the container fails. Left out: OnFailure."},
    )
    tag = Text(metadata={"description": "The image's tag. Left out: 0.7.0."})


class DataSchema(StrictSchema):
    """The segment job itself: the operator's SegmentSpec, the custom resource's `spec`."""

    cronjob = Member(CronjobSchema, required=True)
    env = EnvMap(
        Text(),
        sound=_is_text,
        named={
            "TYPE": Text(validate=_one_of(TYPES)),
            "DB_TYPE": Text(validate=_one_of(DB_TYPES)),
        },
        metadata={"description": "Environment variables of the job: names to string values."},
    )
    envFromSecrets = EnvMap(  # noqa: N815
        Member(SecretKeySchema),
        sound=_is_secret_key,
        metadata={"description": "Environment variables of the job that come from Secrets."},
    )
    image = Member(ImageSchema)


class RolesSchema(StrictSchema):
    """Who may change and who may only read the segment."""

    editor = Texts(blank=False, metadata={"description": "Any of these roles lets a caller read, change and delete."})
    viewer = Texts(blank=False, metadata={"description": "Any of these roles lets a caller read."})


class MetadataSchema(StrictSchema):
    """What people call the segment."""

    displayName = Text(  # noqa: N815
        blank=False, required=True, metadata={"description": "Any text that is not blank.", "example": "Demo Segment"}
    )
    description = Text(metadata={"description": "Any text. Left out: empty."})
    createdAt = fields.Raw(**_GENERATED)  # noqa: N815
    modifiedAt = fields.Raw(**_GENERATED)  # noqa: N815
    createdBy = fields.Raw(**_GENERATED)  # noqa: N815
    modifiedBy = fields.Raw(**_GENERATED)  # noqa: N815


class BodySchema(StrictSchema):
    """The body of a create or an update. What a GET answered can be sent back."""

    id = Text(metadata={"description": "Must equal the id in the path or query, where there is one."})
    metadata = Member(MetadataSchema, required=True)
    roles = Member(RolesSchema)
    data = Data(DataSchema, required=True)
    labels = Texts(metadata={"description": "Texts to find the segment by.", "example": ["customerA", "usecaseB"]})
    links = fields.Raw(**_GENERATED)


_BODY = BodySchema()
_DATA = DataSchema()


def data_problems(data: object) -> tuple[Problem, ...]:
    """Return all that keeps a value from being a segment's `data`, named by path from ``data`` on."""
    if is_ordinary(data):
        return ()
    if not isinstance(data, dict):
        return (Problem("data", _OBJECT),)
    return tuple(islice(_flattened(_DATA.validate(data), "data"), MAX_PROBLEMS))


def parse_body(body: object, *, segment_id: str | None = None) -> Draft:
    """Read the body of a create or an update.

    body: the parsed JSON. segment_id: the id given elsewhere in the request, which the body's must equal.
    Raises InvalidParameters with every problem at once, up to `MAX_PROBLEMS`.
    """
    if not isinstance(body, dict):
        raise InvalidParameters([Problem("body", "must be a JSON object")])
    body, problems = _with_published_spellings(body)
    problems += islice(_flattened(_BODY.validate(body), ""), MAX_PROBLEMS)
    given = body.get("id")
    if isinstance(given, str) and segment_id is not None and given != segment_id:
        problems.append(Problem("id", f"'{given[:MAX_LENGTH]}' contradicts the request's '{segment_id}'"))
    if problems:
        raise InvalidParameters(problems)
    roles = body.get("roles", {})
    return Draft(
        id=given,
        display_name=body["metadata"]["displayName"],
        description=body["metadata"].get("description", ""),
        editor=tuple(roles["editor"]) if "editor" in roles else None,
        viewer=tuple(roles["viewer"]) if "viewer" in roles else None,
        labels=tuple(body.get("labels", ())),
        data=body["data"],
    )


def _with_published_spellings(body: JsonObject) -> tuple[JsonObject, list[Problem]]:
    """Read ``envFromSecretes``, which the API's documentation once showed, as ``envFromSecrets``."""
    data = body.get("data")
    if not isinstance(data, dict) or "envFromSecretes" not in data:
        return body, []
    if "envFromSecrets" in data:
        data = {key: value for key, value in data.items() if key != "envFromSecretes"}
        return {**body, "data": data}, [Problem("data.envFromSecretes", "stands beside 'envFromSecrets'; send one")]
    data = {"envFromSecrets" if key == "envFromSecretes" else key: value for key, value in data.items()}
    return {**body, "data": data}, []


def _flattened(messages: Any, path: str) -> Iterator[Problem]:
    """Turn marshmallow's nested messages into problems named by path."""
    if isinstance(messages, dict):
        for key, inner in messages.items():
            step = f"[{key}]" if isinstance(key, int) else f".{key}" if path else key
            yield from _flattened(inner, path + step)
    else:
        for message in messages:
            yield Problem(path, message)
