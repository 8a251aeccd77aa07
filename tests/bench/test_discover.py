"""Images in what is already deployed."""

from unittest.mock import ANY

import pytest

from pullbench.bench.discover import (
    Mention,
    documents_of,
    images_in,
    interpolated,
    read_image,
    read_image_at,
    serving_host,
)
from pullbench.model.addresses import DOCKER_HUB_API, DOCKER_HUB_HOSTS

COMPOSE = """
x-shared: &shared
  image: not/a-service:1
services:
  web: {image: nginx, ports: ["80:80"]}
  cache:
    image: "registry.example.com:5000/team/cache:${TAG:-1.2}"
  app:
    image: "registry.example.com:5000/team/app:${TAG:-1.2}"
    build: {context: .}
    volumes: !reset []
  job: {image: "team/job:${TAG}"}
  own: {build: .}
"""
KUBERNETES = """
apiVersion: v1
kind: List
items:
  - kind: CronJob
    metadata: {name: nightly, annotations: {image: "not/this:1"}}
    spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: dump, image: "postgres:16"}]}}}}}
---
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      initContainers: [{name: wait, image: "busybox:1.36"}]
      containers: [{name: app, image: "ghcr.io/team/app@sha256:DIGEST"}]
      ephemeralContainers: [{name: look, image: "busybox:1.37"}]
---
kind: Service
metadata: {name: web}
---
""".replace("DIGEST", "a" * 64)


def found(text: str, **environ: str) -> list[Mention]:
    return list(images_in(documents_of(text), environ))


def test_compose_services_name_their_images_and_what_is_only_built_is_told() -> None:
    assert found(COMPOSE) == [
        Mention(where="service web", image="nginx"),
        Mention(where="service cache", image="registry.example.com:5000/team/cache:1.2"),
        Mention(where="service app", why_not=ANY),
        Mention(where="service job", why_not=ANY),
        Mention(where="service own", why_not=ANY),
    ]


def test_every_container_of_every_pod_template_of_every_document_is_read() -> None:
    assert [(mention.where, mention.image) for mention in found(KUBERNETES)] == [
        ("CronJob nightly, container dump", "postgres:16"),
        ("Deployment web, init container wait", "busybox:1.36"),
        ("Deployment web, container app", f"ghcr.io/team/app@sha256:{'a' * 64}"),
        ("Deployment web, ephemeral container look", "busybox:1.37"),
    ]


@pytest.mark.parametrize("kind", ["Pod", "StatefulSet", "DaemonSet", "Job", "ReplicaSet", "Rollout"])
def test_a_pod_template_counts_whatever_its_kind(kind: str) -> None:
    pod = "spec: {containers: [{name: a, image: 'a:1'}]}"
    text = f"kind: {kind}\nmetadata: {{name: x}}\n" + (pod if kind == "Pod" else f"spec: {{template: {{{pod}}}}}")
    assert found(text) == [Mention(where=f"{kind} x, container a", image="a:1")]


def test_any_other_document_is_searched_for_images() -> None:
    assert [mention.image for mention in found("build: {image: 'node:20'}\nscript: [image]")] == ["node:20"]


def test_an_anchor_that_holds_itself_ends() -> None:
    assert found("a: &a {image: 'x:1', again: *a}") == [Mention(where="", image="x:1")]


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${A:-x}", "x"),
        ("${A-x}", "x"),
        ("${EMPTY-x}", ""),
        ("${EMPTY:-x}", "x"),
        ("${TAG:-x}", "2"),
        ("$TAG", "2"),
        ("${TAG:?must be set}", "2"),
        ("${TAG:+-slim}", "-slim"),
        ("${A:+-slim}", ""),
        ("${A:-${B:-${TAG}}}", "2"),
        ("price$$TAG", "price$TAG"),
    ],
)
def test_variables_are_filled_in_as_compose_does(text: str, filled: str) -> None:
    assert interpolated(text, {"TAG": "2", "EMPTY": ""}) == filled


@pytest.mark.parametrize("text", ["${A}", "$A", "${A:?must be set}", "${A?no}", "${EMPTY:?no}", "${A b}", "${"])
def test_a_variable_without_a_value_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="variable"):
        interpolated(text, {"EMPTY": ""})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is not YAML in line"),
        ("a: {{ .Values.image }}\nb: {{ x }}", "helm template"),
        ("a: 2026-99-99", "is not YAML"),
        ("- " * 5000, "nested too deeply"),
    ],
)
def test_what_is_no_yaml_is_told_in_one_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        documents_of(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "url", "reference"),
    [
        ("nginx", "https://registry-1.docker.io", "library/nginx:latest"),
        ("bitnami/redis:7", "https://registry-1.docker.io", "bitnami/redis:7"),
        ("docker.io/library/nginx:1", "https://registry-1.docker.io", "library/nginx:1"),
        ("docker.io/nginx:1", "https://registry-1.docker.io", "library/nginx:1"),
        ("registry-1.docker.io/nginx:1", "https://registry-1.docker.io", "library/nginx:1"),
        ("localhost:5000/app", "http://localhost:5000", "app:latest"),
        ("127.0.0.1:5000/app:1", "http://127.0.0.1:5000", "app:1"),
        ("ghcr.io/team/app:2", "https://ghcr.io", "team/app:2"),
    ],
)
def test_an_image_is_read_with_the_defaults_of_docker(text: str, url: str, reference: str) -> None:
    found = read_image(text)
    assert (found.url, str(found.reference)) == (url, reference)


def test_a_template_is_no_image() -> None:
    with pytest.raises(ValueError, match="not a repository name"):
        read_image("${IMAGE}")


@pytest.mark.parametrize("host", sorted(DOCKER_HUB_HOSTS))
def test_docker_hub_has_one_host_whatever_name_is_written(host: str) -> None:
    assert serving_host(host) == DOCKER_HUB_API
    for text in (f"{host}/nginx:1", "nginx:1"):
        found = read_image_at(DOCKER_HUB_API, text)
        assert (found.host, str(found.reference)) == (DOCKER_HUB_API, "library/nginx:1")
    assert read_image(f"{host}/nginx:1").host == DOCKER_HUB_API
