"""A real mail server and a real receiver of webhooks, which answer as a test wants, and a small authority."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from aiohttp_jobs.model.job import ExecutionMode, JobResult, JobStatus, utc_now
from aiohttp_jobs.model.notice import Notice, NoticeState
from aiohttp_jobs.model.notice_events import Event
from aiohttp_jobs.model.notice_rules import EmailRule, WebhookRule

JOB_ID = "11111111-1111-4111-8111-111111111111"


def make_result(status: JobStatus = JobStatus.FAILED, **fields: Any) -> JobResult:
    """The result of a job of alice's."""
    now = utc_now()
    values: dict[str, Any] = {
        "job_id": JOB_ID,
        "user_id": "alice",
        "session_id": "s",
        "job_name": "Backup",
        "command": "backup --password=hunter2",
        "description": "",
        "execution_mode": ExecutionMode.BACKGROUND_JOB,
        "date_started": now,
        "date_completed": now,
        "runtime": 1.5,
        "output": "disk full\n",
        "success": status is JobStatus.SUCCEEDED,
        "status": status,
        "exit_code": 1,
    }
    return JobResult(**{**values, **fields})


def make_notice(rule: EmailRule | WebhookRule, event: Event = Event.FAILURE, **fields: Any) -> Notice:
    """A notice that is to be sent."""
    notice = Notice.about(make_result(**fields), 0, rule, event)
    return notice.model_copy(update={"state": NoticeState.PENDING})


def email(*to: str, on: Any = "always") -> EmailRule:
    return EmailRule(channel="email", to=to, on=on)


def webhook(url: str, on: Any = "always") -> WebhookRule:
    return WebhookRule(channel="webhook", url=url, on=on)


class Authority:
    """Certificates for 127.0.0.1 that only those trust who know `path`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self._certificate = self._sign(self._name, self._key.public_key(), is_authority=True)
        self.path = folder / "authority.pem"
        self.path.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def server_context(self) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
        certificate = self._sign(name, key.public_key(), is_authority=False)
        path = self._folder / "server.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _sign(
        self, name: x509.Name, key: ec.EllipticCurvePublicKey, *, is_authority: bool
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(alternative, critical=False)
            # Python 3.13 refuses a certificate that does not name its authority's key (RFC 5280).
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(authority, critical=False)
            .add_extension(_usage(is_authority=is_authority), critical=True)
            .sign(self._key, hashes.SHA256())
        )


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


@dataclass
class MailServer:
    """aiosmtpd,
    on a port of its own that it keeps. `refused`: answers to addresses; `answers`: to messages."""

    security: str = "none"
    context: ssl.SSLContext | None = None
    login: tuple[str, str] | None = None
    port: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    answers: list[str] = field(default_factory=list)
    received: list[Envelope] = field(default_factory=list)
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()

        def protocol() -> SMTP:
            return SMTP(
                self,
                loop=loop,
                hostname="mail.test",
                tls_context=self.context if self.security == "starttls" else None,
                require_starttls=self.security == "starttls",
                authenticator=self.authenticate if self.login else None,
                auth_required=self.login is not None,
                auth_require_tls=self.security == "starttls",
            )

        is_tls = self.security == "tls"
        self._server = await loop.create_server(
            protocol, "127.0.0.1", self.port, ssl=self.context if is_tls else None
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    @property
    def messages(self) -> list[EmailMessage]:
        found = []
        for envelope in self.received:
            assert isinstance(envelope.content, bytes)
            message = message_from_bytes(envelope.content, policy=default)
            assert isinstance(message, EmailMessage)
            found.append(message)
        return found

    def settings(self, **more: Any) -> dict[str, Any]:
        return {
            "smtp_host": "127.0.0.1",
            "smtp_port": self.port,
            "smtp_security": self.security,
            "smtp_from": "jobs@example.org",
            "smtp_timeout": 5.0,
            **more,
        }

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> Any:
        assert isinstance(data, LoginPassword)
        assert self.login is not None
        is_right = (data.login.decode(), data.password.decode()) == self.login
        return AuthResult(success=is_right, handled=False)

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = self.answers.pop(0) if self.answers else "250 OK"
        if answer.startswith("2"):
            self.received.append(envelope)
        return answer


@dataclass
class Request:
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A receiver of webhooks. `answers` are given in order; then, and by default, 204."""

    answers: list[web.Response] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    port: int = 0
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/hook", self._receive)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def _receive(self, request: web.Request) -> web.Response:
        self.requests.append(Request(dict(request.headers), await request.read()))
        return self.answers.pop(0) if self.answers else web.Response(status=204)


class Names(AbstractResolver):
    """A name server of the test's own: gives each of `answers` once, the last one for ever."""

    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        address = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        pass
