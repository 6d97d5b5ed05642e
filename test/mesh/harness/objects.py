"""Istio objects that more than one scenario applies."""


def gone(i):
    """A VirtualService for `server` that differs from others by i alone, to be seen: /gone-<i> answers 410."""
    return f"""
        apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata: {{name: server}}
        spec:
          hosts: [server]
          http:
          - match: [{{uri: {{prefix: /gone-{i}}}}}]
            directResponse: {{status: 410}}
          - route: [{{destination: {{host: server}}}}]
        """
