"""Lints certificates against RFC 5280 with pkilint, many in one process: the program's own commands take one each.

usage: lint_certificates.py FILE...     (certificates in DER)
prints a line for each finding: file, severity, code and details, with tabs between them; at the end "linted N"
"""

import pathlib
import sys

from pkilint import loader
from pkilint.pkix import certificate, extension, name

LINTER = certificate.create_pkix_certificate_validator_container(
    certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
    [
        certificate.create_issuer_validator_container([]),
        certificate.create_validity_validator_container(),
        certificate.create_subject_validator_container([]),
        certificate.create_extensions_validator_container([]),
        certificate.create_spki_validator_container([]),
    ],
)


def findings(path):
    try:
        loaded = loader.load_certificate(pathlib.Path(path).read_bytes(), path)
    except ValueError as error:
        yield "FATAL", "cannot-be-read", str(error)
        return
    for result in LINTER.validate(loaded.root):
        for found in result.finding_descriptions:
            yield found.finding.severity.name, found.finding.code, f"{found.message or ''} at {result.node.path}"


for path in sys.argv[1:]:
    for severity, code, details in findings(path):
        print(path, severity, code, " ".join(details.split()), sep="\t")
print("linted", len(sys.argv) - 1)
