"""Channels of alerts: one file each, and one line here."""

from service.alerts.channels import ntfy as ntfy
from service.alerts.channels import webhook as webhook
