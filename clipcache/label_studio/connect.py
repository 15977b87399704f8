"""Telling a project where our backend is: its webhook, and it as an ML backend."""

from clipcache.label_studio.backend import HEADER, USER, Secrets
from clipcache.label_studio.client import LabelStudio, checked_url
from clipcache.run import Run

TITLE = "clipcache"
ACTIONS = ["ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED"]


def connect(run: Run, studio: LabelStudio, project: int, backend: str) -> None:
    """Register the backend at the address `backend`; what is registered there is set right.

    Label Studio asks the backend at once, so that it must be answering. Raises LabelStudioError
    where it cannot, or may not.
    """
    address, known = checked_url(backend, "--public-url"), Secrets.of(run)
    hook = {
        "project": project,
        "url": f"{address}/webhook",
        "headers": {HEADER: known.webhook},
        "send_payload": False,
        "send_for_all_actions": False,
        "actions": ACTIONS,
        "is_active": True,
    }
    numbers = [each["id"] for each in studio.webhooks(project) if each["url"] == hook["url"]]
    studio.set_webhook(hook, numbers[0] if numbers else None)
    settings = {
        "project": project,
        "url": address,
        "title": TITLE,
        "auth_method": "BASIC_AUTH",
        "basic_auth_user": USER,
        "basic_auth_pass": known.password,
    }
    numbers = [each["id"] for each in studio.backends(project) if each["url"] == address]
    studio.set_backend(settings, numbers[0] if numbers else None)
