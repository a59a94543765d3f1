"""Write the document to the standard output: ``python -m segsvc.web.openapi > docs/openapi.json``."""

import json

from segsvc.web.openapi import build_document

print(json.dumps(build_document(), indent=2, ensure_ascii=False))
