"""Cores of this process."""

import os

import pytest

from segsuite.utils.cores import available_cores


def test_some():
    assert 1 <= available_cores() <= (os.cpu_count() or available_cores())


@pytest.mark.parametrize("told, expected", [(6, 6), (None, 1)])
def test_where_the_system_does_not_tell_of_processes(monkeypatch, told, expected):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: told)
    assert available_cores() == expected
