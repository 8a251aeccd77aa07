"""tag-consistency: one tag, one image, wherever it is."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.finding import Finding, Status
from pullbench.preflight.check import Local, ObservedFault
from pullbench.preflight.checks import tag_consistency
from pullbench.preflight.checks.tag_consistency import TagLocation
from tests.preflight.content import FakeDaemon, Image, context_of, findings_of, holding, index_over, spec_over
from tests.registry.fake_registry import digest_of

OLD = Image("2026-01-01T10:00:00Z")
NEW = Image("2026-11-01T10:00:00.123456789Z")
ARM = Image("2026-11-01T10:00:00Z", architecture="arm64")
TARGET = Local(name="app:1.0")
DOCKER = {"engines": ["docker"], "platforms": ["linux/amd64"]}
MIRROR = {
    "proxies": [{"name": "cache", "kind": "mirror", "upstream": "eu", "url": "https://cache.example", "prefix": "hub"}],
    "matrix": {"platforms": ["linux/amd64"], "proxies": ["direct", "cache"]},
}


def judged(*places: TagLocation) -> Finding:
    (found,) = tag_consistency.judge(places, TARGET)
    return found


def place(name: str, digest: str, created: datetime | None = None, **more: Any) -> TagLocation:
    more = {
        "kind": "registry",
        "manifests": {"linux/amd64": digest},
        "configs": {"linux/amd64": f"config-{digest}"},
        **more,
    }
    return TagLocation(name=name, reference=f"{name}.example/app:1.0", digest=digest, created=created, **more)


def found_over(registries: dict[str, Any], **changes: Any) -> Finding:
    daemon = changes.pop("daemon", FakeDaemon())
    (found,) = findings_of(
        tag_consistency.CHECK, context_of(registries, spec_over("eu", "us", **changes), daemon=daemon)
    )
    return found


def test_one_digest_at_every_registry_passes_by_heads_alone() -> None:
    registries = {"eu": holding("app", "1.0", NEW), "us": holding("app", "1.0", NEW)}
    found = found_over(registries)
    assert (found.target, found.status, found.observed) == ("app:1.0", Status.PASS, f"{NEW.digest} at eu, us")
    assert [request.method for fake in registries.values() for request in fake.requests] == ["HEAD", "HEAD"]


def test_a_stale_tag_on_a_second_registry_fails_with_both_dates_and_the_copy_that_mends_it() -> None:
    found = found_over({"eu": holding("app", "1.0", NEW), "us": holding("app", "1.0", OLD)})
    assert found.status is Status.FAIL
    assert (found.code, "us is stale" in found.observed) == ("digest_mismatch", True)
    assert f"eu: {NEW.digest} created 2026-11-01 10:00:00Z" in found.observed
    assert f"us: {OLD.digest} created 2026-01-01 10:00:00Z" in found.observed
    assert "`skopeo copy --all docker://eu.example/app:1.0 docker://us.example/app:1.0`" in found.remedy


def test_the_first_registry_may_be_the_stale_one() -> None:
    found = found_over({"eu": holding("app", "1.0", OLD), "us": holding("app", "1.0", NEW)})
    assert (found.code, "eu is stale" in found.observed) == ("digest_mismatch", True)
    assert "skopeo copy --all docker://us.example/app:1.0 docker://eu.example/app:1.0" in found.remedy


@pytest.mark.parametrize("dates", [(None, None), (datetime(1970, 1, 1, tzinfo=UTC),) * 2])
def test_dates_that_do_not_tell_are_not_guessed_from(dates: tuple[datetime | None, datetime | None]) -> None:
    found = judged(place("eu", "sha256:a", dates[0]), place("us", "sha256:b", dates[1]))
    assert found.status is Status.FAIL
    assert (found.code, "stale" in found.observed) == ("digest_mismatch", False)
    assert "`skopeo inspect docker://eu.example/app:1.0`" in found.remedy


def test_plain_http_is_told_to_skopeo() -> None:
    found = judged(
        place("eu", "sha256:a", datetime(2026, 2, 1, tzinfo=UTC), plain_http=True),
        place("us", "sha256:b", datetime(2026, 1, 1, tzinfo=UTC)),
    )
    assert "skopeo copy --all --src-tls-verify=false docker://eu" in found.remedy


def test_a_copy_without_its_index_is_a_warning_where_the_platform_is_the_same() -> None:
    found = found_over({"eu": holding("app", "1.0", NEW, ARM, index=True), "us": holding("app", "1.0", NEW)})
    assert found.status is Status.WARN
    assert (found.status, found.code) == (Status.WARN, None)
    assert "skopeo copy --all docker://eu.example/app:1.0 docker://us.example/app:1.0" in found.remedy


def test_a_copy_that_lacks_a_platform_of_the_matrix_fails_and_is_not_called_stale() -> None:
    both = {"matrix": {"platforms": ["linux/amd64", "linux/arm64"]}}
    found = found_over({"eu": holding("app", "1.0", NEW, ARM, index=True), "us": holding("app", "1.0", NEW)}, **both)
    assert found.status is Status.FAIL
    assert found.observed.startswith("[platform_missing] us has only linux/amd64")


def test_a_mirror_behind_its_upstream_is_a_warning() -> None:
    spec = spec_over("eu", **MIRROR)
    context = context_of({"eu": holding("app", "1.0", NEW), "cache": holding("hub/app", "1.0", OLD)}, spec)
    (found,) = findings_of(tag_consistency.CHECK, context)
    assert found.status is Status.WARN
    assert "cache is stale" in found.observed
    assert "cache.example/hub/app:1.0" in found.remedy


def test_a_registry_that_cannot_be_asked_is_named_and_the_others_are_compared() -> None:
    found = found_over({"eu": holding("app", "1.0", NEW)})
    assert found.status is Status.SKIP
    assert found.observed.startswith("only eu has")
    assert "us is unknown" in found.observed and "[connect_refused]" in found.observed


def test_nowhere_to_be_asked_is_not_run() -> None:
    fault = ObservedFault(code=ErrorCode.NOT_FOUND, text="404")
    found = judged(TagLocation(name="eu", kind="registry", reference="x", fault=fault))
    assert (found.status, found.observed.startswith("not run: ")) == (Status.SKIP, True)


@pytest.mark.parametrize(
    "held",
    [
        {"Id": "sha256:x", "RepoDigests": [f"eu.example/app@{digest_of(index_over(NEW, ARM))}"]},
        {"Id": "sha256:x", "RepoDigests": [f"eu.example/app@{ARM.digest}"]},
        {"Id": digest_of(NEW.config), "RepoDigests": []},
    ],
)
def test_a_daemon_is_current_by_the_index_by_one_of_its_platforms_or_by_the_config(held: dict[str, Any]) -> None:
    daemon = FakeDaemon({"eu.example/app:1.0": held})
    spec = spec_over("eu", matrix=DOCKER)
    (found,) = findings_of(
        tag_consistency.CHECK, context_of({"eu": holding("app", "1.0", NEW, ARM, index=True)}, spec, daemon=daemon)
    )
    assert found.status is Status.PASS
    assert found.observed.endswith(" eu, the Docker daemon")


def test_a_daemon_with_another_image_under_the_name_is_a_warning_with_its_date_and_the_pull() -> None:
    held = {"Id": "sha256:x", "RepoDigests": [f"us.example/app@{OLD.digest}"], "Created": "2026-01-01T10:00:00.5Z"}
    registries = {"eu": holding("app", "1.0", NEW), "us": holding("app", "1.0", NEW)}
    found = found_over(registries, daemon=FakeDaemon({"us.example/app:1.0": held}), matrix=DOCKER)
    assert found.status is Status.WARN
    assert "us.example/app:1.0" in found.observed
    assert f"{OLD.digest} created 2026-01-01 10:00:00Z" in found.observed
    assert "`docker pull us.example/app:1.0`" in found.remedy


def test_a_daemon_that_is_not_there_is_named_and_one_that_nobody_named_is_not_asked() -> None:
    class Broken(FakeDaemon):
        def find(self, reference: str) -> None:
            raise RegistryError(ErrorCode.ENGINE_UNAVAILABLE, "docker", "no answer")

    registries = {"eu": holding("app", "1.0", NEW), "us": holding("app", "1.0", NEW)}
    found = found_over(registries, daemon=Broken(), matrix=DOCKER)
    assert found.status is Status.PASS
    assert "daemon is unknown" in found.observed and "[engine_unavailable]" in found.observed
    assert found_over(registries, daemon=Broken()).observed == f"{NEW.digest} at eu, us"


def test_an_image_that_is_held_to_a_digest_is_not_compared() -> None:
    assert tag_consistency.skips(Local(name=f"app@{NEW.digest}")) is not None
    assert tag_consistency.skips(TARGET) is None


def test_a_registry_that_breaks_in_the_middle_is_compared_by_what_it_said() -> None:
    us = holding("app", "1.0", OLD)
    us.handler = lambda request: us.serve(request) if request.method == "HEAD" else httpx.Response(503)
    found = found_over({"eu": holding("app", "1.0", NEW), "us": us})
    assert (found.status, "stale" in found.observed) == (Status.FAIL, False)


def test_a_registry_that_states_no_digest_is_compared_by_the_manifest_s_bytes() -> None:
    silent = holding("app", "1.0", NEW)

    def handle(request: httpx.Request) -> httpx.Response:
        answer = silent.serve(request)
        del answer.headers["Docker-Content-Digest"]
        return answer

    silent.handler = handle
    assert found_over({"eu": holding("app", "1.0", NEW), "us": silent}).observed == f"{NEW.digest} at eu, us"
