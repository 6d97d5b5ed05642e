"""Reads a sidecar's access log: Istio's default text format, or JSON."""

import dataclasses
import json
import re

from .procs import wait_for

FIELDS = (
    ("start_time", r"\[(\S+)\]"),
    ("request", r'"([^"]*)"'),
    ("response_code", r"(\d+)"),
    ("response_flags", r"(\S+)"),
    ("response_code_details", r"(\S+)"),
    ("connection_termination_details", r"(\S+|\"[^\"]*\")"),
    ("upstream_transport_failure_reason", r'"([^"]*)"'),
    ("bytes_received", r"(\d+)"),
    ("bytes_sent", r"(\d+)"),
    ("duration", r"(\d+|-)"),
    ("upstream_service_time", r"(\d+|-)"),
    ("x_forwarded_for", r'"([^"]*)"'),
    ("user_agent", r'"([^"]*)"'),
    ("request_id", r'"([^"]*)"'),
    ("authority", r'"([^"]*)"'),
    ("upstream_host", r'"([^"]*)"'),
    ("upstream_cluster", r"(\S+)"),
    ("upstream_local_address", r"(\S+)"),
    ("downstream_local_address", r"(\S+)"),
    ("downstream_remote_address", r"(\S+)"),
    ("requested_server_name", r"(\S+)"),
    ("route_name", r"(\S+)"),
)
PATTERN = re.compile("^" + " ".join(pattern for _, pattern in FIELDS) + "$")

# What differs from one run of the same request to the next.
VOLATILE = ("start_time", "duration", "upstream_service_time", "request_id", "upstream_local_address", "upstream_host",
            "downstream_local_address", "downstream_remote_address", "raw")


@dataclasses.dataclass
class Line:
    raw: str
    start_time: str
    request: str
    response_code: int
    response_flags: str
    response_code_details: str
    connection_termination_details: str
    upstream_transport_failure_reason: str
    bytes_received: int
    bytes_sent: int
    duration: str
    upstream_service_time: str
    x_forwarded_for: str
    user_agent: str
    request_id: str
    authority: str
    upstream_host: str
    upstream_cluster: str
    upstream_local_address: str
    downstream_local_address: str
    downstream_remote_address: str
    requested_server_name: str
    route_name: str

    @property
    def method(self):
        return self.request.split(" ")[0]

    @property
    def path(self):
        parts = self.request.split(" ")
        return parts[1] if len(parts) == 3 else ""

    def stable(self):
        """The fields that two runs of one scenario have in common."""
        return {k: v for k, v in dataclasses.asdict(self).items() if k not in VOLATILE}


def parse(line):
    """The line's fields, or None when it is not an access-log line."""
    match = PATTERN.match(line)
    if not match:
        return None
    values = dict(zip((name for name, _ in FIELDS), match.groups()))
    for name in ("response_code", "bytes_received", "bytes_sent"):
        values[name] = int(values[name])
    return Line(raw=line, **values)


class AccessLog:
    """The log of one sidecar. `mark()` makes later calls look only at what comes after it."""

    def __init__(self, path, explain):
        self._path = path
        self._explain = explain
        self._offset = 0

    def mark(self):
        self._offset = self._path.stat().st_size

    def text(self):
        with open(self._path, "rb") as f:
            f.seek(self._offset)
            return f.read().decode(errors="replace")

    def lines(self, **match):
        found = []
        for raw in self.text().splitlines():
            if (line := parse(raw)) and all(getattr(line, k) == v for k, v in match.items()):
                found.append(line)
        return found

    def wait_for(self, timeout=15.0, count=1, **match):
        """Waits for lines whose fields equal `match`; returns the newest (or, with `count`, the newest so many)."""
        found = wait_for(f"{count} access-log line(s) with {match}",
                         lambda: (found := self.lines(**match)) and len(found) >= count and found,
                         timeout, explain=lambda: f"--- the log\n{self.text()[-4000:]}\n{self._explain()}")
        return found[-1] if count == 1 else found[-count:]

    def json(self):
        """The lines that are JSON objects with a start time."""
        objects = []
        for raw in self.text().splitlines():
            if raw.startswith("{"):
                obj = json.loads(raw)
                if "start_time" in obj:
                    objects.append(obj)
        return objects

    def wait_for_json(self, timeout=15.0, **match):
        return wait_for(f"a JSON access-log line with {match}",
                        lambda: [o for o in self.json() if all(o.get(k) == v for k, v in match.items())],
                        timeout, explain=lambda: f"--- the log\n{self.text()[-4000:]}")[-1]
