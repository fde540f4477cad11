"""Small real peers for tests and benchmarks: programs that speak our protocols from the other side."""
