"""`python -m springboard` is the `springboard` command."""

from springboard.cli import main

main()
