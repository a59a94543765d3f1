"""Who may create, read and change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segsvc.domain.access import may_create, may_edit, may_read
from segsvc.domain.segment import Roles
from tests.domain.strategies import property_test

DEMO = Roles(editor=("segment_job_edit", "demo_role"), viewer=("segment_job_view",))

role_names = st.sampled_from(["a", "b", "c", "d", ""])
role_sets = st.frozensets(role_names)
role_lists = st.lists(role_names, max_size=3).map(tuple)


@pytest.mark.parametrize(
    ("caller", "create", "read", "edit"),
    [
        ([], False, False, False),
        (["segment_job_view"], False, True, False),
        (["segment_job_edit"], True, True, True),
        (["demo_role"], False, True, True),
        (["demo_role", "other"], False, True, True),
        (["other"], False, False, False),
        (["segment_job", "segment_job_edit2", "SEGMENT_JOB_EDIT", ""], False, False, False),
    ],
    ids=str,
)
def test_a_role_opens_what_it_is_listed_for(caller: list[str], *, create: bool, read: bool, edit: bool) -> None:
    roles = frozenset(caller)
    assert may_create(roles) == create
    assert may_read(roles, DEMO) == read
    assert may_edit(roles, DEMO) == edit


def test_roles_left_empty_open_nothing() -> None:
    everyone = {"segment_job_edit", "segment_job_view", ""}
    assert not may_read(everyone, Roles(editor=(), viewer=()))
    assert not may_edit(everyone, Roles(editor=(), viewer=("segment_job_edit",)))


@property_test
@given(caller=role_sets, editor=role_lists, viewer=role_lists)
def test_any_one_role_is_enough(caller: frozenset[str], editor: tuple[str, ...], viewer: tuple[str, ...]) -> None:
    roles = Roles(editor=editor, viewer=viewer)
    assert may_edit(caller, roles) == any(role in editor for role in caller)
    assert may_read(caller, roles) == any(role in editor or role in viewer for role in caller)
    assert roles.readers == {*editor, *viewer}


@property_test
@given(caller=role_sets, more=role_sets, editor=role_lists, viewer=role_lists)
def test_who_may_edit_may_read_and_more_roles_never_close_anything(
    caller: frozenset[str], more: frozenset[str], editor: tuple[str, ...], viewer: tuple[str, ...]
) -> None:
    roles = Roles(editor=editor, viewer=viewer)
    assert may_edit(caller, roles) <= may_read(caller, roles)
    assert may_read(caller, roles) <= may_read(caller | more, roles)
    assert may_edit(caller, roles) <= may_edit(caller | more, roles)
