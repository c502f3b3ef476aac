"""What governing a call costs: `make bench`. How to read it: docs/reference/benchmark.md."""
