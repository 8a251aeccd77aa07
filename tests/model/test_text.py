"""Foreign text becomes harmless; sizes are read and written for people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullbench.model.text import clean, did_you_mean, format_bytes, parse_bytes, printable


@given(st.text())
def test_what_is_printable_keeps_each_visible_character_in_its_place(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert [one for one in shown if one != "�"] == [one for one in text if one.isprintable() and one != "�"]
    assert len(shown) == len(text)


def test_a_foreign_text_becomes_one_short_line() -> None:
    assert clean(" a\r\n\tb\u202ec\x1b[31m ") == "a b c [31m"
    assert clean("x" * 1000, 10) == "x" * 9 + "…"


@given(st.text(), st.integers(1, 40))
def test_a_cleaned_text_is_one_printable_line_within_the_limit(text: str, limit: int) -> None:
    assert clean(text, limit).isprintable()
    assert len(clean(text, limit)) <= limit


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1000", 1000),
        ("50GB", 50 * 10**9),
        ("50 gb", 50 * 10**9),
        ("64 MiB", 64 * 2**20),
        ("1.5k", 1500),
        ("1.005k", 1005),
        ("1KiB", 1024),
        ("2T", 2 * 10**12),
        (" 3 B ", 3),
    ],
)
def test_a_size_is_read(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "1e9", "1,5 GB", "5 Gb/s", "5 PB", "1..5", "0x10", "nan", "5 G B"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size: a number with"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (9_994, "9.99 kB"),
        (9_996, "10.0 kB"),
        (49_234_567, "49.2 MB"),
        (99_940_000, "99.9 MB"),
        (99_960_000, "100 MB"),
        (999_600, "1.00 MB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_a_size_is_written_with_three_digits(size: float, text: str) -> None:
    assert format_bytes(size) == text


@given(st.integers(0, 10**15))
def test_what_is_written_reads_as_nearly_the_same(size: int) -> None:
    assert parse_bytes(format_bytes(size)) == pytest.approx(size, rel=0.006, abs=0.5)


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("dokcer", ["wire", "docker"], "did you mean 'docker'?"),
        ("DOCKER", ["wire", "docker"], "did you mean 'docker'?"),
        ("crane", ["wire", "docker", "wire"], "there are: wire, docker"),
        ("x", [], "there is none"),
        ("zzz", [str(number) for number in range(20)], "there are: 0, 1, 2, 3, 4, 5, 6, 7 …"),
    ],
)
def test_a_misspelt_name_is_answered_with_a_close_one_or_with_what_there_is(
    name: str, known: list[str], hint: str
) -> None:
    assert did_you_mean(name, known) == hint
