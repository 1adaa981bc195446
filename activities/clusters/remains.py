"""What the nodes themselves still know of an operation; nothing is changed by looking."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from activities.clusters.surveys import PARALLEL, answer
from quorate.adoption import PLAN_FILE, TAKEN_FILE, Claimed, Found, claimed, nobody, one_operation, one_text
from quorate.command import Command, Node, node_of
from quorate.errors import CommandFailed, Unreachable
from quorate.inventory import Cluster
from quorate.nodes.node import Claim
from quorate.nodes.seen import Look
from quorate.ports import Hosts

NEWEST = 'cat "$(ls -t "$0"/*/released | head -n 1)"'


@dataclass(frozen=True)
class Remains:
    hosts: Hosts

    def found(self, name: str, cluster: Cluster) -> Found:
        """Of every node that answers; one that does not may come back later, and is below the new turn then."""
        nodes = {member.name: node_of(name, cluster, member) for member in cluster.members}
        with ThreadPoolExecutor(PARALLEL) as pool:
            asked = {member: pool.submit(answer, self._claim, node) for member, node in nodes.items()}
            claims = {
                member: each for member, future in asked.items() if isinstance(each := future.result(), Claimed)
            }
            if not claims:
                raise nobody(name, {member: last for member, node in nodes.items() if (last := self._last(node))})
            operation = one_operation(claims, name)
            home = Claim(cluster.lock_dir, name, operation).home
            plans, taken = (
                {member: pool.submit(self._text, nodes[member], f"{home}/{file}") for member in claims}
                for file in (PLAN_FILE, TAKEN_FILE)
            )
            return Found(
                claims=claims,
                plan=one_text(known({member: each.result() for member, each in plans.items()}), PLAN_FILE),
                taken=one_text(known({member: each.result() for member, each in taken.items()}), TAKEN_FILE),
            )

    def _claim(self, node: Node) -> Claimed | None:
        return claimed(self.hosts.survey(node, Look()).claim)

    def _last(self, node: Node) -> str:
        """The operation that was the last to release it, "" where nothing is known of one."""
        home = f"{node.lock_dir}/{node.cluster}"
        try:
            last = claimed(b"".join(self.hosts.read(node, Command(("sh", "-c", NEWEST, home)))).decode())
        except (CommandFailed, Unreachable):
            return ""
        return last.operation if last else ""

    def _text(self, node: Node, path: str) -> str:
        try:
            return b"".join(self.hosts.read(node, Command(("cat", path)))).decode()
        except CommandFailed:
            return ""  # not there


def known(texts: dict[str, str]) -> dict[str, str]:
    return {member: text for member, text in texts.items() if text}
