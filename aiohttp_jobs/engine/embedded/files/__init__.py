"""The data folder: submissions, results and what belongs to them, as files that other programs may read."""
