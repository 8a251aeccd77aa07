"""The reports site lists every run with its verdict, can be built again, and trusts no name."""

import json
import re
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pullbench.errors import IncompleteError
from pullbench.model.plan import FACTORS
from pullbench.report.render.data_files import write_run_beside
from pullbench.report.render.home_link import HIDDEN
from pullbench.report.render.render import trend_folder
from pullbench.report.run.documents import run_document
from pullbench.report.site import entries as site_entries
from pullbench.report.site.build import Site, build_site, stale_trends, without_report
from pullbench.store.dataset import ResultStore
from tests.report import synthetic
from tests.report.synthetic import STARTED_AT, Recipe

ONE = Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1,), blocks=3, warmup=0, pulls=3)
ATOM = {"a": "http://www.w3.org/2005/Atom"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ResultStore:
    """Three runs of one name, the last incomplete, and one whose name is hostile."""
    folder = tmp_path_factory.mktemp("results")
    for number, status in enumerate(["complete", "complete", "incomplete"]):
        at = STARTED_AT + timedelta(days=number)
        synthetic.make(folder, replace(ONE, run_id=f"run-{number}", seed=number, started_at=at, status=status))
    evil = replace(ONE, run_id="evil", name='</script><script>alert("x")</script>\u202e', seed=9)
    return synthetic.make(folder, replace(evil, started_at=STARTED_AT + timedelta(days=9)))


@pytest.fixture(scope="module")
def site(store: ResultStore, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The site of runs without a report."""
    return build_site(store, tmp_path_factory.mktemp("site"))


@pytest.fixture
def built(site: Site, tmp_path: Path) -> Path:
    """A folder in which the site was built once, so that complete runs are known there."""
    shutil.copyfile(site.page.parent / site_entries.KEPT, tmp_path / site_entries.KEPT)
    return tmp_path


def report(folder: Path, run_id: str) -> None:
    (folder / run_id).mkdir(parents=True)
    (folder / run_id / "index.html").write_text("a report")


def rows(page: Path) -> list[str]:
    return re.findall(r"<tr>(?:(?!</tr>).)*</tr>", page.read_text().partition("<tbody>")[2], flags=re.DOTALL)


def test_every_run_is_listed_newest_first_and_linked_where_it_has_a_report(store: ResultStore, built: Path) -> None:
    report(built, "run-0")

    found = rows(build_site(store, built).page)

    assert [re.search(r"<code>(.*?)</code>", row)[1] for row in found] == ["evil", "run-2", "run-1", "run-0"]  # type: ignore[index]
    assert [re.findall(r'href="([^"]*)"', row) for row in found] == [[], [], [], ["run-0/index.html"]]
    assert "incomplete" in found[1]


@pytest.mark.promise("foreign text", "The site's page runs its own script and no other")
def test_the_policy_of_the_site_runs_one_script_and_a_hostile_name_is_text(site: Site) -> None:
    page = site.page.read_text()

    assert page.count("<script>") == 1
    assert "‹U+202E›" in page
    assert "\u202e" not in page
    assert re.search(r"script-src &#x27;sha256-|script-src 'sha256-[A-Za-z0-9+/=]{44}'", page)


def test_a_run_s_line_is_of_the_complete_runs_of_its_name_and_settings_up_to_it(site: Site) -> None:
    found = rows(site.page)

    assert ["<polyline" in row for row in found] == [False, True, True, False]
    assert "2 runs: " in found[2]


def test_another_vantage_or_kind_of_run_is_in_no_ones_line_but_its_own(tmp_path: Path) -> None:
    """Of two regions that measure the same spec each has its own level, and a stress test has another than a benchmark."""
    store = ResultStore(f"memory://{tmp_path.name}-lines")
    for number in range(4):
        made = replace(ONE, run_id=f"run-{number}", seed=number, started_at=STARTED_AT + timedelta(days=number))
        synthetic.make(store.url, made)
    store.write_run(replace(store.run("run-1"), vantage="elsewhere"))
    store.write_run(replace(store.run("run-2"), kind="fleet"))
    found = {entry.run_id: len(entry.line) for entry in site_entries.entries(store, tmp_path)}
    assert found == {"run-0": 1, "run-1": 1, "run-2": 1, "run-3": 2}


def test_the_site_can_be_built_again_and_says_the_same(store: ResultStore, built: Path) -> None:
    report(built, "run-0")
    first = build_site(store, built).page.read_text()

    assert build_site(store, built).page.read_text() == first


def test_what_stands_beside_a_report_is_taken_while_it_still_is_the_same(
    store: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(tmp_path, "run-0")
    write_run_beside(store, "run-0", tmp_path / "run-0", page="index.html")
    made: list[str] = []
    real = site_entries._computed
    monkeypatch.setattr(site_entries, "_computed", lambda store, run_id: made.append(run_id) or real(store, run_id))

    build_site(store, tmp_path)

    assert sorted(made) == ["evil", "run-1", "run-2"]


def test_what_was_told_of_a_finished_run_is_not_computed_again(
    store: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build_site(store, tmp_path)
    made: list[str] = []
    real = site_entries._computed
    monkeypatch.setattr(site_entries, "_computed", lambda store, run_id: made.append(run_id) or real(store, run_id))

    assert build_site(store, tmp_path) == first
    assert made == [entry.run_id for entry in reversed(first.entries) if entry.status != "complete"]
    monkeypatch.setattr(site_entries, "__version__", "another")
    assert build_site(store, tmp_path) == first
    assert len(made) > len(first.entries) - 1, "another version may say something else"


def test_what_the_site_tells_of_a_run_is_what_its_document_says(store: ResultStore, site: Site) -> None:
    for entry in site.entries:
        document = run_document(store, entry.run_id)
        assert entry.said == site_entries._of(document["headline"], document["cells"], document["slo"])
    assert json.loads((site.page.parent / "runs.json").read_text())["pullbench"]


def test_a_document_of_an_earlier_state_of_the_run_is_made_anew(store: ResultStore, tmp_path: Path) -> None:
    report(tmp_path, "run-0")
    (tmp_path / "run-0" / "run.json").write_text(json.dumps({"status": "running", "finished_at": None}))

    build_site(store, tmp_path)

    assert json.loads((tmp_path / "run-0" / "run.json").read_text())["status"] == "complete"


def test_the_feed_is_atom_with_whole_links_where_the_address_is_known(store: ResultStore, built: Path) -> None:
    report(built, "run-1")
    build_site(store, built, url="https://reports.example.com/pulls/")

    root = ElementTree.fromstring((built / "feed.xml").read_text())

    ids = [entry.text for entry in root.findall("a:entry/a:id", ATOM)]
    assert ids == [f"urn:pullbench:run:{run}" for run in ("evil", "run-2", "run-1", "run-0")]
    links = [entry.get("href") for entry in root.findall("a:entry/a:link", ATOM)]
    assert links[2] == "https://reports.example.com/pulls/run-1/index.html"
    assert links[3] == "https://reports.example.com/pulls/index.html"
    assert root.findtext("a:updated", namespaces=ATOM) == root.findtext("a:entry/a:updated", namespaces=ATOM)


def test_the_feed_keeps_its_address_when_the_page_is_built_again_without_one(
    store: ResultStore, tmp_path: Path
) -> None:
    build_site(store, tmp_path, url="https://reports.example.com/pulls/")
    first = (tmp_path / "feed.xml").read_text()
    build_site(store, tmp_path)
    assert (tmp_path / "feed.xml").read_text() == first
    build_site(store, tmp_path, url="https://elsewhere.example.com")
    assert 'href="https://elsewhere.example.com/feed.xml"' in (tmp_path / "feed.xml").read_text()


@pytest.mark.parametrize("kept", ["", "[]", '{"url": 5}', '{"url": "javascript:alert(1)"}', '{"runs": []}'])
def test_a_feed_whose_address_is_not_known_has_relative_links(store: ResultStore, tmp_path: Path, kept: str) -> None:
    (tmp_path / "runs.json").write_text(kept)
    build_site(store, tmp_path)
    links = ElementTree.fromstring((tmp_path / "feed.xml").read_text()).findall("a:link", ATOM)
    assert [link.get("href") for link in links] == ["feed.xml", "index.html"]


def test_the_newest_run_has_a_day_without_a_zero_and_a_time_with_one(tmp_path: Path) -> None:
    at = STARTED_AT.replace(day=9, hour=4, minute=5)
    store = synthetic.make(tmp_path / "results", replace(ONE, started_at=at))
    page = build_site(store, tmp_path / "reports").page.read_text()
    assert f"newest: 9 {at:%B %Y}, 04:05 UTC" in page


def test_an_empty_folder_becomes_a_page_that_says_what_to_do(tmp_path: Path) -> None:
    page = build_site(ResultStore(str(tmp_path / "results")), tmp_path / "reports").page.read_text()

    assert "<code>pullbench demo</code>" in page and "<table" not in page


def test_what_has_no_report_and_whose_trend_is_old_is_known(store: ResultStore, tmp_path: Path) -> None:
    report(tmp_path, "run-0")
    assert without_report(store, tmp_path) == ["evil", "run-1"]
    assert stale_trends(store, tmp_path) == [ONE.name]

    folder = trend_folder(tmp_path, ONE.name)
    folder.mkdir()
    (folder / "trend.json").write_text(json.dumps({"runs": [{"run_id": "run-1"}], "left_out": []}))

    assert stale_trends(store, tmp_path) == []


def test_comparisons_trends_and_regions_are_listed_with_their_verdicts(store: ResultStore, tmp_path: Path) -> None:
    said = {"status": "slower", "title": "Slower in 1 of 2"}
    runs = {"baseline": {"run_id": "run-0", "name": "a"}, "candidate": {"run_id": "run-1", "name": "a"}}
    vantages = [{"vantage": "eu", "answer": "complete"}, {"vantage": "us", "answer": "missing"}]
    documents = {
        "compare-run-0-run-1/comparison.json": {**runs, "headline": said},
        "trend-0123/trend.json": {"name": "b", "vantage": "local", "runs": [{}, {}], "headline": said},
        "regional-7/regional.json": {"name": "c", "regional_id": "7", "vantages": vantages},
        "compare-broken/comparison.json": {"headline": said},
    }
    for path, document in documents.items():
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text(json.dumps(document))
        (tmp_path / path).with_name("index.html").write_text("a report")

    page = build_site(store, tmp_path).page.read_text()

    for path in ("compare-run-0-run-1", "trend-0123", "regional-7"):
        assert f'href="{path}/index.html"' in page
    assert "compare-broken" not in page
    assert page.count("Slower in 1 of 2") == 2 and "1 of 2 vantages" in page


def test_a_report_from_before_the_page_gets_its_link_back_once(store: ResultStore, tmp_path: Path) -> None:
    report(tmp_path, "run-0")
    page = tmp_path / "run-0" / "index.html"
    page.write_text(f"<body>{HIDDEN}<p>{HIDDEN}</p></body>")
    build_site(store, tmp_path)
    assert page.read_text().count(" hidden>") == 1, "the text of a report is left alone"
    assert 'href="../index.html"' in page.read_text()


def test_a_folder_that_cannot_be_written_is_named(store: ResultStore, tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file")

    with pytest.raises(IncompleteError, match=r"reports: .*`--reports`"):
        build_site(store, tmp_path / "reports")


def test_a_run_without_an_slo_has_no_verdict_on_one() -> None:
    headline = {"status": "not_shown", "title": "551 ms a pull", "sentence": "."}
    cells = [{"engine": "wire", "engine_kind": "wire", "median_s": 0.5} | dict.fromkeys(FACTORS[1:], "x")]
    assert site_entries._of(headline, cells, []).verdict == "no_slo"
    assert site_entries._of(headline, cells, [{"name": "mean_pull_s"}]).verdict == "not_shown"
    assert site_entries._of(headline | {"status": "failed"}, cells, []).verdict == "failed"
