"""What `pullbench serve` is made of: a checkout's deployments, a server's furniture, a worker, the reports' pages."""
