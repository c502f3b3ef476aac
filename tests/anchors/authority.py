"""A time-stamp authority on loopback: HTTP in front of `openssl ts -reply`."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_CONFIG = """\
[tsa]
default_tsa = here
[here]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1
digests = {digests}
accuracy = secs:1
ess_cert_id_alg = sha256
"""


@dataclass
class Reply:
    """What goes back over HTTP."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/timestamp-reply"})


@dataclass
class Authority:
    """Its files in `folder`, made by `make_authority`; `ca` is what its stamps lead up to."""

    folder: Path
    openssl: str
    digests: str = "sha256, sha512"

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def stamp(self, query: bytes) -> bytes:
        """The DER TimeStampResp to a DER TimeStampReq."""
        config, asked, answer = (self.folder / name for name in ("tsa.cnf", "query", "answer"))
        config.write_text(_CONFIG.format(folder=self.folder, digests=self.digests))
        asked.write_bytes(query)
        self._run("ts", "-reply", "-config", str(config), "-queryfile", str(asked), "-out", str(answer))
        return answer.read_bytes()

    def query(self, data: bytes) -> bytes:
        """A request that openssl makes."""
        (self.folder / "data").write_bytes(data)
        return self._run("ts", "-query", "-sha512", "-cert", "-data", str(self.folder / "data")).stdout

    def verified_by_openssl(self, proof: bytes, data: bytes) -> bool:
        for name, content in (("proof", proof), ("data", data)):
            (self.folder / name).write_bytes(content)
        names = ["-in", str(self.folder / "proof"), "-data", str(self.folder / "data"), "-CAfile", str(self.ca)]
        done = subprocess.run([self.openssl, "ts", "-verify", *names], capture_output=True, check=False)
        return done.returncode == 0

    def make(self) -> "Authority":
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "serial").write_text("01\n")
        extensions = self.folder / "extensions"
        extensions.write_text("extendedKeyUsage = critical, timeStamping\nkeyUsage = critical, digitalSignature\n")
        key = ("-newkey", "rsa:2048", "-nodes")
        ca = ("-keyout", str(self.folder / "ca.key"), "-out", str(self.ca), "-days", "3650", "-subj", "/CN=Test CA")
        self._run("req", "-x509", *key, *ca)
        request = ("-keyout", str(self.folder / "tsa.key"), "-out", str(self.folder / "tsa.csr"), "-subj", "/CN=Test TSA")
        self._run("req", "-new", *key, *request)
        signing = ("-CA", str(self.ca), "-CAkey", str(self.folder / "ca.key"), "-CAcreateserial", "-days", "3650")
        files = ("-in", str(self.folder / "tsa.csr"), "-out", str(self.folder / "tsa.pem"), "-extfile", str(extensions))
        self._run("x509", "-req", *files, *signing)
        return self

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([self.openssl, *arguments], capture_output=True, check=True, timeout=60)


@contextmanager
def answering(reply: Callable[[bytes], Reply]) -> Iterator[str]:
    """An HTTP server on loopback whose POSTs `reply` answers; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = reply(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
