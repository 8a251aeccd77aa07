"""The embedded lab: registries, shaped links and synthetic images on loopback, without root, Docker or network."""
