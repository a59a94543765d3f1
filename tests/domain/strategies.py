"""Values of the domain for property tests."""

from __future__ import annotations

import string
from datetime import UTC
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st

from segsvc.domain.segment import Author, Roles, Segment, timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hypothesis.strategies import SearchStrategy

property_test = settings(deadline=None)  # how long an example takes says nothing on a busy machine
segment_test = settings(property_test, max_examples=30)  # whole segments take long to make up

# Lone surrogates are none of it: no JSON text that Kubernetes or the API takes can hold one.
texts = st.text(max_size=20)
filled_texts = texts.filter(lambda text: bool(text.strip()))
env_names = st.builds(
    str.__add__,
    st.sampled_from("-._" + string.ascii_letters),
    st.text(alphabet="-._" + string.ascii_letters + string.digits, max_size=8),
)
schedules = st.sampled_from(["*/10 * * * *", "0 3 * * mon-fri", "@daily", "@every 90m", "5,35 0-6/2 1 jan ?"])
history_limits = st.sampled_from([0, 1, 2, 2**31 - 1])
timestamps = st.datetimes(timezones=st.just(UTC)).map(timestamp)
authors = st.builds(Author, name=texts, email=texts)
role_lists = st.lists(texts, max_size=3).map(tuple)
ids = st.from_regex(r"[a-z0-9]([-a-z0-9]{2,20}[a-z0-9])(\.[a-z0-9]{1,5})?", fullmatch=True)


def objects(
    required: Mapping[str, SearchStrategy[Any]] | None = None, /, **optional: SearchStrategy[Any]
) -> SearchStrategy[dict[str, Any]]:
    """Objects with all of the ``required`` and any of the ``optional`` properties."""
    return st.fixed_dictionaries(dict(required or {}), optional=optional)


data_values = objects(
    {
        "cronjob": objects(
            {"schedule": schedules},
            concurrencyPolicy=st.sampled_from(["Allow", "Forbid", "Replace", "Always"]),
            failedJobsHistoryLimit=history_limits,
            successfulJobsHistoryLimit=history_limits,
        )
    },
    env=st.builds(
        lambda free, named: {**free, **named},
        st.dictionaries(env_names.filter(lambda name: name not in {"TYPE", "DB_TYPE"}), texts, max_size=4),
        objects(TYPE=st.sampled_from(["pivot", "generic", "flexible"]), DB_TYPE=st.sampled_from(["postgres", "citus"])),
    ),
    envFromSecrets=st.dictionaries(env_names, objects({"secret": filled_texts, "key": filled_texts}), max_size=3),
    image=objects(
        pullPolicy=st.sampled_from(["Always", "IfNotPresent", "Never"]),
        pullSecrets=texts,
        repository=texts,
        restartPolicy=st.sampled_from(["OnFailure", "Never"]),
        tag=texts,
    ),
)
"""Every kind of valid `data`."""

segments = st.builds(
    Segment,
    id=ids,
    display_name=filled_texts,
    description=texts,
    roles=st.builds(Roles, editor=role_lists, viewer=role_lists),
    labels=st.lists(texts, max_size=3).map(tuple),
    data=data_values,
    created_at=timestamps | st.just(""),
    modified_at=timestamps | st.just(""),
    created_by=authors,
    modified_by=authors,
)
"""Every kind of segment that a resource can hold."""

json_leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**31, 2**63, 10**400])
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)


def json_values(names: SearchStrategy[str] = texts) -> SearchStrategy[Any]:
    """Any JSON value; the properties of its objects have these names."""
    return st.recursive(
        json_leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=6),
        max_leaves=20,
    )
