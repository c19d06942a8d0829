"""A certificate authority for an hour: mTLS between two programs on this machine."""
import dataclasses
import os

import processes


@dataclasses.dataclass
class Tls:
    ca: str
    server_cert: str
    server_key: str
    client_cert: str
    client_key: str


def make(folder):
    os.makedirs(folder)

    def path(name):
        return os.path.join(folder, name)

    def openssl(*args):
        processes.Finished(["openssl", *args])

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", path("ca.key"), "-out", path("ca.crt"), "-days", "1", "-subj", "/CN=bench ca")
    with open(path("names"), "w") as f:
        f.write("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    for who in ("server", "client"):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                path(who + ".key"), "-out", path(who + ".csr"), "-subj", "/CN=" + who)
        openssl("x509", "-req", "-in", path(who + ".csr"), "-CA", path("ca.crt"), "-CAkey",
                path("ca.key"), "-CAcreateserial", "-days", "1", "-out", path(who + ".crt"),
                "-extfile", path("names"))
    return Tls(path("ca.crt"), path("server.crt"), path("server.key"), path("client.crt"),
               path("client.key"))
