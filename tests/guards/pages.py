"""Which guards stand in which page."""

from dataclasses import dataclass
from pathlib import Path

from tests.guards import ROOT, Guard, table
from tests.guards.accidents import ACCIDENTS
from tests.guards.faults import CONSEQUENCES, FAULTS
from tests.guards.secrets import CLEAR, HOSTS, SECRETS
from tests.guards.strangers import LISTENING, NAMES, TEXTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page with tables of guards, each between a pair of marks."""

    path: Path
    tables: tuple[tuple[str, tuple[Guard, ...], tuple[str, ...]], ...]
    """A mark's name, the guards, the heads of the columns."""

    def expected(self) -> str:
        """The page as it should be; ValueError where a mark is missing."""
        text = self.path.read_text(encoding="utf-8")
        for name, guards, heads in self.tables:
            before, begins, rest = text.partition(f"<!-- {name} -->\n")
            _, ends, after = rest.partition(f"<!-- end of {name} -->\n")
            if not begins or not ends:
                raise ValueError(f"{self.path}: the marks of '{name}' are missing")
            text = f"{before}{begins}\n{table(guards, heads)}\n{ends}{after}"
        return text

    def write(self) -> None:
        self.path.write_text(self.expected(), encoding="utf-8")


_PROMISES = ("promise", "guard", "test that fails without it")
_PLACES = ("where", "guard", "test that fails without it")
_ACCIDENTS = ("what happens", "what comes of it", "guard", "test that fails without it")
PAGES = (
    Page(
        path=ROOT / "docs" / "security.md",
        tables=(
            ("secrets", SECRETS, _PLACES),
            ("hosts", HOSTS, _PLACES),
            ("clear", CLEAR, _PLACES),
            ("texts", TEXTS, _PLACES),
            ("names", NAMES, _PLACES),
            ("listening", LISTENING, _PLACES),
        ),
    ),
    Page(
        path=ROOT / "docs" / "robustness.md",
        tables=(
            ("faults", FAULTS, _ACCIDENTS),
            ("consequences", CONSEQUENCES, _PROMISES),
            ("accidents", ACCIDENTS, _ACCIDENTS),
        ),
    ),
)
EVERY = (*FAULTS, *CONSEQUENCES, *ACCIDENTS, *SECRETS, *HOSTS, *CLEAR, *TEXTS, *NAMES, *LISTENING)
