"""The sample segments, as the service reads them and as the embedded cluster takes them."""

import json
from collections.abc import Mapping
from importlib.resources import files
from itertools import islice
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import yaml

from segsvc.devcluster import EmbeddedCluster
from segsvc.devcluster.samples import sample_segments
from segsvc.domain.codec import DISPLAY_NAME, decode, encode
from segsvc.domain.ids import SUFFIX_LENGTH, derive_id, id_problem
from segsvc.domain.segment import Roles, Segment
from segsvc.index.words import words

Resource = Mapping[str, Any]

HAND_PICKED = 12
MANY = 5_000


@pytest.fixture(scope="module")
def many() -> list[dict[str, Any]]:
    return list(sample_segments(MANY, namespace="teams"))


@pytest.fixture(scope="module")
def segments(many: list[dict[str, Any]]) -> list[Segment]:
    return [decode(resource) for resource in many]


def name(resource: Resource) -> str:
    text: str = resource["metadata"]["annotations"][DISPLAY_NAME]
    return text


def test_every_sample_holds_a_segment_that_the_service_could_have_written(segments: list[Segment]) -> None:
    for segment in segments[:1000]:
        assert decode(encode(segment)) == segment


def test_every_sample_is_for_the_namespace_asked_for(many: list[dict[str, Any]]) -> None:
    assert {resource["metadata"]["namespace"] for resource in many} == {"teams"}


def test_the_first_is_the_demo_segment(segments: list[Segment]) -> None:
    demo = segments[0]
    assert (demo.id, demo.display_name, demo.labels) == ("demo-segment-95he0", "Demo Segment", ("customer", "demo"))


def test_the_first_dozen_show_what_there_is(segments: list[Segment]) -> None:
    shown = segments[:HAND_PICKED]
    specs = [segment.data for segment in shown]
    assert {spec["env"]["TYPE"] for spec in specs if "TYPE" in spec.get("env", {})} == {"pivot", "generic", "flexible"}
    assert {member for spec in specs for member in spec} == {"cronjob", "env", "envFromSecrets", "image"}
    assert len({spec["cronjob"]["schedule"] for spec in specs}) == HAND_PICKED
    assert any(not segment.display_name.isascii() for segment in shown)
    assert any("." in segment.id for segment in shown)
    assert any("segment_job_view" not in segment.roles.readers for segment in shown)
    assert any(segment.roles == Roles() for segment in shown)
    assert any(not segment.created_at for segment in shown)


def test_ids_are_valid_and_unique(many: list[dict[str, Any]]) -> None:
    ids = [resource["metadata"]["name"] for resource in many]
    assert [id_problem(segment_id) for segment_id in ids] == [None] * MANY
    assert len(set(ids)) == MANY


def test_an_id_is_what_the_service_derives_from_the_name(segments: list[Segment]) -> None:
    for segment in segments[HAND_PICKED:]:
        assert segment.id == derive_id(segment.display_name, segment.id[-SUFFIX_LENGTH:])


def test_nothing_was_changed_before_it_was_created(segments: list[Segment]) -> None:
    changed = [segment for segment in segments if segment.modified_at]
    assert len(changed) > MANY / 2
    assert all(segment.created_at <= segment.modified_at for segment in changed)


def test_the_same_seed_gives_the_same_segments_and_more_begin_with_fewer(many: list[dict[str, Any]]) -> None:
    assert list(sample_segments(100, namespace="teams")) == many[:100]
    assert list(sample_segments(HAND_PICKED - 2, namespace="teams")) == many[: HAND_PICKED - 2]
    assert list(sample_segments(0, namespace="teams")) == []


def test_another_seed_gives_others_after_the_first_dozen(many: list[dict[str, Any]]) -> None:
    other = list(sample_segments(200, namespace="teams", seed=1))
    assert other[:HAND_PICKED] == many[:HAND_PICKED]
    assert not set(map(name, other[HAND_PICKED:])) & set(map(name, many[HAND_PICKED:200]))


def test_samples_are_made_one_by_one() -> None:
    first = next(iter(sample_segments(10**9, namespace="teams")))
    assert first["metadata"]["name"] == "demo-segment-95he0"


def test_a_sample_belongs_to_whoever_asked_for_it(many: list[dict[str, Any]]) -> None:
    for resource in sample_segments(50, namespace="teams"):
        resource["spec"].clear()
        resource["metadata"].clear()
    assert list(sample_segments(50, namespace="teams")) == many[:50]


def test_a_sample_has_about_1200_bytes_of_json(many: list[dict[str, Any]]) -> None:
    assert 1100 <= mean(len(json.dumps(resource, ensure_ascii=False).encode()) for resource in many) <= 1300


def test_names_have_two_to_five_words_and_share_some_thousand() -> None:
    seen = [name(resource) for resource in sample_segments(100_000, namespace="teams")]
    assert {len(text.split()) for text in seen} == {2, 3, 4, 5}
    assert 3000 <= len({word for text in seen for word in words(text)}) <= 5000
    assert len(set(seen)) > 95_000


def test_roles_are_mixed_and_mostly_the_default_ones(segments: list[Segment]) -> None:
    roles = [segment.roles for segment in segments]
    assert 0.6 * MANY < roles.count(Roles()) < 0.9 * MANY
    assert len({role.readers for role in roles}) > 20


def test_authors_are_teams_with_addresses_of_example_com(segments: list[Segment]) -> None:
    authors = {author for segment in segments for author in (segment.created_by, segment.modified_by)}
    addresses = {author.email for author in authors if author.email}
    assert len(addresses) > 20
    assert all(address.endswith("@example.com") for address in addresses)


async def test_the_embedded_cluster_takes_them(tmp_path: Path) -> None:
    cluster = EmbeddedCluster(data=tmp_path / "cluster")
    await cluster.start()
    try:
        cluster.create_crd(yaml.safe_load(files("segsvc.devcluster").joinpath("crd.yaml").read_text(encoding="utf-8")))
        assert cluster.seed(islice(sample_segments(1000, namespace="default", seed=7), 500)) == 500
    finally:
        await cluster.stop()
