"""How fast pullbench itself is, beside other clients of registries."""
