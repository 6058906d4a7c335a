"""Running jobs and publishing their changes, shared by all engines. Imports no engine."""
