"""Paged lists, tags and catalog, that follow the Link header (RFC 8288; OCI distribution spec, "Listing Tags")."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.text import clean
from pullbench.registry.answer import Answer, is_untaken

MAX_PAGES = 1000
MAX_PAGE_BYTES = 4 * 1024 * 1024
_LINK = re.compile(r"<([^<>]*)>((?:\s*;\s*[^\s;=,]+\s*(?:=\s*(?:\"[^\"]*\"|[^\s;,\"]*))?)*)")
_RELATION = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^\s;,\"]*))", re.IGNORECASE)
_SIZE = re.compile(r"(?<=[?&])n=(\d+)&?")
_SMALLER_SIZE = 50
"""The page size after a refused one: the smallest limit that is known (`catalog.maxentries` of distribution)."""
_SIZE_REFUSED = frozenset({400, 416, 422})
_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f]")


def next_path(link: str, url: str) -> str | None:
    """Path and query of the `rel="next"` target, relative to `url`; None on the last page.

    Only path and query count: all pages are requested from our endpoint. A Link to another host, or to http:// behind a
    reverse proxy with https, does not lead elsewhere.
    """
    for target, parameters in _LINK.findall(link):
        relations = [quoted or bare for quoted, bare in _RELATION.findall(parameters)]
        if relations and "next" in relations[0].lower().split():
            try:
                parts = urlsplit(urljoin(url, target))
            except ValueError:
                return None
            return f"{parts.path}?{parts.query}" if parts.query else parts.path
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list, and the path of the next page; None on the last."""

    path: str
    entries: tuple[str, ...]
    following: str | None

    @property
    def size(self) -> int | None:
        """The page size that was requested; None if the registry chose it."""
        found = _SIZE.search(self.path)
        return None if found is None else int(found[1])


def list_pages(ask: Callable[[str], Answer], path: str, key: str) -> Iterator[str]:
    """The texts under `key` of each page, starting at `path`.

    Raises RegistryError: not_a_registry for a loop or a page without such a list, too_large beyond MAX_PAGES.
    """
    for page in read_pages(ask, path, key):
        yield from page.entries


def read_pages(ask: Callable[[str], Answer], path: str, key: str) -> Iterator[Page]:
    """The pages of a list, each requested when needed. Raises as `list_pages` does, after the last valid page.

    A first page whose size the registry refuses is requested again with a smaller size, then without a size.
    """
    seen: set[str] = set()
    current: str | None = path
    while current is not None:
        current, answer = _first_page(ask, current) if not seen else (current, ask(current))
        seen.add(current)
        following = next_path(answer.headers.get("link", ""), answer.url)
        yield Page(path=current, entries=tuple(_texts(answer, key)), following=following)
        if following in seen:
            detail = f"the next page leads back to {clean(following, 120)}"
            raise answer.error_of(ErrorCode.NOT_A_REGISTRY, detail)
        if len(seen) >= MAX_PAGES and following is not None:
            raise answer.error_of(ErrorCode.TOO_LARGE, f"more than {MAX_PAGES} pages")
        current = following


def _first_page(ask: Callable[[str], Answer], path: str) -> tuple[str, Answer]:
    """The first page, and the path that the registry took; the first refusal counts if it takes none."""
    refused: RegistryError | None = None
    for each in _smaller(path):
        try:
            return each, ask(each)
        except RegistryError as error:
            if error.status not in _SIZE_REFUSED or not is_untaken(error):
                raise refused or error from None
            refused = refused or error
    raise refused or ValueError(path)


def _smaller(path: str) -> Iterator[str]:
    """A path with its page size, with a smaller one, and without one."""
    yield path
    found = _SIZE.search(path)
    if found is None:
        return
    if int(found[1]) > _SMALLER_SIZE:
        yield _SIZE.sub(lambda size: size[0].replace(size[1], str(_SMALLER_SIZE), 1), path)
    yield _SIZE.sub("", path).rstrip("?&")


def _texts(answer: Answer, key: str) -> list[str]:
    try:
        document: Any = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    found = document.get(key, []) if isinstance(document, dict) else None
    entries = [] if found is None and isinstance(document, dict) else found  # distribution sends null for "no tags"
    if not isinstance(entries, list) or not all(isinstance(entry, str) and entry for entry in entries):
        raise answer.error_of(ErrorCode.NOT_A_REGISTRY, f"the answer has no list '{key}'")
    if any(_CONTROL.search(entry) for entry in entries):
        raise answer.error_of(ErrorCode.NOT_A_REGISTRY, f"a name in '{key}' contains control characters")
    return entries
