"""`make bench`: the figures of the README, as ratios from one interleaved run."""
