"""What one version of a pipeline has read and written, and which offsets may be committed for it."""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from shared.kafka.progress import Progress

Partition: TypeAlias = tuple[str, int]
"""Topic and partition number; Kafka clients' own type is one too."""
Ends: TypeAlias = Mapping[Partition, int]


@dataclass(frozen=True, slots=True)
class Start:
    """Where reading of a source partition starts."""

    offset: int
    replay_end: int
    """Records below were perhaps read before, by this version on another engine or in an earlier life."""


@dataclass(slots=True)
class _Track:
    progress: Progress
    replay_end: int
    marks: deque[tuple[int, Ends]]
    """For batches with unfinished records: first offset, and where the sinks ended before the batch was read."""


class Ledger:
    """Offsets of one version: its sources, and positions in its sinks from which a restart looks for its own records.

    What was emitted because of a record at or after a committed source offset lies at or after the sink position that
    is committed with it. A sink only grows, so its end as known before a record is read is such a position.
    """

    def __init__(self, sources: Mapping[Partition, Start], sink_positions: Ends, sink_ends: Ends) -> None:
        """`sink_positions` were committed before, `sink_ends` are the ends when everything emitted before was read."""
        self._ends = dict(sink_ends)
        self._frozen: Ends | None = None
        self._tracks = {
            partition: _Track(
                Progress(start.offset),
                start.replay_end,
                deque([(start.offset, dict(sink_positions))] if start.offset < start.replay_end else []),
            )
            for partition, start in sources.items()
        }
        self._cut: dict[Partition, int] = {}

    @property
    def sources(self) -> Iterable[Partition]:
        return self._tracks.keys()

    @property
    def sinks(self) -> Iterable[Partition]:
        return self._ends.keys()

    @property
    def unfinished(self) -> int:
        """How many records are being worked on."""
        return sum(track.progress.unfinished for track in self._tracks.values())

    def position(self, partition: Partition) -> int:
        """The offset from which records of this partition are news."""
        return self._tracks[partition].progress.position

    def begin(self, partition: Partition, offsets: Sequence[int]) -> None:
        """Records of one batch were handed to the flow, in ascending order."""
        track = self._tracks[partition]
        if offsets[0] >= track.replay_end:
            track.marks.append((offsets[0], self._snapshot()))
        for offset in offsets:
            track.progress.begin(offset)

    def pass_over(self, partition: Partition, position: int) -> None:
        """Records below `position` that were not handed over do not concern this version."""
        progress = self._tracks[partition].progress
        if position > progress.position:
            progress.skip(position - 1)

    def finish(self, partition: Partition, offset: int) -> None:
        self._tracks[partition].progress.finish(offset)

    def grown(self, partition: Partition, end: int) -> None:
        """This sink is known to reach up to `end`: a record was acknowledged, or its end was asked for."""
        if end > self._ends.get(partition, end):
            self._ends[partition] = end
            self._frozen = None

    def cut(self, ends: Ends) -> None:
        """A newer version takes over what enters the pipeline at these offsets."""
        self._cut = dict(ends)

    @property
    def cut_at(self) -> Ends:
        return self._cut

    def takes(self, partition: Partition, offset: int) -> bool:
        """Does a record that enters the pipeline here still belong to this version?"""
        return offset < self._cut.get(partition, math.inf)

    def committable(self, read_to: Ends) -> dict[Partition, int]:
        """What may be committed now, given how far each partition was read for everybody."""
        offsets: dict[Partition, int] = {}
        oldest: list[Ends] = []
        for partition, track in self._tracks.items():
            offset, ends = self._oldest(track, read_to.get(partition, 0))
            offsets[partition] = offset
            oldest.append(ends)
        for sink, end in self._ends.items():
            offsets[sink] = min((ends.get(sink, end) for ends in oldest), default=end)
        return offsets

    def _oldest(self, track: _Track, read_to: int) -> tuple[int, Ends]:
        progress, marks = track.progress, track.marks
        if progress.unfinished:
            offset = progress.committable
        else:
            offset = max(progress.position, read_to)
            if offset >= track.replay_end:
                marks.clear()
                return offset, self._snapshot()
        while len(marks) > 1 and marks[1][0] <= offset:
            marks.popleft()
        return offset, marks[0][1]

    def _snapshot(self) -> Ends:
        if self._frozen is None:
            self._frozen = dict(self._ends)
        return self._frozen
