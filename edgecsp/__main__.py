"""`python -m edgecsp` is `edgecsp`."""

from .cli import main

main()
