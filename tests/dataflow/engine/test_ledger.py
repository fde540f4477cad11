"""Offsets that are committed, against a log that is simulated record by record."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from services.dataflow.core.ledger import Ledger, Start

SOURCES = [("in", 0), ("out", 0)]
SINK = ("sink", 0)


@dataclass
class World:
    """A version reads two partitions and writes one that others write to as well."""

    replay_end: int
    sink_end: int = 10
    committed_sink: int = 4
    read: dict[tuple[str, int], int] = field(default_factory=lambda: dict.fromkeys(SOURCES, 0))
    unfinished: list[tuple[tuple[str, int], int]] = field(default_factory=list)
    emitted: list[tuple[tuple[str, int], int, int]] = field(default_factory=list)
    """Source partition, its offset, and the offset of what was emitted because of it."""

    def __post_init__(self) -> None:
        self.ledger = Ledger(
            {source: Start(0, self.replay_end) for source in SOURCES},
            {SINK: self.committed_sink},
            {SINK: self.sink_end},
        )
        # An earlier life emitted something because of each record that is read again.
        self.emitted += [
            (source, offset, self.committed_sink) for source in SOURCES for offset in range(self.replay_end)
        ]

    def read_batch(self, source: tuple[str, int], concerned: list[bool]) -> None:
        start = self.read[source]
        offsets = [start + index for index, concerns in enumerate(concerned) if concerns]
        if offsets:
            self.ledger.begin(source, offsets)
            self.unfinished += [(source, offset) for offset in offsets]
        self.read[source] = start + len(concerned)

    def emit(self, choice: int) -> None:
        if self.unfinished:
            source, offset = self.unfinished[choice % len(self.unfinished)]
            self.emitted.append((source, offset, self.sink_end))
            self.sink_end += 1

    def finish(self, choice: int) -> None:
        if self.unfinished:
            source, offset = self.unfinished.pop(choice % len(self.unfinished))
            self.ledger.grown(SINK, self.sink_end)
            self.ledger.finish(source, offset)

    def others_write(self, count: int) -> None:
        self.sink_end += count
        self.ledger.grown(SINK, self.sink_end)

    def check(self) -> None:
        committable = self.ledger.committable(self.read)
        for source, offset in self.unfinished:
            assert committable[source] <= offset
        for source, offset, emission in self.emitted:
            if offset >= committable[source]:
                assert committable[SINK] <= emission
        if not self.unfinished and min(self.read.values()) >= self.replay_end:
            assert committable == self.read | {SINK: self.sink_end}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read_batch"), st.sampled_from(SOURCES), st.lists(st.booleans(), min_size=1, max_size=4)),
        st.tuples(st.just("emit"), st.integers(0, 20)),
        st.tuples(st.just("finish"), st.integers(0, 20)),
        st.tuples(st.just("others_write"), st.integers(1, 5)),
    ),
    max_size=40,
)


@given(st.integers(0, 6), STEPS)
def test_nothing_is_lost_or_forgotten_by_a_restart_at_any_moment(
    replay_end: int, steps: list[tuple[object, ...]]
) -> None:
    world = World(replay_end)
    world.check()
    for name, *arguments in steps:
        getattr(world, str(name))(*arguments)
        world.check()
    while world.unfinished:
        world.finish(0)
    world.others_write(1)
    world.check()


def test_what_enters_behind_a_cut_belongs_to_a_newer_version() -> None:
    ledger = Ledger({("in", 0): Start(0, 0)}, {}, {})
    assert ledger.takes(("in", 0), 7)
    ledger.cut({("in", 0): 5})
    assert ledger.takes(("in", 0), 4)
    assert not ledger.takes(("in", 0), 5)
    assert ledger.takes(("out", 0), 5)


def test_records_of_others_are_passed_over_once() -> None:
    ledger = Ledger({("in", 0): Start(3, 0)}, {}, {})
    ledger.pass_over(("in", 0), 10)
    ledger.pass_over(("in", 0), 5)
    assert ledger.position(("in", 0)) == 10
    assert ledger.committable({("in", 0): 8}) == {("in", 0): 10}
