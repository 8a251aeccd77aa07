"""One file a group of commands: call, print. The parsing stands in pullbench/cli/main.py, so that help imports none of this."""
