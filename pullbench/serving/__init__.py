"""The parts of `pullbench serve`: a project's deployments, a Prefect server set up for them, workers, the reports' pages."""
