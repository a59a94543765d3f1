"""Links: where the caller finds a segment or a page, by the address that the caller used.

Forwarded headers count only where they name a trusted host: anyone can send them, and links made from them would
lead other callers astray.
"""

import re
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import NamedTuple
from urllib.parse import quote

from aiohttp import hdrs, web
from multidict import MultiMapping, istr

from segsvc.index.lru import LruCache
from segsvc.web.errors import bad_header, echo
from segsvc.web.params import ListRequest

MAX_KNOWN = 1024
"""How many ways to tell an address are remembered, of `MAX_LENGTH` bytes each."""
MAX_LENGTH = 1024

_HOST = re.compile(r"([A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", re.ASCII)
_PREFIX = re.compile(r"(/[A-Za-z0-9._~%-]+)*/?", re.ASCII)
_FORWARDED = (hdrs.FORWARDED, *(istr(f"X-Forwarded-{part}") for part in ("Host", "Proto", "Port", "Prefix")))
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class Addresses:
    """The addresses that callers use, worked out once for each way in which they are told."""

    def __init__(self, trusted_hosts: frozenset[str]) -> None:
        self._trusted_hosts = trusted_hosts
        self._known: LruCache[Hashable, str] = LruCache(MAX_KNOWN)

    def known(self, headers: MultiMapping[str]) -> str | None:
        """Return the address that a request with these headers uses, if it has been worked out before."""
        return self._known.get(self._told(headers))

    def base(self, request: web.BaseRequest) -> str:
        """Return what `base_url` does."""
        if not request.raw_path.startswith("/"):
            # it names a host, which goes before the headers (RFC 9112, section 3.2.2): they do not tell this address
            return base_url(request, self._trusted_hosts)
        told = self._told(request.headers)
        base = self._known.get(told)
        if base is None:
            base = base_url(request, self._trusted_hosts)
            if len(str(told)) <= MAX_LENGTH:
                self._known.put(told, base)
        return base

    def _told(self, headers: MultiMapping[str]) -> Hashable:
        host = headers.get(hdrs.HOST)
        return (host, *[tuple(headers.getall(name, ())) for name in _FORWARDED]) if self._trusted_hosts else host


def base_url(request: web.BaseRequest, trusted_hosts: frozenset[str]) -> str:
    """Return scheme, host and prefix as the caller saw them, without a slash at the end.

    Raises HttpError for a forwarded host that is not trusted and for headers that are no host, scheme, port or prefix.
    """
    if not trusted_hosts:
        return f"{request.scheme}://{_checked_host(request)}"
    forwarded = _forwarded(request)
    if forwarded.host is None:
        # a gateway that keeps Host tells only how it was reached
        host = _checked_host(request)
        if not _is_trusted(host, forwarded.port, trusted_hosts):
            return f"{request.scheme}://{host}"
        forwarded = replace(forwarded, host=host)
    elif not _is_trusted(forwarded.host, forwarded.port, trusted_hosts):
        raise bad_header(
            f"Forwarded header verification failed. Cannot find '{echo(forwarded.host)}' in specified trusted hosts."
        )
    return _assembled(forwarded, request.scheme)


def item_url(base: str, segment_id: str) -> str:
    """Return a segment's own address."""
    return f"{base}/segments/{segment_id}"


class PageLinks(NamedTuple):
    """Where a page and its neighbours are; a neighbour that is not there is left out."""

    header: str
    """The value of the Link header (RFC 8288)."""
    json: str
    """A JSON object."""


def page_links(base: str, asked: ListRequest, total: int) -> PageLinks:
    """Return the links of a page of ``total`` segments."""
    (offset, pagesize, _, sort, labels), search, _ = asked
    start, end = f"{base}/segments?offset=", f"&pagesize={pagesize}"
    if search is not None or sort is not None or labels:
        given = [("search", search), ("sort", sort), *(("label", label) for label in labels)]
        end += "".join([f"&{name}={quote(text, safe='')}" for name, text in given if text is not None])
    last = (max(total, 1) - 1) // pagesize * pagesize
    header = f'<{start}0{end}>; rel="first", '
    # neither a checked base nor what is quoted holds anything that JSON would escape
    json = f'{{"self":"{start}{offset}{end}&action=self"'
    if offset:
        prev = f"{start}{max(0, min(offset - pagesize, last))}{end}"
        header += f'<{prev}>; rel="prev", '
        json += f',"prev":"{prev}"'
    if offset + pagesize < total:
        next_ = f"{start}{offset + pagesize}{end}"
        header += f'<{next_}>; rel="next", '
        json += f',"next":"{next_}"'
    return PageLinks(f'{header}<{start}{last}{end}>; rel="last"', f"{json}}}")


@dataclass(frozen=True, slots=True)
class _Forwarded:
    """What proxies told of the request as the caller made it."""

    host: str | None
    scheme: str | None
    port: str | None
    prefix: str


def _forwarded(request: web.BaseRequest) -> _Forwarded:
    """Return what the outermost proxy told: by Forwarded (RFC 7239), where that is silent by X-Forwarded headers."""
    standard = request.forwarded[0] if request.forwarded else {}

    def told(part: str) -> str | None:
        return request.headers.get(f"X-Forwarded-{part}", "").partition(",")[0].strip() or None

    return _Forwarded(
        host=standard.get("host") or told("Host"),
        scheme=standard.get("proto") or told("Proto"),
        port=None if standard.get("host") else told("Port"),
        prefix=told("Prefix") or "",
    )


def _assembled(forwarded: _Forwarded, scheme: str) -> str:
    scheme = (forwarded.scheme or scheme).lower()
    if scheme not in _DEFAULT_PORTS:
        raise bad_header(f"Forwarded protocol '{echo(scheme)}' is neither http nor https.")
    host = _with_port(forwarded.host or "", forwarded.port).removesuffix(f":{_DEFAULT_PORTS[scheme]}")
    if _PREFIX.fullmatch(forwarded.prefix) is None:
        raise bad_header(f"Forwarded prefix '{echo(forwarded.prefix)}' is no path.")
    return f"{scheme}://{host}{forwarded.prefix.rstrip('/')}"


def _is_trusted(host: str, port: str | None, trusted_hosts: frozenset[str]) -> bool:
    """Tell whether a host is named: by its name alone, which trusts any port of it, or with the port that it has."""
    match = _HOST.fullmatch(host)
    return match is not None and not trusted_hosts.isdisjoint({match[1].lower(), _with_port(host, port).lower()})


def _with_port(host: str, port: str | None) -> str:
    """Add a port told apart from the host, unless the host has one. Raises HttpError for what is no host or port."""
    match = _HOST.fullmatch(host)
    if match is None:
        raise bad_header(f"Forwarded host '{echo(host)}' is no host name.")
    if port is None or match[2] is not None:
        return host
    if not (port.isascii() and port.isdigit() and int(port[:6]) < 65536):
        raise bad_header(f"Forwarded port '{echo(port)}' is no port.")
    return f"{host}:{int(port[:6])}"


def _checked_host(request: web.BaseRequest) -> str:
    host = request.host
    if _HOST.fullmatch(host) is None:
        raise bad_header(f"Header 'Host' '{echo(host)}' is no host name.")
    return host
