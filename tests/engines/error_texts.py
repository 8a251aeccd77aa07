"""Error texts as real clients printed them, each with its client, situation and code: tests/engines/error_texts.json."""

import fcntl
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

_PATH = Path(__file__).with_suffix(".json")
# What differs from run to run stands for itself; its form stays.
_SAME = (
    (re.compile(r"sha256:[0-9a-f]{64}"), "sha256:" + "0123456789abcdef" * 4),
    (re.compile(r"(127\.0\.0\.1|0\.0\.0\.0):\d{4,5}"), r"\1:5000"),
    (re.compile(r"\[::1\]:\d{4,5}"), "[::1]:5000"),
    (re.compile(r" on [\d.]+:53\b"), " on 192.0.2.53:53"),
    (re.compile(r"udp [\d.]+:\d+(->[\d.]+:53)?"), "udp 192.0.2.53:53"),
    (re.compile(r"/tmp/[\w/.@-]+"), "/tmp/pullbench-pull-1"),
    (re.compile(r"GetImageBlob\d+"), "GetImageBlob123"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)"), "2026-11-29T04:00:00Z"),
)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class SeenText:
    """One text, and what led to it."""

    client: str
    version: str
    situation: str
    code: str
    text: str

    @property
    def key(self) -> tuple[str, str, str]:
        return self.client, self.version, self.situation


class SeenTexts:
    """All of them, one a line, so that a difference shows what a client words in another way."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> list[SeenText]:
        return [SeenText(**entry) for entry in json.loads(self._path.read_text())]

    def add(self, seen: SeenText) -> None:
        """Put it in place of the same client's text in this situation."""
        text = seen.text
        for pattern, same in _SAME:
            text = pattern.sub(same, text)
        with self._path.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            known = [SeenText(**entry) for entry in json.loads(file.read() or "[]")]
            entries = {entry.key: entry for entry in known}
            entries[seen.key] = SeenText(**{**asdict(seen), "code": str(seen.code), "text": text})
            lines = ",\n".join(json.dumps(asdict(entry), ensure_ascii=False) for entry in sorted(entries.values()))
            file.truncate(0)
            file.write(f"[\n{lines}\n]\n")


TEXTS = SeenTexts(_PATH)
