"""Rows of a stored run as plain mappings."""

import math

import pandas as pd

from pullbench.report.core.stored import records


def test_rows_are_what_pandas_makes_of_them_whatever_the_columns_hold() -> None:
    frame = pd.DataFrame(
        {
            "number": [1.5, math.nan],
            "count": pd.array([7, None], dtype="Int64"),
            "whole": [1, 2],
            "flag": pd.array([True, None], dtype="boolean"),
            "sure": [True, False],
            "text": pd.array(["a", None], dtype="str"),
            "category": pd.Categorical(["b", None]),
            "mixed": [pd.Series([3]).iloc[0], ["list"]],
            "at": pd.to_datetime(["2026-11-23T16:15:00Z", None]),
        }
    )
    rows, wanted = records(frame), frame.to_dict("records")
    assert [list(row) for row in rows] == [list(row) for row in wanted]
    for row, other in zip(rows, wanted, strict=True):
        assert [(repr(value), type(value)) for value in row.values()] == [
            (repr(value), type(value)) for value in other.values()
        ]


def test_no_rows_are_none() -> None:
    assert records(pd.DataFrame({"a": []})) == []
    assert records(pd.DataFrame()) == []
