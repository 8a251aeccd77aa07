"""`python -m pullbench.lab` serves the lab until stdin ends, SIGTERM or Ctrl-C; it prints its addresses as one JSON line.

`registry`, `registries` (several in one process) and `links` are the parts that the lab starts as separate processes.
"""

import argparse
import contextlib
import json
import signal
import socket
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pullbench.lab.children import raise_open_files_limit, read_part, serve_until_let_go
from pullbench.lab.contents import Contents, read_images
from pullbench.lab.faults import Fault, Faults
from pullbench.lab.link import LinkEnds, Links, LinkShape
from pullbench.lab.registry import Registry


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pullbench.lab", description=__doc__)
    parser.add_argument("part", nargs="?", choices=["lab", "registry", "registries", "links"], default="lab")
    parser.add_argument("--seed", type=int, default=1, help="another seed makes other images")
    parser.add_argument("--folder", type=Path, help="keep the images in this directory; default: a temporary one")
    arguments = parser.parse_args()
    raise_open_files_limit()
    if arguments.part == "lab":
        _lab(arguments.seed, arguments.folder)
    else:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with contextlib.suppress(EOFError), part(arguments.part, read_part()):
            serve_until_let_go("ready")


def _lab(seed: int, folder: Path | None) -> None:
    # Imported here: the parts need no numpy, and start faster without it.
    from pullbench.lab.embedded import EmbeddedLab

    with EmbeddedLab.start(seed=seed, folder=folder) as lab, contextlib.suppress(KeyboardInterrupt):
        serve_until_let_go(json.dumps(lab.addresses()))


def part(name: str, config: dict[str, Any]) -> AbstractContextManager[object]:
    """One running part of the lab; `config` is the message from its parent."""
    if name == "links":
        return Links([_ends(entry) for entry in config["links"]])
    if name == "registries":
        with contextlib.ExitStack() as stack:
            for entry in config["registries"]:
                stack.enter_context(_registry(entry))
            return stack.pop_all()
    return _registry(config)


def _registry(config: dict[str, Any]) -> Registry:
    faults = [Fault(**entry) for entry in config.get("faults", [])]
    return Registry(
        Contents(read_images(Path(config["images"])) if "images" in config else ()),
        upstream=config.get("upstream"),
        cache_folder=Path(config["cache_folder"]) if "cache_folder" in config else None,
        uploads_folder=Path(config["uploads_folder"]) if "uploads_folder" in config else None,
        forgets=config.get("forgets", 0.0),
        faults=Faults(faults, seed=config.get("seed", 1)) if faults else None,
        seed=config.get("seed", 1),
        slots=config.get("slots"),
        tls=(Path(config["certificate"]), Path(config["key"])) if "certificate" in config else None,
        service_s=config.get("service_s", 0.0),
        listener=socket.socket(fileno=config["listener"]),
    )


def _ends(entry: dict[str, Any]) -> LinkEnds:
    host, port = entry["target"]
    shape = LinkShape(
        delay_s=entry["delay_s"],
        rate_bytes_per_s=entry["rate_bytes_per_s"],
        jitter_s=entry.get("jitter_s", 0.0),
        seed=entry.get("seed", 1),
        exact=entry.get("exact", False),
    )
    return LinkEnds(listener=socket.socket(fileno=entry["listener"]), target=(host, port), shape=shape)


if __name__ == "__main__":
    main()
