"""One command per claim, always ratios against peers in the same run: ``python -m benchmarks``."""
