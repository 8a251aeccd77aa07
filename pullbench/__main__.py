"""`python -m pullbench`."""

from pullbench.cli.main import main

if __name__ == "__main__":
    main()
