"""`python -m edgesweep` is the `edgesweep` command."""

from edgesweep.cli.main import main

if __name__ == "__main__":
    main()
