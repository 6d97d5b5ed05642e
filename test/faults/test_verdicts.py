"""F6: what clew and Envoy say of one configuration must be the same, or be known."""

import collections
import re
import time

from generated import configurations, seeds
from harness.figures import scaled
from harness.resources import ADS, LISTENER_PORT, TYPE, TYPES, ads_bootstrap, eds_cluster, endpoints, listener, manager, route
from harness.procs import Failed, wait_for

# A field or a value that is not in the table (COMPATIBILITY.md): refused by name.
BY_POLICY = re.compile(r"is not supported|is not known|type \S+ is not ")
# What else clew refuses and Envoy accepts: what the refusal says, and why.
STRICTER = {
    "filters: is empty": "a chain that ends nowhere",
    "is neither a name nor": "a domain that no request can have",
    "is no text": "endpoints' metadata is compared as text",
    "is no header name": "no request can have it",
    "is not the sum": "total_weight and weights that disagree",
    "must be 0: the kernel chooses": "one local port for all connections of a cluster",
    "rds.route_config_name: is empty": "nobody sends a table without a name",
    "cluster: is empty": "a TCP proxy that goes nowhere",
    "is no range of ports": "a listener filter that is switched off for no port",
    "is supported for JSON alone": "a setting that would do nothing",
    "nothing says whom to trust": "a certificate that nobody looks at",
    "is neither a socket_address nor a pipe": "an endpoint without an address",
    "must begin with / and not end with it": "a path that no request can have",
    "is no cookie name": "no client would take it",
    "is a matter of routes": "a limit that would do nothing",
    "max_connect_attempts: must be from 1 to 100": "a bound",
    "from secret": "refused when it comes: the last one serves on",
    "must be GRPC for secrets": "the agent speaks nothing else",
    "is no protocol": "no handshake can carry it",
    "is no single name": "ciphers and curves are named one by one",
    "Failed to initialize": "ciphers and curves are looked at before the secrets have come",
}
# What Envoy refuses and clew accepts: what Envoy says, and why.
LOOSER = {
    "unknown cluster": "inline tables as those of RDS: a cluster may come later, 503 until then",
    "from <inline>": "read when it is used: no handshake succeeds with what is none",
    "Unknown static": "secrets without a source are the bootstrap's: what needs one that is not there never goes live",
}
_envoy = {}


class Judge:
    """Asks one proxy about resources, one at a time."""

    # The names that the proxy has asked for. Listeners follow each other, as their addresses are the same; a cluster goes as the next one comes.
    NAMES = {"listener": "generated", "route": "r", "endpoints": "app", "secret": "certificate", "trust": "trusted"}

    def __init__(self, lab):
        self.lab, self.ads = lab, lab.ads()
        self.last, self.unsent = {}, None
        # Addresses that are nobody's here can be bound all the same.
        lab.sh("sysctl", "-qw", "net.ipv4.ip_nonlocal_bind=1", "net.ipv6.ip_nonlocal_bind=1")
        tls = {"name": "envoy.transport_sockets.tls", "typed_config": {
            "@type": TYPE + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": "certificate", "sds_config": ADS}],
                                   "validation_context_sds_secret_config": {"name": "trusted", "sds_config": ADS}}}}
        self.ads.set(eds_cluster("app"), eds_cluster("secured", transport_socket=tls))
        self.ads.set(endpoints("app", 1), endpoints("secured", 1))
        self.ads.set(route("r", "app"))
        self.ads.set(listener("l", LISTENER_PORT, manager("r")))
        bootstrap = ads_bootstrap(self.ads.path)
        xds, = bootstrap["static_resources"]["clusters"]
        bootstrap["static_resources"]["clusters"].append({**xds, "name": "sds-grpc", "load_assignment": {
            "cluster_name": "sds-grpc", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": "./nobody"}}}}]}]}})
        bootstrap["layered_runtime"] = {"layers": [{"name": "Istio's", "static_layer": {"re2.max_program_size.error_level": "32768"}}]}
        self.proxy = lab.proxy(bootstrap)
        wait_for("the names to be asked for", lambda: all(self.ads.answers(kind) for kind in ("route", "endpoints")))

    def ask(self, kind, resource):
        """The refusal, or "accepted"; None when this is no message that can be sent."""
        resource = dict(resource)
        name = self.NAMES.get("trust" if "validationContext" in resource else kind) or f"g{next(self.lab.numbers)}"
        field = "clusterName" if kind == "endpoints" else "name"
        if resource.get(field):
            resource[field] = name
        gone = [self.last.pop(kind)] if kind in self.last else []
        if kind not in self.NAMES:
            self.last[kind] = name
        since = len(self.ads.messages)
        self.ads.send(kind, (name, resource), removedResources=gone)
        deadline = time.monotonic() + (5 if self.lab.name == "envoy" else 20)
        while time.monotonic() < deadline:
            nonce = "none yet"
            for message in self.ads.messages[since:]:
                if "error" in message:
                    self.last.pop(kind, None)
                    if gone:
                        self.last[kind] = gone[0]
                    self.ads.messages.remove(message)
                    self.unsent = message["error"]
                    return None
                nonce = message.get("sent", nonce)
                if message.get("response_nonce") == nonce:
                    return message["error_detail"]["message"] if "error_detail" in message else "accepted"
            if not self.proxy.process.running():
                raise Failed(f"ended by {resource}\n{self.proxy.explain()}")
            time.sleep(0.002)
        if self.lab.name != "envoy":
            raise Failed(f"no answer about {resource}\n{self.proxy.explain()}")
        # The cluster before it is warming, and nothing will come for it.
        self.proxy.stop()
        self.proxy.start()
        self.proxy.wait_ready()
        self.unsent = "no answer"
        return None


def test_f6_generated(lab, figure):
    """Verdicts on generated configurations. What clew refuses by its table is allowed, and counted; nothing that Envoy refuses is accepted,
    but for what is listed here. CI: 150, full 2,000, of those that can be sent: a third cannot."""
    judge = Judge(lab)
    refused = {resource.get("name", kind): said for kind, resource in seeds() if (said := judge.ask(kind, resource)) != "accepted"}
    assert not refused
    counts, policy, wrong = collections.Counter(), collections.Counter(), []
    for kind, what, resource in configurations(scaled(3000, 225)):
        said = judge.ask(kind, resource)
        if said is None or (lab.name == "clew" and what not in _envoy):
            counts["without a verdict"] += 1
            continue
        if lab.name == "envoy":
            _envoy[what] = said
            counts["accepted" if said == "accepted" else "refused"] += 1
            continue
        theirs = _envoy[what]
        known = STRICTER if theirs == "accepted" else LOOSER if kind != "secret" else {}
        why = next((why for text, why in known.items() if text in (said if theirs == "accepted" else theirs)), None)
        if (said == "accepted") == (theirs == "accepted"):
            counts["alike"] += 1
        elif theirs == "accepted" and BY_POLICY.search(said):
            counts["by policy"] += 1
            policy[re.sub(r"\[.*?\]", "", said.split(": ", 1)[-1])[:100]] += 1
        elif why:
            counts["stricter" if theirs == "accepted" else "looser"] += 1
            policy[why] += 1
        else:
            wrong.append(f"{what}\n    Envoy: {theirs}\n    clew:  {said}")
    figure("F6 generated", ", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
    for field, n in policy.most_common():
        print(f"by policy, {n}: {field}")
    assert not wrong, f"{len(wrong)}\n" + "\n".join(wrong)
