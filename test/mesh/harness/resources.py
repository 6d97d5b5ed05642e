"""Resources of the xDS API as dicts, for a proxy that a test configures by itself: one of each kind, with what tests change as words."""

ADMIN_PORT = 15000
LISTENER_PORT = 10000

TYPE = "type.googleapis.com/"
HCM = TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
TCP_PROXY = TYPE + "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
ROUTER = {"name": "envoy.filters.http.router",
          "typed_config": {"@type": TYPE + "envoy.extensions.filters.http.router.v3.Router"}}
HTTP_OPTIONS = TYPE + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
TYPES = {kind: f"{TYPE}envoy.{path}" for kind, path in {
    "cluster": "config.cluster.v3.Cluster", "endpoints": "config.endpoint.v3.ClusterLoadAssignment",
    "listener": "config.listener.v3.Listener", "route": "config.route.v3.RouteConfiguration",
    "secret": "extensions.transport_sockets.tls.v3.Secret"}.items()}
ADS = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}  # as istiod's: waits for ever


def address(port, ip="127.0.0.1"):
    return {"socket_address": {"address": ip, "port_value": port}}


def endpoints(name, *ports, ip="127.0.0.1"):
    return {"@type": TYPES["endpoints"], "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(p, ip)}} for p in ports]}] if ports else []}


def static_cluster(name, *ports, ip="127.0.0.1", **fields):
    assignment = {k: v for k, v in endpoints(name, *ports, ip=ip).items() if k != "@type"}
    return {"@type": TYPES["cluster"], "name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": assignment, **fields}


def eds_cluster(name, **fields):
    return {"@type": TYPES["cluster"], "name": name, "type": "EDS", "connect_timeout": "1s",
            "eds_cluster_config": {"eds_config": ADS, "service_name": name}, **fields}


def http2(cluster):
    return {**cluster, "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": HTTP_OPTIONS, "explicit_http_config": {"http2_protocol_options": {}}}}}


# istiod's default for every outbound route
ISTIO_RETRIES = {"retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes", "num_retries": 2,
                 "retry_host_predicate": [{"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {
                     "@type": TYPE + "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}],
                 "host_selection_retry_max_attempts": "5", "retriable_status_codes": [503]}


def route(name, *targets, **fields):
    """targets: cluster names (everything goes to the one), or (prefix, cluster)."""
    routes = [{"name": cluster, "match": {"prefix": prefix}, "route": {"cluster": cluster, "timeout": "0s", **fields}}
              for prefix, cluster in [t if isinstance(t, tuple) else ("/", t) for t in targets]]
    return {"@type": TYPES["route"], "name": name, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]}


def manager(routes=None, **fields):
    """An HTTP connection manager: with this route table, or asking ADS for the table of this name."""
    source = {"rds": {"route_config_name": routes, "config_source": ADS}} if isinstance(routes, str) else {
        "route_config": {k: v for k, v in routes.items() if k != "@type"}}
    return {"name": "envoy.filters.network.http_connection_manager",
            "typed_config": {"@type": HCM, "stat_prefix": "test", **source, "http_filters": [ROUTER], **fields}}


def tcp_proxy(cluster, **fields):
    return {"name": "envoy.filters.network.tcp_proxy",
            "typed_config": {"@type": TCP_PROXY, "stat_prefix": "tcp", "cluster": cluster, **fields}}


def listener(name, port, filters, **fields):
    chain = {"filters": [filters]}
    return {"@type": TYPES["listener"], "name": name, "address": address(port, "0.0.0.0"), "filter_chains": [chain], **fields}


def listener_filter(kind, message, **fields):
    return {"name": f"envoy.filters.listener.{kind}",
            "typed_config": {"@type": f"{TYPE}envoy.extensions.filters.listener.{kind}.v3.{message}", **fields}}


def static_bootstrap(listeners, clusters, admin_port=ADMIN_PORT, **fields):
    def plain(resources):
        return [{k: v for k, v in r.items() if k != "@type"} for r in resources]
    return {"node": {"id": "sidecar~10.0.0.1~test.default~default.svc.cluster.local", "cluster": "test.default"},
            "admin": {"address": address(admin_port)},
            "static_resources": {"listeners": plain(listeners), "clusters": plain(clusters)}, **fields}


def ads_bootstrap(socket_path):
    """As the agent's: everything by delta ADS over a unix socket."""
    xds = http2({"name": "xds-grpc", "type": "STATIC", "connect_timeout": "1s", "load_assignment": {
        "cluster_name": "xds-grpc", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(socket_path)}}}}]}]}})
    return static_bootstrap([], [xds], dynamic_resources={
        "lds_config": ADS, "cds_config": ADS,
        "ads_config": {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": True,
                       "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}]}})
