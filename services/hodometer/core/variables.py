"""Reading environment variables while noting everything that is wrong with them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shared.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Problem:
    """A setting that stops the start: which, what is wrong, what to write instead."""

    setting: str
    message: str
    fix: str

    def __str__(self) -> str:
        return f"{self.setting}: {self.message}; {self.fix}"


class InvalidSettings(InvalidInput):
    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Variables:
    """The environment, and in `problems` what was found wrong so far."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: list[Problem] = []

    def text(self, name: str, default: str = "") -> str:
        """Without spaces around it; `default` when blank or not set."""
        return self._environment.get(name, "").strip() or default

    def whole_number(self, name: str, default: int, allowed: range) -> int:
        text = self.text(name)
        if not text:
            return default
        # Nine digits are more than any number here may have.
        if text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) in allowed:
            return int(text)
        fix = f"write a whole number from {allowed.start} to {allowed.stop - 1}"
        self.problems.append(Problem(name, f"{text!r} is not a number it can be", fix))
        return default
