"""`python3 app.py FILE JOB`: push a file of metrics; the same as `simplepipe push FILE JOB`."""

import sys

from simplepipe.command import main

if __name__ == "__main__":
    sys.exit(main(["push", *sys.argv[1:]]))
