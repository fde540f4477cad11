"""No order in which records finish makes an unfinished one look done."""

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.kafka.progress import Progress

_offsets = st.sets(st.integers(0, 200), max_size=30).map(sorted)


@settings(max_examples=50, deadline=None)
@given(offsets=_offsets, data=st.data())
def test_the_committed_offset_never_passes_an_unfinished_record(offsets: list[int], data: st.DataObject) -> None:
    progress = Progress(0)
    open_records: set[int] = set()
    skipped = data.draw(st.sets(st.sampled_from(offsets)) if offsets else st.just(set()), label="need no work")
    before = 0
    for offset in offsets:
        if offset in skipped:
            progress.skip(offset)
        else:
            progress.begin(offset)
            open_records.add(offset)
        finished = data.draw(st.sets(st.sampled_from(sorted(open_records))) if open_records else st.just(set()))
        for each in data.draw(st.permutations(sorted(finished))):
            progress.finish(each)
            open_records.remove(each)
        assert progress.committable == min(open_records, default=offset + 1)
        assert progress.committable >= before
        assert progress.unfinished == len(open_records)
        assert progress.position == offset + 1
        before = progress.committable


def test_a_partition_without_records_stays_at_its_start() -> None:
    progress = Progress(17)
    assert (progress.committable, progress.position, progress.unfinished) == (17, 17, 0)
