"""What operators need: liveness, readiness, metrics, traces and logs."""
