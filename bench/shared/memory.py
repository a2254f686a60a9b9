"""How much private memory a process of the server has."""

from __future__ import annotations

import threading
from pathlib import Path


class PeakMemory:
    """The most private memory a process had while this was open, in megabytes, sampled every 50 ms.

    Private memory is RssAnon: shared buffers are not in it.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.megabytes = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            self.megabytes = max(self.megabytes, private_megabytes(self.pid))
            if self._done.wait(0.05):
                return


def private_megabytes(pid: int) -> float:
    """RssAnon of a process, in megabytes of 1024 kilobytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the kernel does not tell RssAnon")
