"""The embedded lab: registries, shaped links and synthetic images on loopback; no root, no Docker, no network."""
