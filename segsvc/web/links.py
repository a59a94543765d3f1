"""Links: where the caller finds a segment or a page, by the address that the caller used.

Forwarded headers count only where they name a trusted host: anyone can send them, and links made from them would
lead other callers astray.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from aiohttp import hdrs, web

from segsvc.web.errors import bad_header, echo
from segsvc.web.params import ListRequest

_HOST = re.compile(r"([A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", re.ASCII)
_PREFIX = re.compile(r"(/[A-Za-z0-9._~%-]+)*/?", re.ASCII)
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def base_url(request: web.BaseRequest, trusted_hosts: frozenset[str]) -> str:
    """Return scheme, host and prefix as the caller saw them, without a slash at the end.

    Raises HttpError for a forwarded host that is not trusted and for headers that are no host, scheme, port or prefix.
    """
    if not trusted_hosts:
        return f"{request.scheme}://{_checked_host(request)}"
    forwarded = _forwarded(request.headers)
    if "host" not in forwarded:
        # a gateway that keeps Host tells only how it was reached
        host = _checked_host(request)
        if not _is_trusted(host, trusted_hosts):
            return f"{request.scheme}://{host}"
        forwarded["host"] = host
    elif not _is_trusted(forwarded["host"], trusted_hosts):
        raise bad_header(
            f"Forwarded header verification failed. Cannot find '{echo(forwarded['host'])}' in specified trusted hosts."
        )
    return _assembled(forwarded, request.scheme)


def item_url(base: str, segment_id: str) -> str:
    """Return a segment's own address."""
    return f"{base}/segments/{segment_id}"


@dataclass(frozen=True, slots=True)
class PageLinks:
    """The addresses of a page and its neighbours; ``prev`` and ``next`` are None where there is none."""

    self: str
    first: str
    prev: str | None
    next: str | None
    last: str

    def header(self) -> str:
        """Write the Link header (RFC 8288)."""
        relations = {"first": self.first, "prev": self.prev, "next": self.next, "last": self.last}
        return ", ".join(f'<{url}>; rel="{relation}"' for relation, url in relations.items() if url is not None)


def page_links(base: str, asked: ListRequest, total: int) -> PageLinks:
    """Return the links of a page of ``total`` segments."""
    query = asked.query
    given = [("search", asked.search), ("sort", query.sort), *(("label", label) for label in query.labels)]
    filters = "".join(f"&{name}={quote(text, safe='')}" for name, text in given if text is not None)

    def at(offset: int) -> str:
        return f"{base}/segments?offset={offset}&pagesize={query.pagesize}{filters}"

    last = (max(total, 1) - 1) // query.pagesize * query.pagesize
    return PageLinks(
        self=at(query.offset) + "&action=self",
        first=at(0),
        prev=at(max(0, min(query.offset - query.pagesize, last))) if query.offset else None,
        next=at(query.offset + query.pagesize) if query.offset + query.pagesize < total else None,
        last=at(last),
    )


def _forwarded(headers: Mapping[str, str]) -> dict[str, str]:
    """Return what the outermost proxy told, by Forwarded (RFC 7239) or else by the X-Forwarded headers."""
    if hdrs.FORWARDED in headers:
        first = headers[hdrs.FORWARDED].partition(",")[0]
        pairs = (pair.partition("=") for pair in first.split(";"))
        told = {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
        return {name: told[name] for name in ("host", "proto") if told.get(name)}
    names = {"host": "X-Forwarded-Host", "proto": "X-Forwarded-Proto", "port": "X-Forwarded-Port"}
    told = {part: headers[name].partition(",")[0].strip() for part, name in names.items() if name in headers}
    if "X-Forwarded-Prefix" in headers:
        told["prefix"] = headers["X-Forwarded-Prefix"].strip()
    return {part: value for part, value in told.items() if value}


def _assembled(forwarded: Mapping[str, str], scheme: str) -> str:
    scheme = forwarded.get("proto", scheme).lower()
    if scheme not in _DEFAULT_PORTS:
        raise bad_header(f"Forwarded protocol '{echo(scheme)}' is neither http nor https.")
    host = forwarded["host"]
    match = _HOST.fullmatch(host)
    if match is None:
        raise bad_header(f"Forwarded host '{echo(host)}' is no host name.")
    port = forwarded.get("port", "")
    if port and match[2] is None:
        if not (port.isascii() and port.isdigit() and int(port[:6]) < 65536):
            raise bad_header(f"Forwarded port '{echo(port)}' is no port.")
        host = f"{match[1]}:{port}"
    host = host.removesuffix(f":{_DEFAULT_PORTS[scheme]}")
    prefix = forwarded.get("prefix", "")
    if _PREFIX.fullmatch(prefix) is None:
        raise bad_header(f"Forwarded prefix '{echo(prefix)}' is no path.")
    return f"{scheme}://{host}{prefix.rstrip('/')}"


def _is_trusted(host: str, trusted_hosts: frozenset[str]) -> bool:
    host = host.lower()
    match = _HOST.fullmatch(host)
    return host in trusted_hosts or (match is not None and match[1] in trusted_hosts)


def _checked_host(request: web.BaseRequest) -> str:
    host = request.host
    if _HOST.fullmatch(host) is None:
        raise bad_header(f"Header 'Host' '{echo(host)}' is no host name.")
    return host
