"""The version of this project, as its services, spans and metadata give it."""

from typing import Final

VERSION: Final = "0.1.0"
