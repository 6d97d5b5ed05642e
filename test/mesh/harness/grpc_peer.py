#!/usr/bin/python3
"""A gRPC service and its client, on Google's own library, as programs of a pod (its threads are its own, so it cannot live in ours).

  grpc_peer.py serve PORT                  every method of clew.test.Echo, messages are plain bytes
  grpc_peer.py call ADDRESS AUTHORITY      every kind of call, the outcomes as JSON
"""

import json
import sys
import threading
import time
from concurrent import futures

import grpc

SERVICE = "/clew.test.Echo/"


def metadata(pairs):
    """What the other side said, without what a proxy or the library adds to every call."""
    return sorted([k, v.decode() if isinstance(v, bytes) else v] for k, v in pairs or () if k.startswith("say-"))


class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        kind, method = details.method.removeprefix(SERVICE).split("/")[0], None
        said = [(k, v) for k, v in details.invocation_metadata if k.startswith("say-")]

        def begin(context):
            context.send_initial_metadata([("say-hello", "initial"), *said])
            context.set_trailing_metadata([("say-bye", "trailing"), ("say-bytes-bin", b"\x00\xff".hex().encode())])

        def unary(request, context):
            begin(context)
            return request[::-1]

        def collect(requests, context):
            begin(context)
            return b"%d" % sum(map(len, requests))

        def split(request, context):
            begin(context)
            for i in range(int(request)):
                yield b"%d" % i

        def chat(requests, context):
            begin(context)
            for request in requests:
                yield request.upper()

        def fail(request, context):
            begin(context)
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no: 100% ä\n")

        def fail_midway(request, context):
            begin(context)
            yield b"one"
            context.abort(grpc.StatusCode.DATA_LOSS, "gone")

        def slow(request, context):
            time.sleep(1)
            return b"late"

        kinds = {
            "Unary": grpc.unary_unary_rpc_method_handler(unary), "Collect": grpc.stream_unary_rpc_method_handler(collect),
            "Split": grpc.unary_stream_rpc_method_handler(split), "Chat": grpc.stream_stream_rpc_method_handler(chat),
            "Fail": grpc.unary_unary_rpc_method_handler(fail), "FailMidway": grpc.unary_stream_rpc_method_handler(fail_midway),
            "Slow": grpc.unary_unary_rpc_method_handler(slow)}
        return kinds.get(kind, method)


def serve(port):
    server = grpc.server(futures.ThreadPoolExecutor(16), handlers=[Echo()])
    if not server.add_insecure_port(f"0.0.0.0:{port}"):
        sys.exit(f"port {port} is taken")
    server.start()
    server.wait_for_termination()


def outcome(call, read):
    """Messages, status and metadata of one call, however it ended."""
    messages = []
    try:
        for message in read(call):
            messages.append(message.decode() if len(message) < 100 else len(message))
    except grpc.RpcError:
        pass
    return {"messages": messages, "code": call.code().name, "details": call.details(),
            "initial": metadata(call.initial_metadata()), "trailing": metadata(call.trailing_metadata())}


def answer(call):
    yield call.result()


def taking_turns(channel):
    """A conversation: each message is sent only after the answer to the one before."""
    answered = threading.Semaphore(0)

    def ask():
        for word in ("a", "b", "c"):
            yield word.encode()
            answered.acquire(timeout=20)

    def read(call):
        for message in call:
            answered.release()
            yield message
    return outcome(channel.stream_stream(SERVICE + "Chat")(ask(), timeout=20), read)


def call(address, authority):
    said = (("say-so", "x"), ("say-it-bin", b"\x01\x02"))
    options = [("grpc.default_authority", authority), ("grpc.enable_retries", 0), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(f"ipv4:{address}", options) as channel:
        def unary(method, message=b"abc", **more):
            return outcome(channel.unary_unary(SERVICE + method).future(message, **{"timeout": 20, **more}), answer)
        results = {
            "unary": unary("Unary", metadata=said),
            "large": unary("Unary", b"x" * 3_000_000),
            "client stream": outcome(channel.stream_unary(SERVICE + "Collect").future(
                (b"x" * 10_000 for _ in range(50)), timeout=20, metadata=said), answer),
            "server stream": outcome(channel.unary_stream(SERVICE + "Split")(b"20", timeout=20), iter),
            "empty stream": outcome(channel.unary_stream(SERVICE + "Split")(b"0", timeout=20), iter),
            "conversation": taking_turns(channel),
            "refused": unary("Fail"),
            "refused midway": outcome(channel.unary_stream(SERVICE + "FailMidway")(b"", timeout=20), iter),
            "unknown method": unary("Nothing"),
            "too slow": unary("Slow", timeout=0.3),
        }
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    {"serve": serve, "call": call}[sys.argv[1]](*sys.argv[2:])
