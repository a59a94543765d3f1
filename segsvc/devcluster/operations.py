"""Create, update, patch and delete: what the API server's generic registry does between HTTP and etcd.

Invariant: one call makes at most one write per object, and makes it last, after every check; nothing here
awaits, so no other request can come between a check and its write. An update that changes nothing writes
nothing. Must not know HTTP.
https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

import datetime
import secrets
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from segsvc.devcluster import objectmeta, schema, status
from segsvc.devcluster.jsonbody import dumps
from segsvc.devcluster.resources import CRDS, collection_of, key_of
from segsvc.devcluster.status import Cause, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from segsvc.devcluster.options import DeleteOptions, WriteOptions
    from segsvc.devcluster.resources import Catalog, Resource
    from segsvc.devcluster.selectors import Selector
    from segsvc.devcluster.store import Store

ETCD_LIMIT: Final = 1_572_864 - 4_096
"""What etcd takes in one request (1.5 MiB), less what key, envelope and managedFields take of it."""
_GENERATED_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_SYSTEM_FIELDS: Final = (
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generateName",
    "namespace",
)


@dataclass(frozen=True, slots=True)
class Written:
    """The object after a write, or as it would be after a dry run, and warnings for the caller."""

    body: bytes
    warnings: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """A decoded request body, repeated keys listed. Operations take it over: it is theirs to change."""

    value: dict[str, Any]
    repeated: Sequence[str] = ()


class Operations:
    """The verbs that write, over one store and the resource types in it."""

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog

    def get(self, resource: Resource, namespace: str, name: str) -> bytes:
        """Return the stored object. Raises ApiError (404)."""
        body = self._store.get(resource.collection, key_of(namespace, name))
        if body is None:
            raise status.not_found(resource, name)
        return body

    def create(self, resource: Resource, namespace: str, draft: Draft, *, options: WriteOptions) -> Written:
        """Create an object. Raises ApiError (400, 409, 422, 500)."""
        value, warnings = self._new(resource, namespace, draft, options=options)
        name = value["metadata"]["name"]
        current = self._store.get(resource.collection, key_of(namespace, name))
        if current is not None:
            deleting = "deletionTimestamp" in orjson.loads(current)["metadata"]
            raise status.already_exists(resource, name, being_deleted=deleting)
        return Written(self._put(resource, namespace, value, dry_run=options.dry_run), warnings)

    def create_many(
        self, resource: Resource, items: Iterable[tuple[str, dict[str, Any]]], *, options: WriteOptions
    ) -> int:
        """Create objects, given with their namespaces, in one transaction, and return how many there were.

        Raises ApiError, with nothing written, when one of them would be refused.
        """
        taken: set[str] = set()

        def prepared() -> Iterator[tuple[str, Callable[[int], bytes]]]:
            for namespace, given in items:
                value, _ = self._new(resource, namespace, Draft(given), options=options)
                name = value["metadata"]["name"]
                key = key_of(namespace, name)
                if key in taken or self._store.get(resource.collection, key) is not None:
                    raise status.already_exists(resource, name, being_deleted=False)
                taken.add(key)
                yield key, _renderer(resource, value)

        self._store.put_many(resource.collection, prepared())
        self._after_write(resource)
        return len(taken)

    def replace(
        self, resource: Resource, namespace: str, name: str, *, draft: Draft, options: WriteOptions, part: str = ""
    ) -> Written:
        """Replace an object, or with `part` "status" its status. Raises ApiError (400, 404, 409, 422, 500)."""
        value, warnings = _decoded(resource, namespace, draft, options=options)
        sent = value["metadata"]
        if sent.get("name") != name:
            given = sent.get("name")
            raise status.bad_request(
                f"the name of the object ({given}) does not match the name on the URL ({name})"
                if given
                else f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
            )
        current = orjson.loads(self.get(resource, namespace, name))
        self._check_version(resource, current, sent)
        changed = _merged(resource, current, value, part=part)
        causes = [*self._problems(resource, changed), *_transition_problems(current["metadata"], changed["metadata"])]
        if causes:
            raise status.invalid(resource.kind, resource.group, name=name, causes=causes)
        _count_generation(resource, current, changed)
        return Written(self._settle(resource, namespace, current, changed=changed, options=options), warnings)

    def delete(self, resource: Resource, namespace: str, name: str, *, options: DeleteOptions) -> bytes | str:
        """Delete an object: return its uid when it is gone, its body when it waits for finalizers.

        Raises ApiError (404, 409).
        """
        body = self.get(resource, namespace, name)
        metadata = orjson.loads(body)["metadata"]
        uid: str = metadata["uid"]
        for field, expected, hint in (
            ("UID", options.uid, "deleted and then recreated"),
            ("ResourceVersion", options.resource_version, "modified"),
        ):
            found = uid if field == "UID" else metadata["resourceVersion"]
            if expected is not None and expected != found:
                why = (
                    f"the {field} in the precondition ({expected}) does not match the {field} in record "
                    f"({found}). The object might have been {hint}"
                )
                raise status.conflict(resource, name, why=why, kind=resource.kind)
        if not metadata.get("finalizers"):
            if not options.dry_run:
                self._remove(resource, namespace, name)
            return uid
        if "deletionTimestamp" in metadata:
            return body
        value = orjson.loads(body)
        value["metadata"] |= {
            "deletionTimestamp": _now(),
            "deletionGracePeriodSeconds": 0,
            "generation": metadata["generation"] + 1,
        }
        return self._put(resource, namespace, value, dry_run=options.dry_run)

    def delete_collection(
        self, resource: Resource, namespace: str, *, selector: Selector, options: DeleteOptions
    ) -> list[bytes]:
        """Delete the objects that `selector` selects, each with a write of its own; return them as they were."""
        prefix = key_of(namespace, "")
        doomed = [
            (key, body)
            for key, body in self._store.scan(resource.collection, prefix=prefix)
            if selector.matches(key, body)
        ]
        for key, _ in doomed:
            self.delete(resource, namespace, key.removeprefix(prefix), options=options)
        return [body for _, body in doomed]

    def _new(
        self, resource: Resource, namespace: str, draft: Draft, *, options: WriteOptions
    ) -> tuple[dict[str, Any], list[str]]:
        """Return a complete, valid object that is not yet stored, and warnings."""
        value, warnings = _decoded(resource, namespace, draft, options=options)
        metadata = value["metadata"]
        if metadata.get("resourceVersion"):
            raise status.internal("resourceVersion should not be set on objects to be created")
        stem = metadata.get("generateName", "")
        if stem and not metadata.get("name"):
            tail = "".join(secrets.choice(_GENERATED_ALPHABET) for _ in range(5))
            metadata["name"] = stem[: 63 - len(tail)] + tail
        for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion"):
            metadata.pop(field, None)
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": _now(), "generation": 1}
        if resource.namespaced:
            metadata["namespace"] = namespace
        if resource.has_status:
            value.pop("status", None)
        causes = self._problems(resource, value)
        if causes:
            raise status.invalid(value["kind"], resource.group, name=metadata.get("name", ""), causes=causes)
        return value, warnings

    def _problems(self, resource: Resource, value: dict[str, Any]) -> list[Cause]:
        causes = []
        if value["kind"] != resource.kind:
            message = f"Invalid value: {quoted(value['kind'])}: must be {resource.kind}"
            causes.append(Cause("kind", "FieldValueInvalid", message))
        causes += objectmeta.problems(value["metadata"])
        causes += schema.validate(resource.schema, value)
        if resource.has_rules:
            blocked = any(map(schema.blocks_rules, causes))
            causes += [schema.UNCHECKED] if blocked else schema.validate_rules(resource.schema, value)
        if not causes and resource.admit:
            causes += resource.admit(value)
        return causes

    def _check_version(self, resource: Resource, current: dict[str, Any], sent: dict[str, Any]) -> None:
        """Compare the version and the uid that the caller sent with those that are stored."""
        name, held = current["metadata"]["name"], current["metadata"]
        if (uid := sent.get("uid")) and uid != held["uid"]:
            key = (
                f"/registry/{resource.group}/{resource.plural}{'/' + held['namespace'] if resource.namespaced else ''}"
            )
            why = (
                f"StorageError: invalid object, Code: 4, Key: {key}/{name}, ResourceVersion: 0, AdditionalErrorMsg: "
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: {held['uid']}"
            )
            raise status.conflict(resource, name, why=why)
        version = sent.get("resourceVersion", "")
        if version in {"", "0"}:
            message = "Invalid value: 0: must be specified for an update"
            cause = Cause("metadata.resourceVersion", "FieldValueInvalid", message)
            raise status.invalid(resource.plural, resource.group, name=name, causes=[cause])
        if not (version.isascii() and version.isdigit()):
            raise status.internal(f"strconv.ParseUint: parsing {quoted(version)}: invalid syntax")
        if int(version) != int(held["resourceVersion"]):
            raise status.modified(resource, name)

    def _settle(
        self,
        resource: Resource,
        namespace: str,
        current: dict[str, Any],
        *,
        changed: dict[str, Any],
        options: WriteOptions,
    ) -> bytes:
        """Write `changed` over `current`, unless it is equal; a deletion whose last finalizer went is finished."""
        metadata = changed["metadata"]
        if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
            if not options.dry_run:
                self._remove(resource, namespace, metadata["name"])
            return dumps(changed)
        if changed == current:
            return dumps(current)
        return self._put(resource, namespace, changed, dry_run=options.dry_run)

    def _put(self, resource: Resource, namespace: str, value: dict[str, Any], *, dry_run: bool) -> bytes:
        key = key_of(namespace, value["metadata"]["name"])
        render = _renderer(resource, value)
        if dry_run:
            return dumps(resource.stored(value))
        body = self._store.put(resource.collection, key, render)
        self._after_write(resource)
        return body

    def _remove(self, resource: Resource, namespace: str, name: str) -> None:
        if resource is CRDS:
            collection = collection_of(orjson.loads(self.get(resource, namespace, name)))
            for key, _ in list(self._store.scan(collection)):
                self._bury(collection, key)
        self._bury(resource.collection, key_of(namespace, name))
        self._after_write(resource)

    def _bury(self, collection: str, key: str) -> None:
        """Remove an object; the event carries its last state under the revision of the deletion."""
        last = orjson.loads(self._store.get(collection, key) or b"")

        def render(revision: int) -> bytes:
            last["metadata"]["resourceVersion"] = str(revision)
            return dumps(last)

        self._store.delete(collection, key, render)

    def _after_write(self, resource: Resource) -> None:
        if resource is CRDS:
            self._catalog.refresh()


def _decoded(
    resource: Resource, namespace: str, draft: Draft, *, options: WriteOptions
) -> tuple[dict[str, Any], list[str]]:
    """Return the object that `draft` means: pruned, without stray nulls, with defaults; and warnings."""
    value = draft.value
    if value.get("apiVersion", "") != resource.api_version:
        raise status.bad_request(
            f"the API version in the data ({value.get('apiVersion', '')}) does not match the expected API version "
            f"({resource.api_version})"
        )
    try:
        value["metadata"], unknown = objectmeta.read(value.get("metadata"))
    except objectmeta.DecodingError as error:
        raise _undecodable(resource, str(error)) from error
    unknown = [*unknown, *sorted(schema.prune(resource.schema, value))]
    complaints = [f"duplicate field {quoted(path)}" for path in draft.repeated]
    complaints += [f"unknown field {quoted(path)}" for path in unknown]
    if complaints and options.field_validation == "Strict":
        raise _undecodable(resource, f"strict decoding error: {', '.join(complaints)}")
    schema.drop_nulls(resource.schema, value)
    schema.fill_defaults(resource.schema, value)
    given = value["metadata"].get("namespace")
    if given and given != namespace:
        raise status.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    warnings = complaints if options.field_validation == "Warn" else []
    return value, [*warnings, *objectmeta.finalizer_warnings(value["metadata"])]


def _undecodable(resource: Resource, why: str) -> status.ApiError:
    kind, version = resource.kind, resource.version
    return status.bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {why}')


def _merged(resource: Resource, current: dict[str, Any], value: dict[str, Any], *, part: str) -> dict[str, Any]:
    """Return what an update to `value` makes of `current`: only what the caller may change here."""
    held = current["metadata"]
    if part == "status":
        changed = {key: item for key, item in current.items() if key != "status"}
        if "status" in value:
            changed["status"] = value["status"]
        return changed
    changed = resource.stored(value)
    metadata = {key: item for key, item in value["metadata"].items() if key not in _SYSTEM_FIELDS}
    metadata |= {key: held[key] for key in _SYSTEM_FIELDS if key in held}
    metadata["resourceVersion"] = held["resourceVersion"]
    changed["metadata"] = metadata
    if resource.has_status:
        changed.pop("status", None)
        if "status" in current:
            changed["status"] = current["status"]
    return changed


def _count_generation(resource: Resource, current: dict[str, Any], changed: dict[str, Any]) -> None:
    """Raise the generation when anything but the metadata, and a status with a subresource of its own, changed."""
    aside = {"metadata": None, "status": None} if resource.has_status else {"metadata": None}
    if {**changed, **aside} != {**current, **aside}:
        changed["metadata"] = {**changed["metadata"], "generation": current["metadata"]["generation"] + 1}


def _transition_problems(held: dict[str, Any], sent: dict[str, Any]) -> list[Cause]:
    """Return what may not change: no new finalizer on an object that is being deleted."""
    added = sorted(set(sent.get("finalizers", ())) - set(held.get("finalizers", ())))
    if not added or "deletionTimestamp" not in held:
        return []
    names = ", ".join(map(quoted, added))
    message = (
        "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers "
        f"[]string{{{names}}}"
    )
    return [Cause("metadata.finalizers", "FieldValueForbidden", message)]


def _renderer(resource: Resource, value: dict[str, Any]) -> Callable[[int], bytes]:
    """Return the function that serialises `value` under a revision. Raises ApiError when etcd would not take it."""
    stored = resource.stored(value)

    def render(revision: int) -> bytes:
        stored["metadata"]["resourceVersion"] = str(revision)
        body = dumps(stored)
        if len(body) > ETCD_LIMIT:
            raise status.etcd_too_large()
        return body

    return render


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
