"""A real kube-apiserver and etcd for tests, started from the directory that KUBEBUILDER_ASSETS names.

Passes the flags that controller-runtime's envtest passes (https://book.kubebuilder.io/reference/envtest), so
that any build of the two binaries that serves envtest serves here. Everything listens on 127.0.0.1 on free
ports, all state lives in one temporary directory, and `stop` ends both processes whatever state they are in.
Namespaces need not exist: the admission plugin that wants them is off, so that a test gets a fresh one by
making up a name.

Speaks plain synchronous HTTP and must use no client of the package under test.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CRD_PATH = Path(__file__).parents[2] / "manifests" / "crd.yaml"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
START_TIMEOUT = 45.0
POLL_INTERVAL = 0.05


class RealCluster:
    """One kube-apiserver on one etcd, as a context manager or by `start` and `stop`.

    `url`, `token` (group system:masters), `ca_file` and `ssl_context` stay the same for its whole life,
    restarts of the API server included.
    """

    def __init__(self, assets: Path) -> None:
        self.token = secrets.token_urlsafe(24)
        self._assets = assets
        self._dir = Path(tempfile.mkdtemp(prefix="segsvc-envtest-"))
        self.ca_file = self._dir / "ca.crt"
        self._etcd_port, self._peer_port, self._port = _free_ports(3)
        self.url = f"https://127.0.0.1:{self._port}"
        self._etcd: subprocess.Popen[bytes] | None = None
        self._apiserver: subprocess.Popen[bytes] | None = None
        self._write_credentials()
        self.ssl_context = ssl.create_default_context(cafile=str(self.ca_file))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start both processes and return once the API answers.

        Raises RuntimeError with the end of the logs, and leaves nothing running, when one does not come up.
        """
        try:
            client, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{self._peer_port}"
            self._etcd = self._spawn(
                "etcd",
                f"--data-dir={self._dir / 'etcd'}",
                "--unsafe-no-fsync",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
            )
            self.start_apiserver()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End both processes, paused ones too, and remove their state. May be called twice."""
        self._end_processes()
        shutil.rmtree(self._dir, ignore_errors=True)

    def start_apiserver(self) -> None:
        """Start the API server, again after `kill`, and return once it answers.

        Custom resources may answer 429 for a moment longer, as they do in production.
        """
        self._apiserver = self._spawn(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self._port}",
            f"--cert-dir={self._dir}",
            f"--tls-cert-file={self._dir / 'server.crt'}",
            f"--tls-private-key-file={self._dir / 'server.key'}",
            f"--client-ca-file={self.ca_file}",
            f"--token-auth-file={self._dir / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://localhost",
            f"--service-account-key-file={self._dir / 'server.crt'}",
            f"--service-account-signing-key-file={self._dir / 'server.key'}",
            "--disable-admission-plugins=ServiceAccount,NamespaceLifecycle",
        )
        self._wait(lambda: self.request("GET", CRDS)[0] == 200, "the API does not answer")

    def pause(self) -> None:
        """Freeze the API server: connections stay open, nothing answers."""
        self._signal_apiserver(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused API server go on."""
        self._signal_apiserver(signal.SIGCONT)

    def kill(self) -> None:
        """End the API server at once; `start_apiserver` brings it back on the same port and data."""
        self._signal_apiserver(signal.SIGKILL)
        if self._apiserver is not None:
            self._apiserver.wait()

    def compact(self) -> None:
        """Have etcd forget all history up to now."""
        newest = self._ask_etcd("range", key="AA==")["header"]["revision"]
        self._ask_etcd("compaction", revision=newest, physical=True)

    def back_up(self, to: Path) -> None:
        """Copy all of etcd's state to a directory, which must not be there yet."""
        if self._etcd is None:
            raise RuntimeError("etcd is not running")
        self._etcd.send_signal(signal.SIGSTOP)  # so that all of the copy is of one moment
        try:
            shutil.copytree(self._dir / "etcd", to)
        finally:
            self._etcd.send_signal(signal.SIGCONT)

    def restore(self, backup: Path) -> None:
        """Go back to an earlier state, resourceVersions included, and return once the API answers again."""
        self._end_processes()
        shutil.rmtree(self._dir / "etcd")
        shutil.copytree(backup, self._dir / "etcd")
        self.start()

    def empty(self) -> None:
        """Lose all state, definitions included, and return once the API answers again."""
        self._end_processes()
        shutil.rmtree(self._dir / "etcd")
        self.start()

    def write_kubeconfig(self, path: Path, namespace: str = "default") -> Path:
        """Write a kubeconfig for `token` and `namespace` to `path`, and return `path`."""
        cluster = {"server": self.url, "certificate-authority": str(self.ca_file)}
        context = {"cluster": "envtest", "user": "admin", "namespace": namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "envtest", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": self.token}}],
            "contexts": [{"name": "envtest", "context": context}],
            "current-context": "envtest",
        }
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return path

    def request(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> tuple[int, Any]:
        """Send one request as the administrator; return the status and the body, None if that is not JSON.

        Raises OSError when the server cannot be reached or does not answer within 10 seconds.
        """
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": content_type, "Accept": accept},
        )
        try:
            with urllib.request.urlopen(request, context=self.ssl_context, timeout=10) as response:
                return response.status, _decoded(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decoded(error.read())

    def remove_crd(self) -> None:
        """Remove the CustomResourceDefinition of segments, and every segment with it; return once it is gone."""
        path = f"{CRDS}/{yaml.safe_load(CRD_PATH.read_text(encoding='utf-8'))['metadata']['name']}"
        self.request("DELETE", path)
        self._wait(lambda: self.request("GET", path)[0] == 404, "the CustomResourceDefinition stays")

    def install_crd(self, manifest: Mapping[str, Any] | None = None) -> None:
        """Create a CustomResourceDefinition, that of segments unless told, and return once it is served.

        One of that name that is there already stays as it is. Raises RuntimeError when the server refuses it.
        """
        crd = manifest or yaml.safe_load(CRD_PATH.read_text(encoding="utf-8"))
        status, answer = self.request("POST", CRDS, body=crd)
        if status not in {201, 409}:
            raise RuntimeError(f"the CustomResourceDefinition was refused with {status}: {answer}")
        spec = crd["spec"]
        collection = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"

        # The condition may be true a moment before the handler serves the resource.
        def served() -> bool:
            status, found = self.request("GET", f"{CRDS}/{crd['metadata']['name']}")
            conditions = (found["status"]["conditions"] or []) if status == 200 else []
            established = any(c["type"] == "Established" and c["status"] == "True" for c in conditions)
            return established and self.request("GET", collection)[0] == 200

        self._wait(served, "the CustomResourceDefinition is not established")

    def _wait(self, condition: Callable[[], bool], complaint: str) -> None:
        """Poll `condition` until it holds; the server may refuse connections meanwhile, but not end."""
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                if condition():
                    return
            except OSError:
                pass
            for process in (self._etcd, self._apiserver):
                if process is not None and process.poll() is not None:
                    raise RuntimeError(f"{complaint}: {process.args!r} ended\n{self._log_tails()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{complaint} after {START_TIMEOUT:.0f} s\n{self._log_tails()}")
            time.sleep(POLL_INTERVAL)

    def _spawn(self, binary: str, *flags: str) -> subprocess.Popen[bytes]:
        # A session of its own keeps a Ctrl-C in the terminal for pytest, which then stops both in order.
        with (self._dir / f"{binary}.log").open("ab") as log:
            return subprocess.Popen(
                [self._assets / binary, *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._dir,  # some builds write files into it
                start_new_session=True,
            )

    def _end_processes(self) -> None:
        for process in (self._apiserver, self._etcd):
            if process is not None:
                _end(process)
        self._apiserver = self._etcd = None

    def _ask_etcd(self, what: str, **asked: object) -> Any:
        url = f"http://127.0.0.1:{self._etcd_port}/v3/kv/{what}"
        with urllib.request.urlopen(url, data=json.dumps(asked).encode(), timeout=10) as response:
            return json.load(response)

    def _signal_apiserver(self, number: signal.Signals) -> None:
        if self._apiserver is None:
            raise RuntimeError("the API server is not running")
        self._apiserver.send_signal(number)

    def _log_tails(self) -> str:
        logs: Sequence[Path] = sorted(self._dir.glob("*.log"))
        return "\n".join(f"{log.name}: {log.read_text(errors='replace')[-2000:]}" for log in logs)

    def _write_credentials(self) -> None:
        ca_key, ca = _certificate("envtest-ca", issuer=None)
        key, certificate = _certificate("127.0.0.1", issuer=(ca_key, ca))
        self.ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
        (self._dir / "server.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (self._dir / "server.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        (self._dir / "tokens.csv").write_text(f'{self.token},admin,admin,"system:masters"\n', encoding="utf-8")


def assets_directory() -> Path | None:
    """Return the directory that KUBEBUILDER_ASSETS names, or None when it is unset."""
    named = os.environ.get("KUBEBUILDER_ASSETS")
    return Path(named).resolve() if named else None


def unique_namespace(prefix: str = "test") -> str:
    """Return a namespace name that no other test uses; it need not be created."""
    return f"{prefix}-{secrets.token_hex(6)}"


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    # Their state is thrown away, so they need no time for an orderly end; SIGKILL ends a paused process too.
    process.kill()
    process.wait()


def _free_ports(count: int) -> list[int]:
    """Return free ports, all different because all are held until the last is known."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [listener.getsockname()[1] for listener in held]
    finally:
        for listener in held:
            listener.close()


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _certificate(
    common_name: str, issuer: tuple[rsa.RSAPrivateKey, x509.Certificate] | None
) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    """Return a key and its certificate: an authority's without `issuer`, else a server's for this machine.

    Carries the extensions that RFC 5280 asks for, since Python checks them strictly from 3.13 on.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    issuer_key, issuer_name = (issuer[0], issuer[1].subject) if issuer else (key, name)
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=issuer is not None,
                key_encipherment=issuer is not None,
                key_cert_sign=issuer is None,
                crl_sign=issuer is None,
                content_commitment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if issuer is not None:
        names = [x509.IPAddress(ipaddress.IPv4Address("127.0.0.1")), x509.DNSName("localhost")]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return key, builder.sign(issuer_key, hashes.SHA256())
