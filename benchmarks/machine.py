"""What the machine is, what is installed on it, how busy it is, and what a process holds."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import resource
import subprocess
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PACKAGES = (
    "numpy", "numba", "torch", "jax", "onnxruntime", "openvino", "autograd", "mygrad",
)  # fmt: skip
BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}  # names there too
VECTORS = ("avx512f", "avx2", "asimd")  # names in /proc/cpuinfo, the widest first


def machine() -> dict[str, Any]:
    """Return what does not change from run to run."""
    cpu = _cpuinfo()
    processor = cpu.get("model name") or platform.processor() or platform.machine()
    if "cpu family" in cpu:  # a virtual machine often hides the number on the chip
        processor += f" (family {cpu['cpu family']}, model {cpu['model']})"
    flags = (cpu.get("flags") or cpu.get("Features") or "").split()
    return {
        "processor": processor,
        "cores": len(os.sched_getaffinity(0)),
        "vectors": next((v for v in VECTORS if v in flags), "unknown"),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "system": f"{platform.system()} {platform.release()}, {' '.join(platform.libc_ver())}",
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def has_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16 numbers, and so others compute in them."""
    cpu = _cpuinfo()
    return not BFLOAT16.isdisjoint((cpu.get("flags") or cpu.get("Features") or "").split())


def label(machine: dict[str, Any]) -> str:
    """Return the machine's name for the head of a column.

    Examples
    --------
    >>> label({"processor": "Intel(R) Xeon(R) Processor (family 6, model 207)", "cores": 2})
    'Intel Xeon (family 6, model 207), 2 cores'
    """
    words = re.sub(r"\(R\)|\(TM\)| Processor| CPU", "", machine["processor"])
    return f"{words}, {machine['cores']} cores"


def name_of(machine: dict[str, Any]) -> str:
    """Return the machine's name in that of a file.

    Examples
    --------
    >>> name_of({"processor": "AMD EPYC (family 26, model 2)", "cores": 2})
    'amd-epyc-family-26-model-2-2-cores'
    """
    return f"{slug(machine['processor'])}-{machine['cores']}-cores"


def slug(text: str) -> str:
    """Return a text as a part of a file's name.

    Examples
    --------
    >>> slug("NVIDIA H100 80GB HBM3")
    'nvidia-h100-80gb-hbm3'
    """
    return "-".join(re.findall(r"[a-z0-9.]+", text.lower()))


def moment() -> dict[str, Any]:
    """Return what belongs to one run: when, with which source, beside how much other work."""
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "commit": _commit(),
        "load": [round(x, 2) for x in os.getloadavg()],  # over 1, 5 and 15 minutes
    }


def processor_seconds(processes: Iterable[int] = ()) -> tuple[float, float] | None:
    """Return what all programs have had of the processors, and what these processes and we have.

    None where the system does not say.
    """
    try:
        fields = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]))
        own = sum(_ticks(process) for process in (*processes, os.getpid()))
    except OSError:
        return None
    user, nice, system, _, _, irq, softirq, steal = fields[:8]  # stolen: by other virtual machines
    tick = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq + steal) / tick, own / tick


def _ticks(process: int) -> int:
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(words[11]) + int(words[12])


def memory_now() -> float:
    """Return the MB of memory that this process holds."""
    try:
        return _status("VmRSS")
    except OSError:
        return memory_peak()


def memory_peak() -> float:
    """Return the most MB of memory that this process has held.

    ``ru_maxrss`` says the same but starts at the peak of the parent process.
    """
    try:
        return _status("VmHWM")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _status(name: str) -> float:
    text = Path("/proc/self/status").read_text()
    found = re.search(rf"{name}:\s+(\d+) kB", text)
    if found is None:
        raise OSError(f"/proc/self/status has no {name}")
    return int(found[1]) / 1024


def _cpuinfo() -> dict[str, str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    first = text.split("\n\n")[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=HERE, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "../minigrad", "*.py")
        return git("rev-parse", "--short", "HEAD") + (" and changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
