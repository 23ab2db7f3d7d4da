"""Events by hand-worked numbers: the rule, missing frames, gaps in time, and rates that vary."""

import numpy as np
import pytest

from aucli.errors import OptionError
from aucli.report.durations import frame_seconds
from aucli.report.events import Rule, find_events, level

nan = np.nan
EVERY = Rule(min_seconds=0, close_gap_seconds=0)


def at(fps: float, count: int) -> np.ndarray:
    return np.arange(count) / fps


def spans(times, values, rule=None) -> list[tuple[float, float]]:
    return [
        (round(event.onset_seconds, 6), round(event.offset_seconds, 6))
        for event in find_events(times, np.array(values, float), rule)
    ]


def test_an_event_begins_at_enter_and_lasts_until_it_is_below_leave():
    values = [0, 0.9, 1.0, 3.4, 2, 3.4, 0.5, 0.49, 0.9]
    (event,) = find_events(at(10, 9), np.array(values))
    assert (event.first, event.apex, event.last) == (2, 3, 6)
    assert event.onset_seconds == pytest.approx(0.2)
    assert event.apex_seconds == pytest.approx(0.3)
    assert event.offset_seconds == pytest.approx(0.7)
    assert event.duration_seconds == pytest.approx(0.5)
    assert event.peak == 3.4 and event.level == "C" and event.complete
    assert event.mean == pytest.approx((1.0 + 3.4 + 2 + 3.4 + 0.5) / 5)


def test_short_events_are_dropped_after_gaps_are_closed():
    assert spans(at(10, 5), [0, 2, 0, 0, 0]) == []  # .1 s
    assert spans(at(10, 5), [0, 2, 2, 0, 0]) == [(0.1, 0.3)]  # .2 s, in spite of floats
    # Two of .1 s with .1 s between them are one of .3 s; with .2 s between them they are nothing.
    assert spans(at(10, 6), [0, 2, 0, 2, 0, 0]) == [(0.1, 0.4)]
    assert spans(at(10, 6), [0, 2, 0, 0, 2, 0]) == []
    assert spans(at(10, 6), [0, 2, 0, 2, 0, 0], EVERY) == [(0.1, 0.2), (0.3, 0.4)]


def test_a_short_loss_is_passed_over_and_a_long_one_ends_the_event():
    assert spans(at(10, 7), [0, 2, 2, nan, 0.7, 0.7, 0]) == [(0.1, 0.6)]
    found = find_events(at(10, 8), np.array([0, 2, 2, nan, nan, 0.7, 2, 2]))
    # Between the thresholds after a long loss, nothing says that the event goes on.
    assert [(e.first, e.last, e.complete) for e in found] == [(1, 2, False), (6, 7, False)]
    assert spans(at(10, 8), [0, 2, 2, nan, nan, 0.7, 2, 2], Rule(close_gap_seconds=0.3)) == [
        (0.1, 0.8)
    ]


def test_a_gap_in_time_is_a_loss():
    times = np.array([0, 0.1, 0.2, 5.0, 5.1, 5.2])
    # The frame before the gap stands for one second at most.
    assert spans(times, [2, 2, 2, 2, 2, 2]) == [(0, 1.2), (5, 5.3)]


def test_rates_may_vary():
    times = np.array([0, 0.04, 0.08, 0.58, 0.62])
    (event,) = find_events(times, np.array([0, 1, 3, 0, 0.0]))
    assert event.offset_seconds == pytest.approx(0.58)
    assert event.mean == pytest.approx((1 * 0.04 + 3 * 0.5) / 0.54)  # over time, not frames


def test_frames_far_apart_last_as_long_as_they_do():
    assert spans(at(0.5, 4), [0, 2, 2, 0]) == [(2, 6)]
    assert spans(at(2, 4), [0, 2, 0, 0]) == [(0.5, 1)]


def test_pictures_and_nothing_have_no_events():
    assert find_events(np.full(3, nan), np.array([2.0, 2, 2])) == []
    assert find_events(np.array([]), np.array([])) == []
    assert find_events(at(10, 3), np.full(3, nan)) == []


def test_the_whole_video_is_one_incomplete_event():
    (event,) = find_events(at(10, 4), np.full(4, 5.0))
    assert (event.complete, event.level) == (False, "E")
    assert event.offset_seconds == pytest.approx(0.4)


def test_a_frame_lasts_until_the_next_one():
    assert frame_seconds(np.array([0, 1, 2, 9.0])).tolist() == [1, 1, 1.5, 1.5]  # 1.5 usual steps
    assert frame_seconds(np.array([0, 0.5, 9.0])).tolist()[0] == 0.5
    assert frame_seconds(np.array([7.0])).tolist() == [0]
    assert np.isnan(frame_seconds(np.full(2, nan))).all()


def test_the_search_does_what_a_walk_over_the_frames_does():
    rng = np.random.default_rng(0)
    for _ in range(300):
        count = int(rng.integers(1, 60))
        times = np.cumsum(rng.choice([0.04, 0.1, 0.3, 2.5], count, p=[0.6, 0.2, 0.15, 0.05]))
        values = np.where(rng.random(count) < 0.2, nan, rng.random(count) * 2)
        rule = Rule(1.0, 0.5, float(rng.choice([0, 0.2])), float(rng.choice([0, 0.15, 0.35])))
        found = [(event.first, event.last) for event in find_events(times, values, rule)]
        assert found == walk(times, values, rule)


def walk(times: np.ndarray, values: np.ndarray, rule: Rule) -> list[tuple[int, int]]:
    """The module's rule, word by word."""
    ends = times + frame_seconds(times)
    found: list[list[int]] = []
    inside, seen = False, None
    for i in np.flatnonzero(np.isfinite(values)):
        far = seen is None or times[i] - ends[seen] >= max(rule.close_gap_seconds, 2e-6) - 1e-6
        was = inside and not far
        inside = values[i] >= (rule.leave if was else rule.enter)
        if inside and was:
            found[-1][1] = int(i)
        elif inside:
            found.append([int(i), int(i)])
        seen = i
    closed: list[list[int]] = []
    for first, last in found:
        if closed and times[first] - ends[closed[-1][1]] < rule.close_gap_seconds - 1e-6:
            closed[-1][1] = last
        else:
            closed.append([first, last])
    return [(a, b) for a, b in closed if ends[b] - times[a] >= rule.min_seconds - 1e-6]


def test_levels_are_the_nearest():
    names = [level(x) for x in (0.49, 0.5, 1.49, 1.5, 2.5, 3.5, 4.5, 5.0, nan)]
    assert names == ["", "A", "A", "B", "C", "D", "E", "E", ""]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"enter": 0.4}, "enter 0.4, leave 0.5: an event begins at 5 or less and ends at the same "
                         "intensity or a lower one above 0."),
        ({"min_seconds": -1}, "min_seconds -1 is no duration; give 0 or more seconds."),
        ({"close_gap_seconds": nan},
         "close_gap_seconds nan is no duration; give 0 or more seconds."),
    ],
)  # fmt: skip
def test_rules_that_are_none(words, sentence):
    with pytest.raises(OptionError) as refused:
        Rule(**words)
    assert str(refused.value) == sentence
