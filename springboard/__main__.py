"""`python -m springboard` is the `springboard` command."""

from springboard.cli.app import main

main()
