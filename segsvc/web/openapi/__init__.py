"""The API's description for people and for machines: an OpenAPI 3.1 document.

Bodies are described by the marshmallow schemas that validate them, so that the two cannot drift apart; parameters
take their bounds and choices from where they are read. ``python -m segsvc.web.openapi`` writes the document out.
"""

from segsvc.web.openapi.document import build_document

__all__ = ["build_document"]
