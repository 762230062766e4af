"""How much memory is free to this process: the machine, its control group and its limits are asked."""

import sys
from collections.abc import Iterable
from pathlib import Path

import torch


def free_memory(device: str) -> int:
    """Return the bytes that this process may still take on ``device``."""
    if device.startswith("cuda"):
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    import psutil

    return max(0, min(int(psutil.virtual_memory().available), *_control_group(), *_process_limits()))


def _process_limits() -> Iterable[int]:
    if sys.platform == "win32":
        return []
    import resource

    import psutil

    used = psutil.Process().memory_info()
    taken = {resource.RLIMIT_AS: used.vms, resource.RLIMIT_DATA: getattr(used, "data", used.rss)}
    limits = {kind: resource.getrlimit(kind)[0] for kind in taken}
    return [limit - taken[kind] for kind, limit in limits.items() if limit != resource.RLIM_INFINITY]


def _control_group() -> Iterable[int]:
    """Return what is left of this process's control group and those above it, which clusters and containers set."""
    left = []
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root = Path("/sys/fs/cgroup", controllers)
        names = (
            ("memory.max", "memory.current") if not controllers else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        )
        group = root / path.lstrip("/")
        while group.is_relative_to(root):
            limit, used = (_read(group / name).strip() for name in names)
            if limit.isdigit() and used.isdigit():
                left.append(int(limit) - int(used))
            group = group.parent
    return left


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
