"""/rules/email and /rules/push: links of e-mails, which need no API key, and the key that browsers subscribe with."""

from html import escape
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from fastapi import Path as PathParameter
from fastapi.responses import HTMLResponse

from service.alerts.channels.web_push import public_key
from service.alerts.rulebook import rule_book
from service.alerts.subscribers import check_code, confirm, stop
from service.api.backend import BackendDep
from service.api.browsers import policy_of
from service.api.errors import documented
from service.schemas.rules import PushKeyOut

router = APIRouter(prefix="/rules", tags=["rules"])

Action = Annotated[Literal["confirm", "stop"], PathParameter(description="agree to messages, or end them")]
Code = Annotated[str, PathParameter(description="of the link in the e-mail", max_length=110, examples=["a.b"])]
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex"></head>
<body style="font: 1.1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 3rem auto; padding: 0 1rem">
<h1 style="font-size: 1.3rem">{title}</h1>{body}</body></html>"""
QUESTIONS = {
    "confirm": ("Receive alerts of rain by e-mail? / Regenwarnungen per E-Mail erhalten?", "Yes / Ja"),
    "stop": (
        "No more e-mails, and erase the address? / Keine E-Mails mehr, und die Adresse löschen?",
        "End and erase / Beenden und löschen",
    ),
}
ANSWERS = {
    "confirm": "Alerts will be sent. Each has a link that ends them. / Warnungen werden gesendet. Jede hat einen Link, "
    "der sie beendet.",
    "stop": "No e-mails any more; the address is erased. / Keine E-Mails mehr; die Adresse ist gelöscht.",
}
HTML = {"text/html": {"schema": {"type": "string"}}}


@router.get(
    "/email/{action}/{code}",
    summary="Page of a link in an e-mail",
    response_class=HTMLResponse,
    responses={**documented(404, 422), 200: {"description": "a page with a button", "content": HTML}},
)
def ask_subscriber(action: Action, code: Code, backend: BackendDep) -> Response:
    """Return a page with a button: programs that open the links of e-mails to check them agree to nothing."""
    check_code(rule_book(backend.settings).engine, action, code)
    title, button = QUESTIONS[action]
    body = f'<form method="post"><button style="font: inherit; padding: .6rem 1.2rem">{escape(button)}</button></form>'
    return _page(title, body)


@router.post(
    "/email/{action}/{code}",
    summary="Agree to e-mails, or end them and erase the address",
    response_class=HTMLResponse,
    responses={**documented(404, 422), 200: {"description": "a page", "content": HTML}},
)
def answer_subscriber(action: Action, code: Code, backend: BackendDep) -> Response:
    """Do what the link says; mail programs send this for their own button too (RFC 8058). It needs no API key."""
    engine = rule_book(backend.settings).engine
    (confirm if action == "confirm" else stop)(engine, code)
    return _page(ANSWERS[action], "")


@router.get("/push", summary="Key for Web Push")
def read_push_key(backend: BackendDep) -> PushKeyOut:
    """Return the key that a browser subscribes with."""
    is_offered = backend.settings.push_contact is not None
    return PushKeyOut(application_server_key=public_key(rule_book(backend.settings).engine) if is_offered else None)


def _page(title: str, body: str) -> Response:
    page = PAGE.format(title=escape(title), body=body)
    headers = {
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "Content-Security-Policy": policy_of(page),  # its styles are inline
    }
    return HTMLResponse(page, headers=headers)
