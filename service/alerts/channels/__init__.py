"""Channels of alerts: one file each, and one line here."""

from service.alerts.channels import email as email
from service.alerts.channels import mqtt as mqtt
from service.alerts.channels import ntfy as ntfy
from service.alerts.channels import web_push as web_push
from service.alerts.channels import webhook as webhook
