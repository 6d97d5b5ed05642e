#!/usr/bin/python3
"""A mesh with two pods, `client` and `server`, that stays up for work by hand until Ctrl-C or SIGTERM.

  lab.py [--proxy PATH|clew|envoy] [--comparison] [--log-level debug] [--apply FILE]...
  lab.py shell POD [COMMAND...]   in a running lab: a shell (or command) in a pod's network; `node` is the control plane
  lab.py request                  in a running lab: one request from client to server, with both access-log lines
  lab.py restart [POD]            in a running lab: starts the sidecars again, with the binary as it is now
"""

import argparse
import os
import pathlib
import subprocess
import sys
import time

from harness.lifetime import stop_on_signals
from harness.mesh import Mesh
from harness.procs import Failed

STATE = pathlib.Path("/tmp")


def running_labs():
    return sorted(p.parent for p in STATE.glob("clew-*x*/lab") if pathlib.Path(f"/proc/{p.read_text().strip()}").exists())


def the_lab(which):
    labs = [l for l in running_labs() if which in (None, l.name)]
    if not labs:
        sys.exit("no lab is running")
    if len(labs) > 1:
        sys.exit("several labs are running, choose one with --lab: " + " ".join(l.name for l in labs))
    return labs[0]


def guide(mesh):
    run = f"clew-{mesh.run}"
    lab = f"{pathlib.Path(__file__).resolve()}"
    print(f"""
lab {run} is up; Ctrl-C (or SIGTERM to {os.getpid()}) ends it and removes everything. Files: {mesh.dir}
  a request           ip netns exec {run}-client curl -si http://server:8080/hello      (or: {lab} request)
  a pod's network     ip netns exec {run}-client bash                                  (or: {lab} shell client)""")
    for pod in mesh.pods.values():
        if pod.agent:
            print(f"""  {pod.name:8} {pod.ip:12} proxy pid {pod.proxy_pid}, its files: /proc/{pod.agent.pid}/root
           proxy's log      {pod.stderr}
           access log       {pod.stdout}
           admin            ip netns exec {run}-{pod.name} curl -s localhost:15000/config_dump""")
    print(f"""  debugger            gdb -p PID;   strace -f -p PID
  istiod              {mesh.control_plane.istiod.log}   (lines with ACK ERROR are NACKs)
  what istiod sent    ip netns exec {run}-node curl -s 'localhost:8080/debug/config_dump?proxyID=client.default'
  apply objects       {lab} shell node kubectl apply -f FILE
  after a new build   {lab} restart
""", flush=True)


def up(options):
    stop_on_signals()
    began = time.monotonic()
    try:
        with Mesh(proxy=options.proxy, comparison=options.comparison or options.proxy == "envoy") as mesh:
            (mesh.dir / "lab").write_text(str(os.getpid()))
            print(f"control plane up after {time.monotonic() - began:.1f} s", flush=True)
            pods = dict(log_level=options.log_level, wait=False)
            mesh.pod("server", ports={"http": 8080, "tcp": 9000, "auto": 9090}, **pods)
            mesh.pod("client", **pods)
            mesh.write_hosts()
            for pod in mesh.pods.values():
                try:
                    pod.wait_ready(options.ready_timeout)
                    print(f"{pod.name} is ready after {time.monotonic() - began:.1f} s", flush=True)
                except Failed as e:
                    print(f"{e}\n{pod.name} is NOT ready; the lab stays up", flush=True)
            for path in options.apply:
                mesh.apply(pathlib.Path(path).read_text())
            guide(mesh)
            serve(mesh)
    except KeyboardInterrupt:
        print("ended", flush=True)


def serve(mesh):
    """Acts on the commands that the other forms of this program leave in the run's folder."""
    command = mesh.dir / "command"
    while True:
        if command.exists():
            words = command.read_text().split()
            command.unlink()
            for pod in list(mesh.pods.values()):
                if words[0] == "restart" and pod.agent and words[1:] in ([], [pod.name]):
                    restart(pod)
        time.sleep(0.1)


def restart(pod):
    try:
        pod.restart_sidecar()
        pod.wait_ready(20.0)
        print(f"restarted {pod.name}: ready, proxy pid {pod.proxy_pid}", flush=True)
    except Failed as e:
        print(f"{e}\n{pod.name} is NOT ready; the lab stays up", flush=True)


def ask(lab, text):
    (lab / "command").write_text(text)
    while (lab / "command").exists():
        time.sleep(0.05)


def request(lab):
    ns = f"{lab.name}-client"
    for pod in ("client", "server"):
        log = lab / "pods" / pod / "stdout.log"
        (lab / f"{pod}.offset").write_text(str(log.stat().st_size))
    subprocess.run(["ip", "netns", "exec", ns, "curl", "-si", "-m", "20", "http://server:8080/hello"])
    print()
    time.sleep(1.3)  # the proxies flush their logs once a second
    for pod in ("client", "server"):
        log = lab / "pods" / pod / "stdout.log"
        print(f"--- {pod}:")
        print(log.read_bytes()[int((lab / f"{pod}.offset").read_text()):].decode(errors="replace"), end="")


def main():
    if len(sys.argv) > 1 and sys.argv[1] in ("shell", "request", "restart"):
        which = None
        arguments = sys.argv[2:]
        if arguments[:1] == ["--lab"]:
            which, arguments = arguments[1], arguments[2:]
        lab = the_lab(which)
        if sys.argv[1] == "request":
            return request(lab)
        if sys.argv[1] == "restart":
            return ask(lab, " ".join(["restart", *arguments]))
        pod, *command = arguments
        os.environ["KUBECONFIG"] = str(lab / "control-plane/kubeconfig")
        os.execvp("ip", ["ip", "netns", "exec", f"{lab.name}-{pod}", *(command or ["bash"])])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxy", default="clew", help="clew (CLEW_BINARY or build/clew), envoy, or a path")
    parser.add_argument("--comparison", action="store_true", help="istiod leaves out what Envoy's own binary lacks")
    parser.add_argument("--log-level", help="of the proxies")
    parser.add_argument("--apply", action="append", default=[], help="a file of Istio objects")
    parser.add_argument("--ready-timeout", type=float, default=20.0)
    up(parser.parse_args())


if __name__ == "__main__":
    main()
