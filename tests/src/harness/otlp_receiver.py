"""A collector of traces for tests: decodes what comes by OpenTelemetry's own protobuf definitions.

Prints one JSON object a line: first {"port": N}, then one for each request with its headers, its body in hexadecimal and
its spans. Requests to /hook are a webhook's: they are answered and not printed.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


def attributes(pairs):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def spans(request):
    for resource in request.resource_spans:
        of = attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield {
                    "resource": of,
                    "name": span.name,
                    "kind": span.kind,
                    "trace": span.trace_id.hex(),
                    "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "attributes": attributes(span.attributes),
                    "events": len(span.events),
                    "links": len(span.links),
                    "error": span.status.code == 2,
                    "nanoseconds": span.end_time_unix_nano - span.start_time_unix_nano,
                }


class Collector(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = b""
        if self.path != "/hook":
            request = ExportTraceServiceRequest.FromString(body)
            headers = {name.lower(): value for name, value in self.headers.items()}
            told = {"path": self.path, "headers": headers, "body": body.hex(), "spans": list(spans(request))}
            print(json.dumps(told), flush=True)
            answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
print(json.dumps({"port": server.server_port}), flush=True)
server.serve_forever()
sys.exit(0)
