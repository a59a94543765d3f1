"""The role rules: who may create, read and change."""

from collections.abc import Set as AbstractSet

from segsvc.domain.segment import DEFAULT_EDITOR, Roles


def may_create(caller: AbstractSet[str]) -> bool:
    """Tell whether a caller with these client roles may create segments."""
    return DEFAULT_EDITOR in caller


def may_read(caller: AbstractSet[str], roles: Roles) -> bool:
    """Tell whether a caller may read a segment with these roles: any viewer or editor role does."""
    return not caller.isdisjoint(roles.viewer) or may_edit(caller, roles)


def may_edit(caller: AbstractSet[str], roles: Roles) -> bool:
    """Tell whether a caller may change or delete a segment with these roles: any editor role does."""
    return not caller.isdisjoint(roles.editor)
