"""Alerts by e-mail, to addresses that have agreed to them by a link; each message has a link that ends them."""

import re
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, parseaddr
from threading import Timer
from typing import Any, ClassVar, Final
from urllib.parse import SplitResult, unquote, urlsplit

from core.errors import ConfigError, InputError, UnavailableError
from core.settings import Settings
from service.access.callers import is_loopback
from service.alerts.channels.base import CHANNELS, AlertMessage, Channel, DeliveryError, Target
from service.alerts.messages import required_address
from service.alerts.rulebook import rule_book
from service.alerts.subscribers import ask, is_confirmed, stop_code, withdraw_question
from service.schemas.rules import Language

ADDRESS: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z][A-Za-z0-9-]{1,62}"
)
LONGEST_ADDRESS: Final = 254
LINKS: Final = "receivers of e-mails open the links by which they agree and leave"
PORTS: Final = {"smtp": 587, "smtps": 465}
LONGEST_LINE: Final = 998
"""RFC 5322, 2.1.1."""

READ_S: Final = 10.0
"""Longest time without a byte of a mail server."""

WHOLE_S: Final = 30.0
"""Longest time of a connection to it."""

REFUSED_FOR_GOOD: Final = 500
"""From this reply code of a mail server on, a further attempt makes no sense (RFC 5321, 4.2.1)."""

TEXTS: Final[dict[Language, dict[str, str]]] = {
    "en": {
        "subject": "Please confirm: alerts of rain by e-mail",
        "ask": "Somebody wants to send alerts of rain to this address. If you agree, open this link within 7 days:\n\n"
        "{link}\n\nIf not, do nothing: no alert is sent, and the same sender does not ask again today.\n",
        "stop": "No more e-mails, and erase my address: {link}",
        "origin": "An automatic statement of probability, not an official warning. {address}",
    },
    "de": {
        "subject": "Bitte bestätigen: Regenwarnungen per E-Mail",
        "ask": "Jemand möchte Regenwarnungen an diese Adresse senden. Wenn Sie zustimmen, öffnen Sie innerhalb von 7 "
        "Tagen diesen Link:\n\n{link}\n\nWenn nicht, tun Sie nichts: Es wird keine Warnung gesendet, und heute fragt "
        "derselbe Absender nicht noch einmal.\n",
        "stop": "Keine E-Mails mehr, und meine Adresse löschen: {link}",
        "origin": "Eine automatische Angabe von Wahrscheinlichkeiten, keine amtliche Warnung. {address}",
    },
}


@CHANNELS.register("email")
class Email(Channel):
    """The sentence of an event as plain text."""

    fields: ClassVar = {"address": True}
    secrets = ("address",)

    def problem(self, settings: Settings) -> str | None:
        """Return what is wrong in the settings of mail."""
        if settings.smtp_url is None:
            return None
        if settings.email_from is None or not ADDRESS.fullmatch(parseaddr(settings.email_from)[1]):
            return (
                "NOWCAST_EMAIL_FROM: expected a sender such as rain@example.org, whose domain has a dot, where "
                "NOWCAST_SMTP_URL is set"
            )
        try:
            server_of(settings)
            required_address(settings, LINKS)
        except ConfigError as err:
            return str(err)
        return None

    def check(self, target: Target, settings: Settings) -> None:
        """Check the address."""
        if settings.smtp_url is None or settings.email_from is None:
            raise InputError(
                "targets.kind: email needs a mail server (NOWCAST_SMTP_URL, NOWCAST_EMAIL_FROM); this service has none"
            )
        address = str(target["address"])
        if len(address) > LONGEST_ADDRESS or not ADDRESS.fullmatch(address):
            raise InputError(
                "targets.address: expected one such as name@example.org, whose domain has a dot, got another text"
            )

    def welcome(self, target: Target, settings: Settings, language: Language, owner: str) -> None:
        """Ask the address to agree to this owner's messages, unless it has agreed or was asked today.

        Raises:
            UnavailableError: the mail server does not take the question.
            BusyError: too many addresses are asked at this time.
        """
        engine, address = rule_book(settings).engine, str(target["address"])
        code = ask(engine, address, owner)
        if code is None:
            return
        words = TEXTS[language]
        text = words["ask"].format(link=link_of(settings, "confirm", code))
        try:
            send_mail(settings, address, words["subject"], text, {})
        except DeliveryError as err:
            withdraw_question(engine, address, owner)
            raise UnavailableError(f"targets.address: the question to it was not sent: {err}") from err

    def send(self, message: AlertMessage) -> None:
        """Deliver a message, if the address has agreed."""
        settings, address = message.settings, str(message.target["address"])
        engine = rule_book(settings).engine
        if not is_confirmed(engine, address, message.owner):
            raise DeliveryError("the address has not agreed to messages", is_final=True)
        if (problem := self.problem(settings)) is not None:
            raise DeliveryError(problem, blocks_host=True)
        words = TEXTS["de" if message.document.get("language") == "de" else "en"]
        link = link_of(settings, "stop", stop_code(engine, address))
        lines = (
            message.text,
            "",
            words["origin"].format(address=required_address(settings, LINKS)),
            words["stop"].format(link=link),
            "",
        )
        headers = {
            "List-Unsubscribe": f"<{link}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            "Message-ID": f"<{message.id}@{str(settings.email_from).rpartition('@')[2]}>",
        }
        send_mail(settings, address, subject_of(message), "\n".join(lines), headers)

    def host(self, target: Target) -> str:  # noqa: ARG002
        """Return the mail server's part: one server for all addresses."""
        return "email"


def subject_of(message: AlertMessage) -> str:
    """Return the first statement of a message; the name of the rule may have full stops."""
    start = f"{message.document['name']}: "
    return start + message.text.removeprefix(start).partition(". ")[0].rstrip(".")


def link_of(settings: Settings, action: str, code: str) -> str:
    """Return a link of an e-mail."""
    return f"{required_address(settings, LINKS)}/rules/email/{action}/{code}"


def send_mail(settings: Settings, address: str, subject: str, text: str, headers: dict[str, str]) -> None:
    """Send one e-mail.

    Raises:
        DeliveryError: the mail server does not take it; the message has no address.
    """
    mail = EmailMessage(policy=SMTP.clone(max_line_length=LONGEST_LINE))  # else long links become encoded words
    mail["Subject"] = " ".join(subject.split())[:200]
    mail["From"], mail["To"] = str(settings.email_from), address
    mail["Date"] = formatdate(usegmt=True)
    mail["Auto-Submitted"] = "auto-generated"
    for name, value in headers.items():
        mail[name] = value
    mail.set_content(text, cte="8bit")
    try:
        with _connected(settings) as server:
            server.send_message(mail)
    except smtplib.SMTPRecipientsRefused as err:
        code = max((reply[0] for reply in err.recipients.values()), default=0)
        raise _refusal(code) from None  # its text has the address
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as err:
        raise _refusal(err.smtp_code) from None
    except smtplib.SMTPResponseException as err:  # of the connection, such as a wrong password: no message is lost
        raise DeliveryError(f"the mail server refuses the connection: {err.smtp_code}", blocks_host=True) from None
    except (smtplib.SMTPException, OSError) as err:
        raise DeliveryError(f"the mail server does not answer: {type(err).__name__}", blocks_host=True) from None


def server_of(settings: Settings) -> SplitResult:
    """Return the parts of the mail server's URL.

    Raises:
        ConfigError: not a URL of a mail server; the message does not hold it, since it may have a password.
    """
    try:
        parts = urlsplit(settings.smtp_url.get_secret_value() if settings.smtp_url else "")
        if parts.scheme in PORTS and parts.hostname and parts.port != 0:
            return parts
    except ValueError:  # brackets that do not close, or a port that is no number
        pass
    raise ConfigError("NOWCAST_SMTP_URL: expected one such as smtps://user:password@host:465, got another text")


def _refusal(code: int) -> DeliveryError:
    return DeliveryError(f"the mail server refuses the message: {code}", is_final=code >= REFUSED_FOR_GOOD)


class _Connection(smtplib.SMTP):
    """A connection that ends after `WHOLE_S`, also from a server that sends a byte now and then."""

    def connect(self, host: str = "localhost", port: int = 0, source_address: Any = None) -> tuple[int, bytes]:
        self._watch = Timer(WHOLE_S, self._cut)
        self._watch.daemon = True
        self._watch.start()
        try:
            return super().connect(host, port, source_address)
        except OSError:
            self._watch.cancel()
            raise

    def close(self) -> None:
        self._watch.cancel()
        super().close()

    def _cut(self) -> None:
        if self.sock is not None:
            with suppress(OSError):  # closed meanwhile
                self.sock.shutdown(socket.SHUT_RDWR)


class _EncryptedConnection(_Connection, smtplib.SMTP_SSL):
    """One that is encrypted from its first byte."""


@contextmanager
def _connected(settings: Settings) -> Iterator[smtplib.SMTP]:
    """Open a connection to the mail server; a password is sent over an encrypted one alone, or to this machine.

    Raises:
        ConfigError: not a URL of a mail server.
        DeliveryError: the server does not offer encryption.
    """
    parts = server_of(settings)
    context = ssl.create_default_context()
    where = (parts.hostname or "", parts.port or PORTS[parts.scheme])
    over_tls = parts.scheme == "smtps"
    opened = (
        _EncryptedConnection(*where, timeout=READ_S, context=context)
        if over_tls
        else _Connection(*where, timeout=READ_S)
    )
    try:
        opened.ehlo()
        if not over_tls and opened.has_extn("starttls"):
            opened.starttls(context=context)
            opened.ehlo()
            over_tls = True
        if parts.username:
            if not over_tls and not is_loopback(parts.hostname or ""):
                raise DeliveryError("the mail server offers no encryption, so that no password is sent to it")
            opened.login(unquote(parts.username), unquote(parts.password or ""))
        yield opened
    finally:
        with suppress(smtplib.SMTPException, OSError):  # a message that was taken is taken, whatever the answer to QUIT
            opened.quit()
        opened.close()
