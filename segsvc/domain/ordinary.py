"""Whether `data` is certainly valid, told at a fraction of what the schemas' whole machinery costs.

A hundred thousand segments are looked at whenever the service starts. Invariant: what is ordinary here, the schemas in
`segsvc.domain.schema` find no fault with. Nothing follows for anything else: only they say what is wrong, and how.
"""

import re
from collections.abc import Iterable

from segsvc.domain.schedule import check_schedule

ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*", re.ASCII)
MAX_HISTORY_LIMIT = 2**31 - 1  # a CronJob's history limits are int32

CONCURRENCY_POLICIES = ("Allow", "Forbid", "Replace", "Always")
TYPES = ("pivot", "generic", "flexible")
DB_TYPES = ("postgres", "citus")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
RESTART_POLICIES = ("OnFailure", "Never")

_MAX_NAMES = 4096
_LONGEST_NAME = 64  # so that the names at hand take half a megabyte at most

# names of environment variables that were found right: the same few dozen stand in all segments
_names: set[str] = set()


def is_ordinary(data: object) -> bool:
    """Tell whether this value is certainly valid `data`. Takes any JSON and raises nothing."""
    if type(data) is not dict:
        return False
    for name, member in data.items():
        is_member = _MEMBERS.get(name)
        if is_member is None or not is_member(member):
            return False
    return "cronjob" in data


def _is_cronjob(cronjob: object) -> bool:
    if type(cronjob) is not dict:
        return False
    for name, member in cronjob.items():
        if name == "schedule":
            ordinary = type(member) is str and check_schedule(member) is None
        elif name in {"failedJobsHistoryLimit", "successfulJobsHistoryLimit"}:
            ordinary = type(member) is int and 0 <= member <= MAX_HISTORY_LIMIT
        else:
            ordinary = name == "concurrencyPolicy" and member in CONCURRENCY_POLICIES
        if not ordinary:
            return False
    return "schedule" in cronjob


def _is_env(env: object) -> bool:
    if type(env) is not dict or not _are_names(env):
        return False
    for text in env.values():
        if type(text) is not str:
            return False
    return env.get("TYPE", "pivot") in TYPES and env.get("DB_TYPE", "postgres") in DB_TYPES


def _are_names(names: Iterable[str]) -> bool:
    return _names.issuperset(names) or all(map(_is_name, names))


def _is_name(name: str) -> bool:
    if ENV_NAME.fullmatch(name) is None:
        return False
    if len(name) <= _LONGEST_NAME:
        if len(_names) >= _MAX_NAMES:
            _names.clear()
        _names.add(name)
    return True


def _are_secrets(secrets: object) -> bool:
    if type(secrets) is not dict or not _are_names(secrets):
        return False
    for member in secrets.values():
        if type(member) is not dict or len(member) != 2:
            return False
        secret, key = member.get("secret"), member.get("key")
        if type(secret) is not str or type(key) is not str or not secret.strip() or not key.strip():
            return False
    return True


def _is_image(image: object) -> bool:
    if type(image) is not dict:
        return False
    for name, member in image.items():
        if name in {"pullSecrets", "repository", "tag"}:
            ordinary = type(member) is str
        elif name == "pullPolicy":
            ordinary = member in PULL_POLICIES
        else:
            ordinary = name == "restartPolicy" and member in RESTART_POLICIES
        if not ordinary:
            return False
    return True


_MEMBERS = {"cronjob": _is_cronjob, "env": _is_env, "envFromSecrets": _are_secrets, "image": _is_image}
