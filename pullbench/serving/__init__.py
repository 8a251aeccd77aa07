"""What `pullbench serve` is made of: a project's deployments, a server's furniture, a worker, the reports' pages."""
