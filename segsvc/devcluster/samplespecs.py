"""The `spec` of sample segments: jobs of all three types as the platform's documents describe them."""

from typing import Any

from segsvc.devcluster.dice import Dice
from segsvc.devcluster.vocabulary import EVENTS, MEASURES, PATHS, TEAMS

_SCHEDULES = (
    "{minute} {hour} * * *",
    "*/{step} * * * *",
    "@daily",
    "{minute} {hour} * * 1-5",
    "@hourly",
    "{minute} * * * *",
    "{minute} 6-20/2 * * MON-FRI",
    "{minute} {hour} * * {weekday}",
    "{minute} {hour} 1 * *",
    "{minute} 0,6,12,18 * * *",
    "@every {step}m",
    "@weekly",
    "{minute} {hour} 1,15 * *",
    "{minute}-59/{step} 7-19 * * *",
    "{minute} {hour} 1 JAN,APR,JUL,OCT *",
    "@every 1h30m",
    "{minute} {hour} * * SUN",
    "@monthly",
)
_TABLES = ("eventstore", "profilestore", "clickstore", "claimstore", "orderstore", "mailstore", "streamstore")
_CONDITIONS = (
    "event_harvester = '{word}'",
    "event_type = '{word}' and event_time > now() - interval '{days} days'",
    "profile_type = '{word}' and pit = '_latest'",
    "message->>'country' in ('DE', 'AT', 'CH') and event_type <> '{word}'",
    "correlation_id is not null and message->>'source' = '{word}'",
)
_COLUMNS = ("event_id", "correlation_id", "event_type", "event_time", "event_harvester", "message")
_CASTS = ("?#>>'{}'::text", "?#>>'{}'::numeric", "upper(?#>>'{}')::text", "substring(?#>>'{}', 1, 4)::text")
_PUSHGATEWAY = "prometheus-pushgateway.monitoring.svc.cluster.local:9091"
_TAGS = ("0.7.1", "0.7.2", "0.8.0", "0.8.0-rc2", "latest")
_REPOSITORIES = (
    "registry.example.com/data/segment-table-creation",
    "registry.example.com/mirror/segment-table-creation",
)


def sample_spec(dice: Dice, target: str) -> dict[str, Any]:
    """Draw the job of a segment whose table or view is named `target`."""
    spec: dict[str, Any] = {"cronjob": _cronjob(dice), "env": _env(dice, target)}
    if dice.chance(0.15):
        secret = "grnry-pg" if dice.chance(0.6) else f"{dice.common(TEAMS).lower().replace(' ', '-')}-pg"
        spec["envFromSecrets"] = {
            "DB_USER": {"secret": secret, "key": "postgresql-username"},
            "DB_PASSWORD": {"secret": secret, "key": "postgresql-password"},
        }
    if dice.chance(0.06):
        image = spec["image"] = {"tag": dice.any(_TAGS)}
        if dice.chance(0.3):
            image |= {"repository": dice.any(_REPOSITORIES), "pullSecrets": "data-registry"}
        if dice.chance(0.3):
            image |= {"pullPolicy": dice.any(("Always", "Never")), "restartPolicy": "Never"}
    return spec


def _cronjob(dice: Dice) -> dict[str, Any]:
    schedule = dice.common(_SCHEDULES).format(
        minute=dice.below(60), hour=dice.below(24), weekday=dice.below(7), step=dice.any((5, 10, 15, 20, 30))
    )
    cronjob: dict[str, Any] = {"schedule": schedule}
    if dice.chance(0.4):
        cronjob["concurrencyPolicy"] = dice.common(("Forbid", "Replace", "Allow", "Always"))
    if dice.chance(0.2):
        cronjob |= {"successfulJobsHistoryLimit": dice.below(4), "failedJobsHistoryLimit": dice.below(6)}
    return cronjob


def _env(dice: Dice, target: str) -> dict[str, str]:
    condition = dice.any(_CONDITIONS).format(word=dice.common(EVENTS).lower(), days=dice.any((7, 30, 90)))
    env = {"TARGET_SEGMENT_NAME": target}
    kind = dice.roll()
    if kind < 0.5:
        env |= {"TYPE": "pivot", "SOURCE_WHERE_CLAUSE": condition, **_pivot(dice)}
    elif kind < 0.85:
        env |= {"TYPE": "generic", "SOURCE_WHERE_CLAUSE": condition, **_generic(dice)}
    else:
        query = f"select correlation_id, count(*) as hits from {dice.common(_TABLES)} where {condition} group by 1"  # noqa: S608
        env |= {"TYPE": "flexible", "SOURCE_QUERY": query}
    if dice.chance(0.2):
        env |= {"DB_TYPE": "citus", "CITUS_DIST_COL": "correlation_id"}
    if dice.chance(0.1):
        env["DB_USE_VIEWS"] = "True"  # a view has no indexes
    elif dice.chance(0.3):
        env["TARGET_SEGMENT_INDEXES"] = "idx1=(correlation_id)"
    if dice.chance(0.3):
        env |= {"PROMETHEUS_PUSHGATEWAY": _PUSHGATEWAY, "PROMETHEUS_JOB": target}
    if dice.chance(0.1):
        env["DEBUG"] = "True"
    return env


def _pivot(dice: Dice) -> dict[str, str]:
    paths = dice.neighbours(PATHS, 2 + dice.below(4))
    pivot = {"PIVOTPATHS": ",".join(paths)}
    if dice.chance(0.6):
        pivot["PIVOT_TRANSFORMATIONS"] = "|".join([f"{path}={dice.any(_CASTS)}" for path in paths[:2]])
    if dice.chance(0.3):
        pivot["PIVOT_ALLOW_EMPTY"] = "False"
    return pivot


def _generic(dice: Dice) -> dict[str, str]:
    fields = dict.fromkeys(dice.common(MEASURES).lower() for _ in range(1 + dice.below(3)))
    return {
        "SOURCE_TABLE_NAME": dice.common(_TABLES),
        "GENERIC_COLUMNS": ",".join(dice.neighbours(_COLUMNS, 2 + dice.below(3))),
        "GENERIC_TRANSFORMATIONS": "|".join([f"{field}=message->'{field}'#>>'{{}}'::text" for field in fields]),
    }
