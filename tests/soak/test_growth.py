from __future__ import annotations

import random

import pytest

from tests.soak.growth import trend

SLACK = 4.0


def measured(minutes: float, per_minute: float, noise: float) -> list[tuple[float, float]]:
    """A figure every two seconds, with a peak now and then."""
    dice = random.Random(7)
    times = [2.0 * number for number in range(int(minutes * 30))]
    return [(at, 200 + per_minute * at / 60 + dice.gauss(0, noise) + (dice.random() < 0.02) * 50) for at in times]


@pytest.mark.parametrize("noise", [0, 0.2, 2])
def test_a_line_is_found_among_noise_and_peaks(noise: float) -> None:
    found = trend(measured(11, 1.5, noise))
    assert found.hours == pytest.approx(11 / 60, rel=0.01)
    assert found.end == pytest.approx(200 + 11 * 1.5, abs=0.1 + noise / 2)
    assert found.per_hour == pytest.approx(90, abs=1 + 2 * noise)
    assert found.noise == pytest.approx(noise, rel=0.2, abs=0.001)


@pytest.mark.parametrize(("per_minute", "grows"), [(0, False), (0.2, False), (1.5, True), (3, True)])
@pytest.mark.parametrize("noise", [0.2, 2])
def test_growth_is_told_from_noise(per_minute: float, noise: float, grows: bool) -> None:
    found = trend(measured(11, per_minute, noise))
    assert (found.per_hour > found.allowed(SLACK)) == grows


def test_of_many_points_not_all_are_looked_at() -> None:
    found = trend(measured(24 * 60, 0.1, 1))
    assert found.per_hour == pytest.approx(6, abs=0.1)
