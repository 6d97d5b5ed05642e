"""A client for the run's Kubernetes API: JSON over TLS from inside the node's namespace."""

import http.client
import json
import ssl

import yaml

from . import netns

CLUSTER_SCOPED = {
    "Namespace", "Node", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "GatewayClass",
    "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}


class ApiError(AssertionError):
    def __init__(self, status, text):
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text


def parse(text):
    """The objects of a YAML text."""
    return [o for o in yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if o]


def _plural(kind):
    word = kind.lower()
    if word == "endpoints":
        return word
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "ch")) else "s")


def path_of(api_version, kind, namespace=None, name=None):
    parts = ["apis" if "/" in api_version else "api", api_version]
    if kind not in CLUSTER_SCOPED:
        parts += ["namespaces", namespace or "default"]
    parts.append(_plural(kind))
    if name:
        parts.append(name)
    return "/" + "/".join(parts)


class Kube:
    def __init__(self, ns, port, token):
        self._ns = ns
        self._port = port
        self._token = token
        self._tls = ssl.create_default_context()
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE

    def call(self, method, path, body=None, content_type="application/json", ok=(200, 201, 202)):
        """One call; the answer's JSON (or text), ApiError when the status is not one of `ok`."""
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=30)
        raw = netns.connect(self._ns, ("127.0.0.1", self._port), timeout=30)
        try:
            connection.sock = self._tls.wrap_socket(raw)
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, path, data, {
                "Authorization": f"Bearer {self._token}", "Content-Type": content_type, "Accept": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
            raw.close()
        if answer.status not in ok:
            raise ApiError(answer.status, f"{method} {path}: {text[:2000]}")
        try:
            return json.loads(text)
        except ValueError:
            return text

    def get(self, api_version, kind, name, namespace=None):
        return self.call("GET", path_of(api_version, kind, namespace, name))

    def create(self, obj):
        meta = obj["metadata"]
        return self.call("POST", path_of(obj["apiVersion"], obj["kind"], meta.get("namespace")), obj)

    def apply(self, obj):
        """Server-side apply."""
        meta = obj["metadata"]
        path = path_of(obj["apiVersion"], obj["kind"], meta.get("namespace"), meta["name"])
        return self.call("PATCH", path + "?fieldManager=clew-mesh&force=true", obj, "application/apply-patch+yaml")

    def delete(self, obj):
        meta = obj["metadata"]
        path = path_of(obj["apiVersion"], obj["kind"], meta.get("namespace"), meta["name"])
        self.call("DELETE", path, {"gracePeriodSeconds": 0}, ok=(200, 202, 404))

    def patch_status(self, obj, status):
        meta = obj["metadata"]
        path = path_of(obj["apiVersion"], obj["kind"], meta.get("namespace"), meta["name"])
        return self.call("PATCH", path + "/status", {"status": status}, "application/strategic-merge-patch+json")

    def token(self, namespace, account, audience):
        path = path_of("v1", "ServiceAccount", namespace, account) + "/token"
        answer = self.call("POST", path, {
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": [audience], "expirationSeconds": 43200}})
        return answer["status"]["token"]
