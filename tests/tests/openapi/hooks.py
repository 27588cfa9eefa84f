"""What schemathesis has to know of this server beyond its description.

API_DEVICES: identifiers that exist, in JSON by the call that they are there for. API_CERTIFICATE: one in force, as a terminator
sends it. API_PEER: one that is no device's, in base64. API_TILE: a tile of the log that is there.
API_SEEN: where each answer is noted, as `OPERATION STATUS MODE`.
"""

import json
import os
import zlib

import schemathesis

DEVICES = json.loads(os.environ["API_DEVICES"])
CERTIFICATE = os.environ["API_CERTIFICATE"]
PEER = os.environ["API_PEER"]
TILE = os.environ["API_TILE"]
SEEN = open(os.environ["API_SEEN"], "a", buffering=1)


@schemathesis.serializer("application/cbor", "application/ocsp-request", "application/pkcs10")
def raw(_context, value):
    """Bodies that are no JSON go out as they are made up."""
    return value if isinstance(value, bytes) else str(value).encode()


def share(text, of):
    """A number below `of`, the same for the same text."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass")) % of


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Three of four identifiers that are made up become one that exists, and that no other call spoils for this one. So does
    each that an answer named: it is there for another call."""
    path_parameters = path_parameters or {}
    if isinstance(path_parameters.get("tile"), str) and share(path_parameters["tile"], 2):
        path_parameters["tile"] = TILE
    name = path_parameters.get("device")
    if isinstance(name, str) and (name in DEVICES.values() or share(name, 4)):
        call = context.operation.path.rsplit("/", 1)[-1]
        path_parameters["device"] = DEVICES.get(call, DEVICES["any"])
    return path_parameters


@schemathesis.hook
def map_headers(_context, headers):
    """Every other certificate that is made up becomes one that is in force."""
    text = (headers or {}).get("X-Client-Certificate")
    if isinstance(text, str) and share(text, 2):
        headers["X-Client-Certificate"] = CERTIFICATE
    return headers


@schemathesis.hook
def map_body(_context, body):
    """Every other certificate to be revoked that is made up becomes one that can be. Nothing is done to the group of those
    devices that are there for one call."""
    text = body.get("certificate") if isinstance(body, dict) else None
    if isinstance(text, str) and share(text, 2):
        body["certificate"] = PEER
    if isinstance(body, dict) and body.get("group") == "kept":
        body["group"] = "default"
    return body


@schemathesis.check
def seen(_context, response, case):
    """Finds nothing wrong; notes what was asked and answered."""
    operation = case.operation.definition.raw["operationId"]
    mode = case.meta.generation.mode.value if case.meta else "-"
    SEEN.write(f"{operation} {response.status_code} {mode}\n")
