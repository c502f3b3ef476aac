"""A proxy that ends TLS before a gateway, as an operator puts one there, with a certificate of its own for `localhost`."""

import contextlib
import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_CHUNK = 65536


@dataclass(frozen=True)
class TlsProxy:
    """`certificate`: PEM, for whoever is to trust it."""

    certificate: Path

    @classmethod
    @contextmanager
    def before(cls, gateway_port: int, port: int, folder: Path) -> Iterator["TlsProxy"]:
        """Listens on `port` of loopback until left."""
        certificate = _certificate(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        with socket.create_server(("127.0.0.1", port)) as listening:
            threading.Thread(target=_serve, args=(listening, context, gateway_port), daemon=True).start()
            try:
                yield cls(certificate)
            finally:
                listening.shutdown(socket.SHUT_RDWR)  # ends the accept


def _serve(listening: socket.socket, context: ssl.SSLContext, gateway_port: int) -> None:
    with contextlib.suppress(OSError):
        while True:
            accepted, _ = listening.accept()
            threading.Thread(target=_relay, args=(accepted, context, gateway_port), daemon=True).start()


def _relay(accepted: socket.socket, context: ssl.SSLContext, gateway_port: int) -> None:
    """One request, one answer: the gateway's connection is told to close after it."""
    with contextlib.suppress(OSError), accepted, context.wrap_socket(accepted, server_side=True) as client:
        request = b""
        while b"\r\n\r\n" not in request:
            request += client.recv(_CHUNK)
        with socket.create_connection(("127.0.0.1", gateway_port)) as gateway:
            gateway.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            while chunk := gateway.recv(_CHUNK):
                client.sendall(chunk)


def _certificate(folder: Path) -> Path:
    """A new certificate with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "proxy.pem"
    path.write_bytes(private + made.public_bytes(pem))
    return path
