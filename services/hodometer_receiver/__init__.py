"""Example receiver of usage metrics: takes events in, keeps the latest in memory, and shows them."""
