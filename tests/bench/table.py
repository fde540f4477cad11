"""A measured figure beside its bar, and the table of them."""

from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """`reached` is None for a row that only informs."""

    id: str
    measure: str
    value: str
    bar: str = ""
    reached: bool | None = None
    details: str = ""


def show(rows: list[Row]) -> None:
    table = Table(title="seldon-mesh benchmark", title_justify="left")
    for column in ("id", "measure", "value", "bar", "", "details"):
        table.add_column(column, overflow="fold")
    for row in rows:
        verdict = "" if row.reached is None else ("reached" if row.reached else "MISSED")
        table.add_row(row.id, row.measure, row.value, row.bar, verdict, row.details)
    Console(width=None if Console().is_terminal else 150).print(table)


def as_data(rows: list[Row]) -> list[dict[str, object]]:
    return [asdict(row) for row in rows]
