"""Which folder of a downloaded artifact is the model: the rules of both inference servers."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from shared.errors import InvalidInput

SETTINGS_FILE = "model-settings.json"
TRITON_CONFIG = "config.pbtxt"
ROOT = PurePosixPath()


@dataclass(frozen=True)
class Listing:
    """What lies below a folder, as relative paths."""

    files: frozenset[PurePosixPath]
    folders: frozenset[PurePosixPath]

    @classmethod
    def of(cls, files: Iterable[str], folders: Iterable[str] = ()) -> "Listing":
        """From texts; the folders on the way to a file need not be given."""
        paths = frozenset(PurePosixPath(file) for file in files)
        parents = {parent for path in paths for parent in path.parents if parent != ROOT}
        return cls(paths, frozenset(parents | {PurePosixPath(folder) for folder in folders}))


def choose_mlserver_folder(listing: Listing, artifact_version: int | None) -> PurePosixPath:
    """A settings file at the top wins, then the asked version, then the highest number, then the top folder.

    Raises InvalidInput when the asked version is missing or there are several of it.
    """
    if PurePosixPath(SETTINGS_FILE) in listing.files:
        return ROOT
    with_settings = [path.parent for path in listing.files if path.name == SETTINGS_FILE]
    if artifact_version is not None:
        found = sorted(folder for folder in with_settings if folder.name == str(artifact_version))
        if len(found) != 1:
            what = "no folder" if not found else f"{len(found)} folders ({', '.join(map(str, found))})"
            raise InvalidInput.of_field(
                "artifactVersion",
                artifact_version,
                f"the artifact has {what} of that name with a {SETTINGS_FILE}, and exactly one is needed",
            )
        return found[0]
    return _highest_number(with_settings, lowest=0) or ROOT


def choose_triton_folder(listing: Listing, artifact_version: int | None) -> PurePosixPath:
    """The asked version directly below the top, else the highest number above 0 at any depth, else the top folder.

    Raises InvalidInput when the asked version is missing.
    """
    if artifact_version is not None:
        folder = PurePosixPath(str(artifact_version))
        if folder not in listing.folders:
            raise InvalidInput.of_field(
                "artifactVersion", artifact_version, "the artifact has no folder of that name at its top"
            )
        return folder
    return _highest_number(listing.folders, lowest=1) or ROOT


def _highest_number(folders: Iterable[PurePosixPath], lowest: int) -> PurePosixPath | None:
    numbered = [(int(folder.name), folder) for folder in folders if folder.name.isascii() and folder.name.isdecimal()]
    eligible = [(number, folder) for number, folder in numbered if number >= lowest]
    # Of two folders with one number, the one nearer to the top.
    return min(eligible, key=lambda item: (-item[0], len(item[1].parts), item[1]))[1] if eligible else None
