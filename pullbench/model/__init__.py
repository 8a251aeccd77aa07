"""Pure data: OCI terms, the spec, the plan and the records. No IO, no clock."""
