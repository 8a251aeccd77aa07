import pytest

from pullbench.registry.pages import next_path

URL = "https://r.io/v2/a/tags/list?n=2"


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ('</v2/a/tags/list?last=b&n=2>; rel="next"', "/v2/a/tags/list?last=b&n=2"),
        ("<https://r.io/v2/a/tags/list?last=b>; rel=next", "/v2/a/tags/list?last=b"),
        ('<?last=b>; title="x, y"; REL="prev NEXT"', "/v2/a/tags/list?last=b"),
        ('</first>; rel="first", </second>;rel="next"', "/second"),
        ('<//evil.example/v2/x>; rel="next"', "/v2/x"),
        ('</x>; rel="prev"', None),
        ('</x>; rel="prev"; rel="next"', None),
        ("</x>", None),
        ('/x; rel="next"', None),
        ('<https://[bad>; rel="next"', None),
        ("", None),
    ],
)
def test_the_next_page_is_the_target_of_its_relation(link: str, expected: str | None) -> None:
    assert next_path(link, URL) == expected
