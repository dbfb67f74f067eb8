"""What Prometheus reads: llama-box's names, llama-server's names beside them, and histograms of times."""

from llamabox.server.metrics.metrics import Metrics

__all__ = ["Metrics"]
