"""Images in what is already deployed."""

import pytest
import yaml

from pullbench.bench.discover import images_in, read_image

COMPOSE = """
services:
  web: {image: nginx, ports: ["80:80"]}
  app: {image: "registry.example.com:5000/team/app:1.2", build: {context: .}}
"""
KUBERNETES = """
kind: Deployment
spec:
  template:
    spec:
      initContainers: [{name: wait, image: "busybox:1.36"}]
      containers: [{name: app, image: "ghcr.io/team/app@sha256:%s"}]
---
kind: Service
""" % ("a" * 64)


def test_compose_services_name_their_images() -> None:
    assert list(images_in(yaml.safe_load_all(COMPOSE))) == ["nginx", "registry.example.com:5000/team/app:1.2"]


def test_init_containers_and_every_document_are_read() -> None:
    assert list(images_in(yaml.safe_load_all(KUBERNETES))) == ["busybox:1.36", f"ghcr.io/team/app@sha256:{'a' * 64}"]


@pytest.mark.parametrize(
    ("text", "url", "reference"),
    [
        ("nginx", "https://registry-1.docker.io", "library/nginx:latest"),
        ("bitnami/redis:7", "https://registry-1.docker.io", "bitnami/redis:7"),
        ("docker.io/library/nginx:1", "https://registry-1.docker.io", "library/nginx:1"),
        ("localhost:5000/app", "http://localhost:5000", "app:latest"),
        ("127.0.0.1:5000/app:1", "http://127.0.0.1:5000", "app:1"),
        ("ghcr.io/team/app:2", "https://ghcr.io", "team/app:2"),
    ],
)
def test_an_image_is_read_with_the_defaults_of_docker(text: str, url: str, reference: str) -> None:
    found = read_image(text)
    assert (found.url, str(found.reference)) == (url, reference)


def test_a_template_is_no_image() -> None:
    with pytest.raises(ValueError, match="no repository name"):
        read_image("${IMAGE}")
