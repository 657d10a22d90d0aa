"""Network policies against the arrows of docs/architecture.md: who may open a connection to whom, at which port."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

from tools.deployment.manifests import NAME_LABEL, ROOT, Manifest, of_kind, pod_labels, pod_of, workloads

ANYWHERE: Final = "anywhere"
_OPTIONAL: Final = ("backup",)
"""What not every installation has."""
_ROW: Final = re.compile(r"^\| (\w+) +\| (\w+) +\| (\d+) +\|", flags=re.MULTILINE)


@dataclass(frozen=True, order=True)
class Arrow:
    """A connection that may be opened."""

    source: str
    target: str
    port: int

    def __str__(self) -> str:
        return f"{self.source} → {self.target}:{self.port}"


def arrows_of_the_architecture(page: str | None = None) -> set[Arrow]:
    """The rows of the page's table."""
    text = page if page is not None else (ROOT / "docs" / "architecture.md").read_text()
    return {Arrow(source, target, int(port)) for source, target, port in _ROW.findall(text)}


def network_problems(manifests: list[Manifest], arrows: set[Arrow]) -> Iterator[str]:
    """Arrows that the policies do not let through, and what they let through beside them."""
    policies = _Policies(manifests)
    allowed = set(policies.arrows())
    database_is_here = "postgres" in policies.pods
    for arrow in sorted(arrows - allowed):
        if arrow.source in _OPTIONAL and arrow.source not in policies.pods:
            continue
        if arrow.target == "postgres" and not database_is_here:
            if arrow.port not in policies.ports_to_anywhere(arrow.source):
                yield f"{arrow} is not let through, to a database elsewhere"
        else:
            yield f"{arrow} is not let through"
    for arrow in sorted(allowed - arrows):
        yield f"{arrow} is let through, and is no arrow of docs/architecture.md"
    for name in sorted(policies.pods - {"postgres"}):
        # The database's operator has its instances speak to the API server.
        own = {arrow.port for arrow in arrows if arrow.source == name}
        for port in sorted(policies.ports_to_anywhere(name) - own, key=str):
            yield f"{name} may speak to anybody at {port or 'every port'}"


class _Policies:
    """Policies of one namespace, and the pods that they are about, by their name label."""

    def __init__(self, manifests: list[Manifest]) -> None:
        self._policies = [one["spec"] for one in of_kind(manifests, "NetworkPolicy")]
        self._labels: dict[str, dict[str, str]] = {}
        self._listening: set[int] = set()
        for workload in workloads(manifests):
            self._add(pod_labels(workload))
            containers = pod_of(workload)["containers"]
            self._listening |= {port["containerPort"] for one in containers for port in one.get("ports", [])}
        for cluster in of_kind(manifests, "Cluster"):
            self._add(cluster["spec"]["inheritedMetadata"]["labels"])
        for policy in self._policies:
            for rule in [*policy.get("ingress", []), *policy.get("egress", [])]:
                self._listening |= {port["port"] for port in rule.get("ports", [])}

    def _add(self, labels: dict[str, str]) -> None:
        self._labels[labels[NAME_LABEL]] = labels

    @property
    def pods(self) -> set[str]:
        return set(self._labels)

    def arrows(self) -> Iterator[Arrow]:
        """All that is let through between different pods, and from anywhere."""
        for source, target, port in product([*self._labels, ANYWHERE], self._labels, self._listening):
            if source != target and self._leaves(source, target, port) and self._enters(source, target, port):
                yield Arrow(source, target, port)

    def ports_to_anywhere(self, name: str) -> set[int | None]:
        """Ports at which a pod may speak to anybody; None stands for every port."""
        rules = self._rules(name, "Egress", "egress")
        if rules is None:
            return {None}
        open_rules = [rule for rule in rules if not rule.get("to")]
        return {port["port"] for rule in open_rules for port in rule.get("ports", [{"port": None}])}

    def _leaves(self, source: str, target: str, port: int) -> bool:
        return source == ANYWHERE or _permits(self._rules(source, "Egress", "egress"), "to", self._labels[target], port)

    def _enters(self, source: str, target: str, port: int) -> bool:
        labels = None if source == ANYWHERE else self._labels[source]
        return _permits(self._rules(target, "Ingress", "ingress"), "from", labels, port)

    def _rules(self, name: str, direction: str, field: str) -> list[dict[str, Any]] | None:
        """The rules of the policies that select a pod; None where none does, so that all is let through."""
        selecting = [
            policy
            for policy in self._policies
            if direction in policy["policyTypes"] and _selects(policy["podSelector"], self._labels[name])
        ]
        return [rule for policy in selecting for rule in policy.get(field, [])] if selecting else None


def _permits(rules: list[dict[str, Any]] | None, side: str, labels: dict[str, str] | None, port: int) -> bool:
    """Whether one of the rules lets a peer with these labels (None: of somebody elsewhere) through at a port."""
    if rules is None:
        return True
    for rule in rules:
        at_port = "ports" not in rule or any(one["port"] == port for one in rule["ports"])
        peers = rule.get(side)
        if at_port and (not peers or any(_is_peer(peer, labels) for peer in peers)):
            return True
    return False


def _is_peer(peer: dict[str, Any], labels: dict[str, str] | None) -> bool:
    if peer.get("namespaceSelector"):
        # Some other namespace, by its name: neither our pods nor anybody.
        return False
    if "namespaceSelector" in peer or "ipBlock" in peer:
        return True
    return labels is not None and _selects(peer["podSelector"], labels)


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for expression in selector.get("matchExpressions", []):
        if expression["operator"] != "In":
            raise ValueError(f"network policies here select by In alone, not by {expression['operator']}")
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return True
