"""What `pullbench serve` is made of: a project's deployments, what a server needs for them, a worker, the reports' pages."""
