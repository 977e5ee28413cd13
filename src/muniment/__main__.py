"""`python -m muniment`: the same as the `muniment` command."""

from muniment.cli.main import run

if __name__ == "__main__":
    run()
