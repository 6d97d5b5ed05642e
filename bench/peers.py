"""The same hop through each proxy: HTTP/1.1 in and out, keep-alive, one worker, access log off, equal features."""
import json
import pathlib

from processes import LOAD_CPU, PROXY_CPU, Process, free_port, wait_http


def backend(cwd, body_bytes):
    """nginx serving a fixed body, beside the load generator."""
    port = free_port()
    (pathlib.Path(cwd) / "www").mkdir(exist_ok=True)
    (pathlib.Path(cwd) / "www" / "body").write_bytes(b"x" * body_bytes)
    (pathlib.Path(cwd) / "backend.conf").write_text(f"""
daemon off; user root; worker_processes 1; pid backend.pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; open_file_cache max=10;
  server {{ listen 127.0.0.1:{port} backlog=4096; root {cwd}/www; default_type application/octet-stream; }} }}
""")
    process = Process(["nginx", "-p", cwd, "-c", f"{cwd}/backend.conf"], LOAD_CPU, cwd)
    wait_http(f"http://127.0.0.1:{port}/body", process)
    return process, port


def bootstrap(listen, upstream, admin):
    """An Envoy bootstrap that clew and Envoy both take."""
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "generate_request_id": False,
        "stream_idle_timeout": "0s",
        "route_config": {
            "name": "bench",
            "virtual_hosts": [{
                "name": "all", "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "0s"}}],
            }],
        },
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                             "dynamic_stats": False, "suppress_envoy_headers": True},
        }],
    }
    return {
        "node": {"id": "bench", "cluster": "bench"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}},
        "static_resources": {
            "listeners": [{
                "name": "bench",
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": listen}},
                "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
            }],
            "clusters": [{
                "name": "backend", "type": "STATIC", "connect_timeout": "1s",
                "circuit_breakers": {"thresholds": [{"max_connections": 100000, "max_pending_requests": 100000, "max_requests": 100000}]},
                "load_assignment": {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [{
                    "endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": upstream}}}}]}]},
            }],
        },
    }


def envoy_like(binary):
    def start(cwd, upstream):
        listen, admin = free_port(), free_port()
        config = pathlib.Path(cwd) / f"{pathlib.Path(binary).name}.json"
        config.write_text(json.dumps(bootstrap(listen, upstream, admin)))
        process = Process([binary, "-c", str(config), "--concurrency", "1", "-l", "warning", "--disable-hot-restart"], PROXY_CPU, cwd)
        wait_http(f"http://127.0.0.1:{listen}/body", process)
        return process, listen
    return start


def nginx(cwd, upstream):
    listen = free_port()
    (pathlib.Path(cwd) / "proxy.conf").write_text(f"""
daemon off; user root; worker_processes 1; pid proxy.pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000;
  upstream b {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{listen} backlog=4096;
    location / {{ proxy_pass http://b; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; }} }} }}
""")
    process = Process(["nginx", "-p", cwd, "-c", f"{cwd}/proxy.conf"], PROXY_CPU, cwd)
    wait_http(f"http://127.0.0.1:{listen}/body", process)
    return process, listen


def haproxy(cwd, upstream):
    listen = free_port()
    (pathlib.Path(cwd) / "haproxy.cfg").write_text(f"""
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend f
  bind 127.0.0.1:{listen}
  default_backend b
backend b
  server s 127.0.0.1:{upstream}
""")
    process = Process(["haproxy", "-f", f"{cwd}/haproxy.cfg"], PROXY_CPU, cwd)
    wait_http(f"http://127.0.0.1:{listen}/body", process)
    return process, listen
