"""`python -m mpvn.cli`: the command `mpvn`."""

from mpvn.cli import main

if __name__ == "__main__":
    main()
