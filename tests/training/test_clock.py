from __future__ import annotations

import time

import pytest

from napari_localize.training import clock as clock_module
from napari_localize.training.clock import CHECKS, Clock, Patience


def test_steps_do_not_depend_on_time():
    clock = Clock(60.0, 1e-9)
    clock.start()
    checks = 0
    for _ in range(60):
        assert clock.fraction < 1
        clock.step()
        if clock.check_is_due:
            checks += 1
            with clock.looking():
                time.sleep(0.001)
    assert clock.fraction == 1
    assert checks == CHECKS
    assert clock.done(10) == (6, 6)


def test_what_is_not_a_whole_step_counts_as_a_part():
    clock = Clock(10.0, 1.0)
    clock.start()
    clock.step(0.5)
    assert clock.fraction == pytest.approx(0.05)


def test_where_looking_takes_long_it_is_done_less_often(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(clock_module.time, "monotonic", lambda: now[0])
    looks = []
    for cost in (0.1, 5.0):
        clock = Clock(None, 60.0)
        clock.start()
        began, looked = now[0], 0
        while clock.fraction < 1:
            now[0] += 0.5
            clock.step()
            if clock.check_is_due:
                looked += 1
                with clock.looking():
                    now[0] += cost
        looks.append(looked)
        assert now[0] - began < 60 + 0.5 + cost
    assert looks[0] == CHECKS
    assert 1 <= looks[1] <= 3


def test_time_is_left_for_what_comes_beside_the_steps(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(clock_module.time, "monotonic", lambda: now[0])
    for spared, left in ((6.0, 54.0), (100.0, 45.0)):
        clock = Clock(None, 60.0)
        clock.spare(spared)
        clock.start()
        now[0] += left
        clock.step()
        assert clock.fraction == pytest.approx(1)
        assert clock.done(1) == (left, left)
    counted = Clock(10.0, 60.0)
    counted.spare(50.0)
    counted.step()
    assert counted.fraction == pytest.approx(0.1)


def test_enough_steps_end_a_training_before_its_time(monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: 0.0)
    clock = Clock(None, 60.0, most=4)
    clock.start()
    fractions = []
    for _ in range(4):
        clock.step()
        with clock.looking():
            pass
        fractions.append(clock.fraction)
    assert fractions == [0.25, 0.5, 0.75, 1.0]


def test_patience_counts_checks_in_a_row():
    patience = Patience(2)
    assert [patience.is_over(value) for value in (0.9, 0.9, 0.3, 0.4, 0.3)] == [False] * 4 + [True]
    assert "2 checks" in patience.text
    assert "0.300" in patience.text
    assert not any(Patience(0).is_over(0.1) for _ in range(50))


def test_most_steps_holds_for_a_number_of_steps_too():
    clock = Clock(200.0, 60.0, most=50)
    clock.start()
    for _ in range(50):
        clock.step()
    assert clock.fraction == 1
