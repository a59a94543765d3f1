"""Regular expressions of the document: what the service checks, in what all dialects of them have in common."""

from segsvc.domain import ids

SUBDOMAIN = f"^{ids.SUBDOMAIN}$"
"""A DNS-1123 subdomain; see `segsvc.domain.ids.is_subdomain`."""

NOT_BLANK = r"[^\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
"""A text with a character that `str.strip` leaves; what `\\S` leaves differs from dialect to dialect."""

TIMESTAMP = r"^([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3})?$"
"""A time as `segsvc.domain.segment.timestamp` writes it, or nothing."""

TRACE_ID = r"^[0-9a-f]{32}$"
"""A W3C trace id."""

ENTITY_TAG = r'^"[0-9a-f]{32}(-gzip)?"$'
"""An entity tag of ours; see `segsvc.web.conditional.entity_tag`."""

_ANY_TAG = r'(W/)?"[!#-~]*"'

ENTITY_TAGS = rf"^(\*|{_ANY_TAG}([ \t]*,[ \t]*{_ANY_TAG})*)$"
"""Any entity tags, or `*` (RFC 9110, section 13.1.1)."""
