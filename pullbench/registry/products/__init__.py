"""The storage APIs of registry products, in addition to the OCI API."""
