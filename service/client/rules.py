"""Operations of rules: create, list, change, delete, test; events, messages and verification."""

from collections.abc import Mapping
from typing import Any

from service.client.connection import Connection
from service.client.operation import Operation
from service.schemas.rules import (
    DeliveriesOut,
    DeliveryState,
    RegionsOut,
    RuleEventsOut,
    RuleIn,
    RuleOut,
    RulesOut,
    RuleVerificationOut,
    TestedRuleOut,
)

Rule = RuleIn | Mapping[str, Any]


class RuleOperations:
    """Rules of the client's API key, or of this machine where there is none."""

    connection: Connection

    @Operation
    async def create_rule(self, rule: Rule) -> RuleOut:
        """Store a rule, and return it with the secret that signs messages to webhooks, which is not shown again.

        Args:
            rule: a `RuleIn`, or its fields.

        Raises:
            ServiceError: the service refuses it; the text names the field.
        """
        return RuleOut.model_validate_json((await self._sent("POST", "/rules", rule)).content)

    @Operation
    async def rules(self) -> list[RuleOut]:
        """Return all rules, the newest first."""
        found: list[RuleOut] = []
        link: str | None = "/rules?limit=100"
        while link:
            page = RulesOut.model_validate_json(await self.connection.content(link))
            found += page.rules
            link = self.connection.path_of(page.next) if page.next else None
        return found

    @Operation
    async def rule(self, rule_id: str) -> RuleOut:
        """Return a rule, and the alert that it has raised now."""
        return RuleOut.model_validate_json(await self.connection.content(f"/rules/{rule_id}"))

    @Operation
    async def change_rule(self, rule_id: str, rule: Rule) -> RuleOut:
        """Replace a rule; an alert that it has raised is cancelled."""
        return RuleOut.model_validate_json((await self._sent("PUT", f"/rules/{rule_id}", rule)).content)

    @Operation
    async def delete_rule(self, rule_id: str) -> None:
        """Delete a rule with its alerts, events and messages."""
        await self.connection.request("DELETE", f"/rules/{rule_id}")

    @Operation
    async def erase_rules(self) -> int:
        """Delete all rules of the API key with everything that is stored of them; return their number."""
        return int((await self.connection.request("DELETE", "/rules")).json()["erased"])

    @Operation
    async def test_rule(self, rule_id: str) -> TestedRuleOut:
        """Send a test message to each target of a rule now; return what happened."""
        answer = await self.connection.request("POST", f"/rules/{rule_id}/test")
        return TestedRuleOut.model_validate_json(answer.content)

    @Operation
    async def rule_events(self, rule_id: str, limit: int = 100) -> RuleEventsOut:
        """Return what happened in the last 30 days, the newest first."""
        return RuleEventsOut.model_validate_json(await self.connection.content(f"/rules/{rule_id}/events", limit=limit))

    @Operation
    async def rule_deliveries(
        self, rule_id: str, state: DeliveryState | None = None, limit: int = 100
    ) -> DeliveriesOut:
        """Return the messages of a rule, the newest first; of state `dead` those that were given up."""
        content = await self.connection.content(f"/rules/{rule_id}/deliveries", state=state, limit=limit)
        return DeliveriesOut.model_validate_json(content)

    @Operation
    async def rule_verification(self, rule_id: str) -> RuleVerificationOut:
        """Return hits, false alarms, misses and the time gained: of a rule, and of all rules of its quantity."""
        return RuleVerificationOut.model_validate_json(await self.connection.content(f"/rules/{rule_id}/verification"))

    @Operation
    async def regions(self) -> RegionsOut:
        """Return the regions that rules may name."""
        return RegionsOut.model_validate_json(await self.connection.content("/rules/regions"))

    async def _sent(self, method: str, path: str, rule: Rule) -> Any:
        body = rule.model_dump(mode="json", exclude_unset=True) if isinstance(rule, RuleIn) else dict(rule)
        return await self.connection.request(method, path, json=body)
