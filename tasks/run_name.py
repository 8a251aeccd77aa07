"""The name of a flow run: what a person typed stays; a run that a schedule or a shell started is named after what it does."""

from collections.abc import Callable

from prefect.context import FlowRunContext


def named(template: str) -> Callable[[], str]:
    """For `flow_run_name`: a template over the parameters, such as `{spec} at {vantage}`, where nobody could type a name."""

    def name() -> str:
        context = FlowRunContext.get()
        run = None if context is None else context.flow_run
        if context is None or run is None:
            return template
        if run.deployment_id is not None and not run.auto_scheduled:
            return run.name
        return template.format(**(context.parameters or {}))

    return name
