"""The APIs that registries' products have beside the OCI one: what each tells of its storage."""
