"""What this collector is."""

from typing import Final

VERSION: Final = "0.1.0"
COMMIT_VARIABLE: Final = "COLLECTOR_GIT_COMMIT"
"""Set by whoever builds an image; a checkout does not know its commit."""
