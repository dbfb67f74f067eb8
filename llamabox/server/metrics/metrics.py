"""Metrics of one server, in a registry of its own."""

import threading
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from llamabox.engine import EngineStatus, FinishEvent
from llamabox.server.metrics.families import Rates, families

FIRST_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640)
EACH_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 10)


class Metrics(Collector):
    """Shared by all HTTP threads.  status: how the engine stands; None while there is none"""

    def __init__(self, status: Callable[[], EngineStatus | None]):
        self._status = status
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self._first = Histogram(
            "llamabox:time_to_first_token_seconds",
            "From the submission of a request to its first token.",
            buckets=FIRST_S,
            registry=self._registry,
        )
        self._each = Histogram(
            "llamabox:time_per_output_token_seconds",
            "Of each answer: the average time between its tokens.",
            buckets=EACH_S,
            registry=self._registry,
        )
        self._lock = threading.Lock()
        self._before = EngineStatus()

    def first_token(self, seconds: float) -> None:
        """A request got its first token so long after it was submitted."""
        self._first.observe(seconds)

    def finished(self, event: FinishEvent) -> None:
        """An answer is complete."""
        if event.n_predicted > 1:
            self._each.observe(event.timings.predicted_ms / 1e3 / (event.n_predicted - 1))

    def collect(self) -> Iterator[Metric]:
        """Called by the registry when the metrics are read."""
        status = self._status()
        if status is None:
            return
        with self._lock:
            rates, self._before = Rates.between(self._before, status), status
        yield from families(status, rates)

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)
