"""Rows for cases that work and for those that do not, and how they look."""

from __future__ import annotations

import time
from unittest.mock import patch

import comparison
import pytest
import torch
from comparison import Case, Contest, Row, Settings, compared, measure, table_head, table_row
from device_work import Work

CELLS = len(comparison.COLUMNS)


def cells(row: Row) -> list[str]:
    return [cell.strip() for cell in table_row(row).strip("|").split("|")]


def test_a_case():
    ran = []

    def prepare() -> Contest:
        ran.append(torch.initial_seed())
        return Contest(lambda: time.sleep(0.02), lambda: time.sleep(0.01), 10**6, "as it is")

    case = compared("two sleeps", prepare)
    assert not ran  # nothing is made before its turn
    (row,) = measure([case], Settings(repetitions=1))
    assert row.name == "two sleeps" and row.remarks == "as it is"
    assert 1.2 < row.ratio < 4 and row.floor_ms > 0
    assert ran == [0]


def test_a_case_that_fails_is_a_row_and_the_others_go_on():
    def out_of_memory() -> Contest:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB | so\nmore")

    def missing() -> Contest:
        raise ImportError("cannot import name 'lraspp'")

    works = compared("works", lambda: Contest(int, int))
    cases = [compared("large", out_of_memory), compared("new", missing), works]
    large, new, works = measure(cases, Settings(repetitions=1))
    assert cells(large)[0] == "large" and len(cells(large)) == CELLS
    assert "OutOfMemoryError: CUDA out of memory" in cells(large)[-1]
    assert "ImportError: cannot import name 'lraspp'" in cells(new)[-1]
    assert works.ratio is not None


def test_no_profile_leaves_the_times():
    with patch.object(comparison, "work_of", side_effect=RuntimeError("CUPTI_ERROR: not allowed")):
        (row,) = measure([compared("it", lambda: Contest(int, int))], Settings(repetitions=1))
    assert row.ratio is not None and row.remarks == "no profile: CUPTI_ERROR: not allowed"


def test_after_the_deadline_nothing_is_started():
    ran = []
    case = Case("late", lambda settings: ran.append(settings))
    (row,) = measure([case], Settings(deadline=time.monotonic() - 1))
    assert not ran and row.remarks == comparison.TIME_WAS_UP


@pytest.mark.parametrize(("ours", "said"), [(10.0, "5x met"), (50.0, "5x not met"), (None, "5x")])
def test_goals(ours, said):
    def rows(settings: Settings) -> list[Row]:
        with patch.dict(comparison.GOALS, {"work": 5}), patch.object(torch.cuda, "empty_cache"):
            return [*measure([Case("work", lambda _: Row("work", 100.0, ours))], settings)]

    (row,) = rows(Settings("cuda"))
    assert cells(row)[4] == said
    # They are of a GPU and of inputs of full size.
    for settings in (Settings("cpu"), Settings("cuda", quick=True)):
        (row,) = rows(settings)
        assert row.goal is row.met is None and cells(row)[4] == "-"


def test_all_cells():
    row = Row("roi_align", 0.597, 0.0456, 0.0321, goal=5, remarks="differ by 1e-6")
    row.usual_work = Work(0.5, launches=1861, waits=45, memory_mib=812.3)
    row.segsuite_work = Work(0.0342, launches=12, waits=0, memory_mib=50.2)
    assert cells(row) == [
        *("roi_align", "0.597", "0.0456", "13.1x", "5x met", "0.0321 (x1.42)", "75%"),
        *("12 (1861)", "0 (45)", "50 (812)", "differ by 1e-6"),
    ]
    assert cells(Row("nothing"))[1:] == [*["-"] * (CELLS - 2), ""]
    assert {line.count("|") for line in table_head().splitlines()} == {CELLS + 1}
