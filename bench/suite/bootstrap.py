"""The bootstrap that clew and Envoy both take, for each lane. One file for both: equal features by construction."""

TYPE = "type.googleapis.com/envoy."
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
H2_OPTIONS = {"max_concurrent_streams": 1024, "initial_stream_window_size": 65535, "initial_connection_window_size": 1048576}


def bootstrap(lane, listen, upstream, admin, routes=None, certificates=None):
    """lane: h1, tcp, mtls, grpc. routes: the virtual hosts, when it is not one route to the backend."""
    chain = {"filters": [tcp_proxy() if lane == "tcp" else connection_manager(routes or everything(lane))]}
    if lane == "mtls":
        chain["transport_socket"] = downstream_tls(certificates)
    return {
        "node": {"id": "bench", "cluster": "bench"},
        "admin": {"address": address(admin)},
        "static_resources": {
            "listeners": [{"name": "bench", "address": address(listen), "filter_chains": [chain]}],
            "clusters": [cluster(upstream, http2=lane == "grpc")],
        },
    }


def dynamic(admin, socket):
    """Everything comes from a delta ADS server on a unix socket."""
    ads = {"ads": {}, "resource_api_version": "V3"}
    return {
        "node": {"id": "bench", "cluster": "bench"},
        "admin": {"address": address(admin)},
        "dynamic_resources": {
            "lds_config": ads, "cds_config": ads,
            "ads_config": {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": True,
                           "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}]},
        },
        "static_resources": {"clusters": [{
            "name": "xds-grpc", "type": "STATIC", "connect_timeout": "1s",
            "typed_extension_protocol_options": {HTTP_OPTIONS: {
                "@type": "type.googleapis.com/" + HTTP_OPTIONS, "explicit_http_config": {"http2_protocol_options": {}}}},
            "load_assignment": {"cluster_name": "xds-grpc", "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": {"pipe": {"path": str(socket)}}}}]}]},
        }]},
    }


def listener(port):
    """As a resource; its routes by RDS."""
    rds = {"route_config_name": "bench", "config_source": {"ads": {}, "resource_api_version": "V3"}}
    return {"@type": TYPE + "config.listener.v3.Listener", "name": "bench", "address": address(port),
            "filter_chains": [{"filters": [connection_manager(rds=rds)]}]}


def routes(more_hosts=()):
    """As a resource: all to the backend; virtual hosts nobody asks for beside it."""
    hosts = everything("h1") + [{"name": h, "domains": [h], "routes": everything("h1")[0]["routes"]} for h in more_hosts]
    return {"@type": TYPE + "config.route.v3.RouteConfiguration", "name": "bench", "virtual_hosts": hosts}


def eds_cluster(name):
    """As a resource."""
    return {"@type": TYPE + "config.cluster.v3.Cluster", **{k: v for k, v in cluster(0).items() if k != "load_assignment"},
            "name": name, "type": "EDS", "eds_cluster_config": {"eds_config": {"ads": {}, "resource_api_version": "V3"}}}


def endpoints(name, addresses, port):
    """As a resource."""
    return {"@type": TYPE + "config.endpoint.v3.ClusterLoadAssignment", "cluster_name": name, "endpoints": [
        {"lb_endpoints": [{"endpoint": {"address": address(port, host)}} for host in addresses]}]}


def address(port, host="127.0.0.1"):
    return {"socket_address": {"address": host, "port_value": port}}


def everything(lane):
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "0s"}}]
    if lane == "mtls":
        routes.insert(0, {"match": {"path": "/direct"}, "direct_response": {"status": 200}})
    return [{"name": "all", "domains": ["*"], "routes": routes}]


def connection_manager(virtual_hosts=None, rds=None):
    """Keep-alive, no access log, no request id, none of Envoy's own headers or per-route statistics."""
    routes = {"rds": rds} if rds else {"route_config": {"name": "bench", "virtual_hosts": virtual_hosts}}
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "bench",
            "generate_request_id": False,
            "stream_idle_timeout": "0s",
            "http2_protocol_options": H2_OPTIONS,
            **routes,
            "http_filters": [{
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": TYPE + "extensions.filters.http.router.v3.Router",
                                 "dynamic_stats": False, "suppress_envoy_headers": True},
            }],
        },
    }


def tcp_proxy():
    return {
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {"@type": TYPE + "extensions.filters.network.tcp_proxy.v3.TcpProxy",
                         "stat_prefix": "bench", "cluster": "backend"},
    }


def downstream_tls(certificates):
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": TYPE + "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": True,
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
                "tls_certificates": [{"certificate_chain": {"filename": certificates["server_pem"]},
                                      "private_key": {"filename": certificates["server_key"]}}],
                "validation_context": {"trusted_ca": {"filename": certificates["ca_pem"]}},
            },
        },
    }


def cluster(upstream, http2=False):
    options = {"explicit_http_config": {"http2_protocol_options": H2_OPTIONS} if http2 else {"http_protocol_options": {}}}
    return {
        "name": "backend", "type": "STATIC", "connect_timeout": "1s",
        "circuit_breakers": {"thresholds": [{"max_connections": 100000, "max_pending_requests": 100000, "max_requests": 100000}]},
        "typed_extension_protocol_options": {HTTP_OPTIONS: {"@type": "type.googleapis.com/" + HTTP_OPTIONS, **options}},
        "load_assignment": {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": address(upstream)}}]}]},
    }
