"""Certificates made on the spot: an authority, and what it vouches for."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Authority:
    """A folder with an authority's own certificate, `ca.crt`, and everything that it signed."""

    folder: Path

    @classmethod
    def made(cls, folder: Path) -> Authority:
        found = cls(folder)
        found._run("req", "-x509", *_NEW, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=tests")
        return found

    @property
    def trust(self) -> Path:
        return self.folder / "ca.crt"

    def signed(self, name: str, host: str, days: Sequence[str] = ("-days", "2")) -> tuple[Path, Path]:
        """A certificate for `host` and its key."""
        (self.folder / f"{name}.ext").write_text(f"subjectAltName={host}\n")
        self._run("req", *_NEW, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signing = ("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial")
        self._run(*signing, "-out", f"{name}.crt", "-extfile", f"{name}.ext", *days)
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"

    def serving(self, name: str, host: str, days: Sequence[str] = ("-days", "2")) -> ssl.SSLContext:
        """What a server shows whose certificate that is."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self.signed(name, host, days))
        return context

    def _run(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)


_NEW = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
EXPIRED = ("-days", "-1")
