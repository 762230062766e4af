"""A real SLURM cluster of three nodes on one machine, for tests: n1 with a made-up GPU, n2 and n3."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

NODES = ("n1", "n2", "n3")
FOLDER = Path("/etc/slurm")

CONFIG = """
ClusterName=loop
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
SlurmctldPort={ports[0]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
ReturnToService=2
SlurmdParameters=config_overrides
SlurmdTimeout=10
MinJobAge=3600
KillWait=5
GresTypes=gpu
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4 RealMemory=16000 Gres=gpu:1
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4 RealMemory=16000
NodeName=n3 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[3]} CPUs=4 RealMemory=16000
PartitionName=cpu Nodes=n1,n2,n3 Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=n1 MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Return why a cluster cannot run here; an empty text if it can."""
    for program in ("slurmctld", "slurmd", "munged", "sbatch", "runuser"):
        if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin"):
            return f"SLURM is not installed: no {program}"
    if os.getuid() != 0:
        return "daemons of SLURM need root"
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        return "snakemake-executor-plugin-slurm is not installed"
    return ""


class Cluster:
    """The cluster, running from its creation until :meth:`stop`; its state is in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._links: list[Path] = []
        self._started_munge = False
        for name in ("state", *(f"spool/{node}" for node in NODES)):
            (folder / name).mkdir(parents=True)
        (folder / "slurm.conf").write_text(CONFIG.format(folder=folder, ports=_free_ports(4)))
        (folder / "gres.conf").write_text("NodeName=n1 Name=gpu File=/dev/null\n")
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        FOLDER.mkdir(exist_ok=True)
        for name in ("slurm.conf", "gres.conf"):
            if (FOLDER / name).exists():
                raise RuntimeError(f"{FOLDER / name} exists: this machine is part of a cluster")
            (FOLDER / name).unlink(missing_ok=True)  # a link into a folder that is gone
            (FOLDER / name).symlink_to(self.folder / name)
            self._links.append(FOLDER / name)
        if subprocess.run(["munge", "-n"], check=False, capture_output=True).returncode != 0:
            subprocess.run(["install", "-d", "-o", "munge", "-g", "munge", "-m", "755", "/run/munge"], check=True)
            subprocess.run(["runuser", "-u", "munge", "--", "/usr/sbin/munged", "--force"], check=True)
            self._started_munge = True
        subprocess.run(["slurmctld"], check=True, env=_environment())
        for node in NODES:
            self.start_node(node)
        self.wait_for(lambda: set(self.run("sinfo", "-h", "-N", "-o", "%T").split()) == {"idle"}, "idle nodes")

    def stop(self) -> None:
        """Stop all that was started."""
        for node in NODES:
            self.kill_node(node)
        _kill(self.folder / "slurmctld.pid")
        if self._started_munge:
            _kill(Path("/run/munge/munged.pid"))
        for link in self._links:
            link.unlink(missing_ok=True)

    def run(self, *command: str) -> str:
        """Run one of SLURM's commands and return what it prints."""
        return subprocess.run(command, check=True, capture_output=True, text=True, env=_environment()).stdout

    def start_node(self, node: str) -> None:
        """Start a node."""
        subprocess.run(["slurmd", "-N", node], check=True, env=_environment())

    def kill_node(self, node: str) -> None:
        """Kill a node's daemon and all jobs on it at once, as a loss of power does."""
        _kill(self.folder / f"slurmd.{node}.pid")
        processes = {process.number: process for process in _processes()}
        of_node = [each for each in processes.values() if f"SLURMD_NODENAME={node}" in each.environment]
        steps = [processes[each.parent] for each in of_node if each.parent in processes]
        # daemons of steps first: they would report the end of their jobs
        for process in [each for each in steps if each.command.startswith("slurmstepd")] + of_node:
            with suppress(ProcessLookupError):
                os.kill(process.number, signal.SIGKILL)

    def signal_job(self, number: str, sent: signal.Signals) -> None:
        """Send a signal to all processes of a job but SLURM's own."""
        for process in _processes():
            if f"SLURM_JOB_ID={number}" in process.environment and not process.command.startswith("slurm"):
                with suppress(ProcessLookupError):
                    os.kill(process.number, sent)

    def jobs(self) -> list[dict[str, str]]:
        """Return SLURM's jobs, those that ended too: number, state, node, partition, comment (the rule)."""
        fields = ("number", "state", "node", "partition", "comment")
        lines = self.run("squeue", "-h", "-t", "all", "-o", "%i|%T|%N|%P|%k").splitlines()
        return [dict(zip(fields, line.split("|"), strict=True)) for line in lines]

    def wait_for(self, condition: Callable[[], object], what: str, seconds: float = 180) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {what} within {seconds} s")
            time.sleep(0.1)


class _Process:
    """A process of this machine."""

    def __init__(self, folder: Path) -> None:
        self.number = int(folder.name)
        self.command = (folder / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
        self.environment = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
        self.parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])


def _processes() -> list[_Process]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found.append(_Process(folder))
    return found


def _kill(pid_file: Path) -> None:
    with suppress(FileNotFoundError, ProcessLookupError, ValueError):
        os.kill(int(pid_file.read_text()), signal.SIGKILL)
        pid_file.unlink()


def _environment() -> dict[str, str]:
    """Return the environment without a SLURM job around this process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    return kept | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
