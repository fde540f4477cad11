"""`python -m simplepipe`, the same as `simplepipe`."""

import sys

from simplepipe.command import main

sys.exit(main())
