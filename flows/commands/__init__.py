"""One file a group of commands: call, print. The parsing stands in flows/cli.py, so that help imports none of this."""
