"""`pullbench serve` as its users have it: the UI in a real browser, schedules, cancelling, events, and its end."""

import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Error, Page

from pullbench.app.run import Prepared, RunRequest, conduct
from pullbench.lab.embedded import EmbeddedLab
from pullbench.store.baselines import Baselines
from pullbench.store.dataset import ResultStore
from tests.app.test_run import Calls
from tests.integration.browser import Browser, open_browser
from tests.integration.conftest import need
from tests.integration.served import Served
from tests.integration.told import Listener, make_webhook_block

pytestmark = [pytest.mark.integration]

BENCHMARK = "pull-benchmark/pull-benchmark"
AUTOMATIONS = 4
QUARTERS = {(month, 1, 3, 0) for month in (1, 4, 7, 10)}
SMALL_MATRIX = {"engines": ["wire"], "registries": ["eu"], "platforms": ["linux/amd64"], "concurrency": [1]}
QUICK = {"report": False, "skip_preflight": True}
PICTURES = os.environ.get("PULLBENCH_TEST_PICTURES")
"""A folder for screenshots, for those who want to look."""


def write_spec(served: Served, lab: EmbeddedLab, name: str, **changes: Any) -> str:
    """A spec over the lab in the checkout; its path there. In a directory of its own, so that the form's list stays as it is."""
    data = {**lab.spec(True), "name": name, "repetitions": 1, "warmup": 0, **changes}
    path = Path("specs") / "lab" / f"{name}.yaml"
    (served.checkout / path).parent.mkdir(exist_ok=True)
    (served.checkout / path).write_text(yaml.safe_dump(data))
    return str(path)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    running = Served(tmp_path_factory.mktemp("serve"))
    running.start()
    yield running
    running.close()


@pytest.fixture(scope="module")
def store(served: Served) -> ResultStore:
    return ResultStore(str(served.checkout / "results"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser(need("chromium")) as opened:
        yield opened


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Left blank afterwards: the UI's pages go on asking and drawing, at the cost of what is measured next."""
    yield browser.page
    browser.page.goto("about:blank")


def picture(browser: Browser, name: str) -> None:
    if PICTURES:
        time.sleep(1)  # for the eye: what fades in has arrived
        browser.page.screenshot(path=Path(PICTURES) / f"{name}.png")


def submitted(page: Page) -> dict[str, Any]:
    """What the server says to the form; pressed again where its database was busy, as a person would."""
    for _ in range(10):
        with page.expect_response("**/create_flow_run") as answer:
            page.get_by_role("button", name="Submit").click()
        if answer.value.status != 503:
            break
    answered: dict[str, Any] = answer.value.json()
    return answered


def open_form(served: Served, browser: Browser) -> None:
    """From the list of deployments to the form, as a person clicks."""
    page = browser.page
    page.goto(f"{served.ui}/deployments")
    deployment = page.locator('a[href*="/deployments/deployment/"]').filter(has_text="pull-benchmark").first
    deployment.wait_for()
    picture(browser, "deployments")
    deployment.click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text("Custom run").click()
    browser.field("Registry URL").wait_for()


def start_in_the_form(served: Served, browser: Browser, name: str) -> str:
    """Give the run a name and start it; the run's ID."""
    page = browser.page
    page.locator("input").first.fill(name)
    picture(browser, "form")
    answered = submitted(page)
    assert "id" in answered, answered
    run = str(answered["id"])
    page.goto(f"{served.ui}/runs/flow-run/{run}")
    return run


def open_artifact(browser: Browser, key: str) -> None:
    page = browser.page
    page.get_by_text("Artifacts", exact=True).first.click()
    picture(browser, "artifacts")
    card = page.locator('a[href*="/artifacts/artifact/"]').filter(has=page.get_by_text(key, exact=True))
    card.first.click()
    page.get_by_role("link", name="Open the HTML report").first.wait_for()
    picture(browser, f"artifact-{key}")


def test_the_reports_have_a_page_before_there_is_a_run(served: Served, page: Page) -> None:
    page.goto(f"{served.reports}/")
    assert page.get_by_role("heading", name="Reports").is_visible()
    assert page.get_by_text("pullbench demo").is_visible()


def test_a_spec_is_chosen_in_the_form_and_its_artifact_leads_to_the_report(
    served: Served, store: ResultStore, browser: Browser, page: Page, lab: EmbeddedLab
) -> None:
    spec = write_spec(served, lab, "from-the-form")
    open_form(served, browser)
    field = browser.field("spec")
    assert field.get_by_text("specs/first.yaml", exact=True).first.is_visible(), "chosen from a list"
    field.get_by_text("Another file", exact=True).click()
    field.locator("textarea").fill(spec)
    browser.add("Concurrency", 3)
    run = start_in_the_form(served, browser, "before the upgrade")
    assert served.wait(run)["type"] == "COMPLETED"
    assert served.api(f"/flow_runs/{run}")["name"] == "before the upgrade", "the name that a person types stays"
    page.get_by_text("Completed", exact=True).first.wait_for()
    picture(browser, "run")
    measured = next(entry for entry in store.runs() if entry.name == "from-the-form")
    assert {row["concurrency"] for row in store.table("pulls", measured.run_id).to_pylist()} == {3}

    open_artifact(browser, "from-the-form")
    link = page.get_by_role("link", name="Open the HTML report").first
    address = link.get_attribute("href")
    assert address == f"{served.reports}/{measured.run_id}/index.html"
    page.goto(address)
    page.get_by_text("from-the-form").first.wait_for()
    picture(browser, "report")
    assert measured.run_id in page.content()
    page.get_by_role("link", name="All reports").click()
    page.get_by_role("link", name=measured.run_id).wait_for()
    page.set_viewport_size({"width": 390, "height": 844})
    picture(browser, "home-390")
    verdict = page.locator("#runs .pill").first.bounding_box()
    assert verdict is not None and verdict["x"] + verdict["width"] <= 390 and verdict["y"] + verdict["height"] <= 844
    page.set_viewport_size({"width": 1400, "height": 1100})
    assert browser.hosts == {"127.0.0.1"}, "no page asks anybody outside"


def test_a_registry_that_no_spec_names_is_measured_from_the_form_cancelled_and_resumed(
    served: Served, store: ResultStore, browser: Browser, page: Page, lab: EmbeddedLab
) -> None:
    """The message of the cancelled run is all that a person has to read."""
    data = lab.spec(True)
    open_form(served, browser)
    browser.field("Registry URL").locator("textarea").fill(data["registries"][0]["url"])
    browser.add("Images", *data["images"][:2])
    browser.field("Benchmark name").locator("textarea").fill("No spec")
    refused = start_in_the_form(served, browser, "a wrong name")
    state = served.wait(refused)
    assert (state["type"], "name" in state["message"], "\n" in state["message"]) == ("FAILED", True, False)

    open_form(served, browser)
    browser.field("Registry URL").locator("textarea").fill(data["registries"][0]["url"])
    browser.add("Images", *data["images"][:2])
    browser.field("Benchmark name").locator("textarea").fill("no-spec")
    browser.add("settings", "repetitions=50")
    run = start_in_the_form(served, browser, "a registry alone")
    run_id = finished(store, "no-spec", 2, served, run)
    cancel_in_the_ui(browser)
    state = served.wait(run)
    assert state["type"] == "CANCELLED"
    wanted = f"resume = {run_id}"
    until = time.monotonic() + 60
    while wanted not in (message := served.api(f"/flow_runs/{run}")["state"]["message"]) and time.monotonic() < until:
        time.sleep(0.3)
    assert wanted in message, message
    page.reload()
    page.get_by_text("Cancelled", exact=True).first.wait_for()
    picture(browser, "cancelled")
    kept = store.finished_trials(run_id)

    open_form(served, browser)
    browser.field("resume").locator("textarea").fill(run_id)
    browser.add("settings", "budget.manifest_requests=9000")
    resumed = start_in_the_form(served, browser, "the rest of it")
    state = served.wait(resumed)
    assert state["type"] == "COMPLETED" and run_id in state["message"]
    run_now = store.run(run_id)
    assert run_now.status == "complete" and kept < store.finished_trials(run_id)
    open_artifact(browser, "no-spec")
    image = page.locator('img[src*="picture.svg"]')
    assert image.evaluate("each => each.decode().then(() => each.naturalWidth)") > 100
    assert page.get_by_text("p50").first.is_visible()
    text = page.inner_text("body")
    assert text.index("p50") < text.index("Time:")


def cancel_in_the_ui(browser: Browser) -> datetime:
    """Press Cancel and confirm; when."""
    page = browser.page
    page.get_by_role("button", name="Cancel").first.click()
    picture(browser, "cancel")
    clicked = datetime.now(UTC)
    page.get_by_role("button", name="Confirm").click()
    return clicked


def test_what_a_schema_can_tell_is_refused_before_a_run_is_there(served: Served) -> None:
    refused = served.refusal(BENCHMARK, spec="specs/first.yaml", overrides={"concurrency": [0]})
    assert refused.endswith("0 is less than the minimum of 1")


def test_a_page_of_another_site_cannot_start_anything(served: Served, page: Page) -> None:
    page.goto(f"{served.reports}/")  # another port is another site
    ask = "async (url) => (await fetch(url, {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{}'})).ok"
    with pytest.raises(Error, match="Failed to fetch"):
        page.evaluate(ask, f"{served.ui}/api/deployments/filter")
    page.goto(f"{served.ui}/dashboard")
    assert page.evaluate(ask, f"{served.ui}/api/deployments/filter")


def test_schedules_wait_for_a_spec_and_the_stress_test_is_quarterly(served: Served) -> None:
    deployments = {entry["name"]: entry for entry in served.api("/deployments/filter", {})}
    wanted = yaml.safe_load((served.checkout / "prefect.yaml").read_text())["deployments"]
    slugs = {entry["name"]: [one["slug"] for one in entry.get("schedules", [])] for entry in wanted}
    assert {name: [one["slug"] for one in entry["schedules"]] for name, entry in deployments.items()} == slugs
    scheduled = [entry for entry in deployments.values() if entry["schedules"]]
    assert not any(schedule["active"] for entry in scheduled for schedule in entry["schedules"])
    assert any(line.startswith("schedule") and "specs/stress.yaml" in line for line in served.lines), served.lines
    quarterly = deployments["stress-test"]["schedules"][0]
    assert quarterly["schedule"]["cron"] == "0 3 1 1,4,7,10 *"

    for entry in scheduled:
        for schedule in entry["schedules"]:
            served.switch_on(entry["id"], schedule["id"])
    dates = served.next_dates([entry["id"] for entry in scheduled])
    assert set(dates) == {entry["id"] for entry in scheduled}
    stress = dates[deployments["stress-test"]["id"]]
    assert all((date.month, date.day, date.hour, date.minute) in QUARTERS for date in stress), stress
    assert min(stress) > datetime.now(UTC)


def test_missed_slos_failures_in_a_row_and_regressions_are_sent_through_a_notification_block(
    served: Served, store: ResultStore, lab: EmbeddedLab
) -> None:
    small: dict[str, Any] = {"matrix": SMALL_MATRIX, "repetitions": 3, "pulls_per_trial": 6}
    write_spec(served, lab, "told", **small)
    request = RunRequest(
        spec=served.checkout / "specs" / "lab" / "told.yaml", results=str(served.checkout / "results"), report=False
    )
    prepared = Prepared(request)
    with prepared.bench:
        good = conduct(prepared, Calls(), Calls())
    Baselines(store).set(good.run_id, datetime.now(UTC))
    with Listener() as listener:
        make_webhook_block(served, "on-call", listener.url)
        assert not any(entry["enabled"] for entry in served.api("/automations/filter", {})), "without an action"
        environment = {"PREFECT_API_URL": f"{served.ui}/api"}
        done = served.shell.run("automations", "install", "--notify", "custom-webhook/on-call", **environment)
        assert done.code == 0, done.err
        assert [line.split("  ")[0] for line in done.out.splitlines()] == ["changed"] * AUTOMATIONS, done.out
        assert all(entry["enabled"] for entry in served.api("/automations/filter", {}))
        spec = write_spec(served, lab, "told", **small, timeout_s=0.001)
        run = served.begin(BENCHMARK, spec=spec, **QUICK)
        assert "success_rate, consecutive_failures" in served.wait(run)["message"]
        told = listener.wait_for(3)
    bad = next(entry for entry in store.runs() if entry.name == "told")
    assert set(told) == {
        "pullbench: told missed its SLO",
        "pullbench: pulls of told fail",
        "pullbench: told got worse",
    }
    assert all(f"Run {bad.run_id} at local" in text for text in told.values()), told
    assert "18 " not in told["pullbench: pulls of told fail"], "sent while the run goes on"
    assert f"baseline {good.run_id}" in told["pullbench: told got worse"]
    assert len(served.api("/automations/filter", {})) == AUTOMATIONS


def finished(store: ResultStore, name: str, at_least: int, served: Served, flow_run: str) -> str:
    """Wait for so many stored trials of the newest run of a name; its run_id."""
    until = time.monotonic() + 120
    while True:
        for run in store.runs():
            if run.name == name and len(store.finished_trials(run.run_id)) >= at_least:
                return run.run_id
        state = served.api(f"/flow_runs/{flow_run}")["state"]
        assert state["type"] in ("SCHEDULED", "PENDING", "RUNNING"), state["message"]
        assert time.monotonic() < until
        time.sleep(0.3)


def test_a_run_survives_a_cancel_in_the_ui_and_the_end_of_serve_which_leaves_no_process(
    served: Served, store: ResultStore, browser: Browser, page: Page, lab: EmbeddedLab
) -> None:
    steady = {"load": {"mode": "open", "rate": 8, "arrivals": "uniform"}, "pulls_per_trial": 4}  # half a second a trial
    spec = write_spec(served, lab, "interrupted", matrix=SMALL_MATRIX, repetitions=200, **steady)
    first = served.begin(BENCHMARK, spec=spec, **QUICK)
    page.goto(f"{served.ui}/runs/flow-run/{first}")
    run_id = finished(store, "interrupted", 2, served, first)
    clicked = cancel_in_the_ui(browser)
    assert served.wait(first)["type"] == "CANCELLED"
    page.goto("about:blank")
    run = store.run(run_id)
    assert run.status == "incomplete"
    assert run.finished_at is not None and (run.finished_at - clicked).total_seconds() < 15
    kept = store.finished_trials(run_id)
    assert 2 <= len(kept) < run.trials_planned

    second = served.begin(BENCHMARK, spec=spec, resume=run_id, **QUICK)
    finished(store, "interrupted", len(kept) + 2, served, second)
    assert len(served.family()) >= 4, "the command, its server, its worker, and a run"
    before = served.provided()
    code, left = served.end(signal.SIGINT)
    assert (code, left) == (0, [])
    resumed = store.run(run_id)
    assert resumed.status == "incomplete"
    assert kept < store.finished_trials(run_id), "what was kept stays, and the resumed run added to it"

    said = served.start()
    for label in ("work pools", "deployments"):
        assert next(line for line in said if line.startswith(label)).endswith("unchanged"), said
    assert served.provided() == before
    state = served.api(f"/flow_runs/{second}")["state"]
    assert state["type"] == "CANCELLED", state
