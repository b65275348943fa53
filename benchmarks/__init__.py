"""One command per claim: ``python -m benchmarks.overhead`` and others. Ratios against peers, in one run."""
