"""Consumer groups of the fake cluster: generations, and partitions that move one step at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import KafkaError

if TYPE_CHECKING:
    from support.kafka.fake_cluster import FakeCluster
    from support.kafka.fake_consumer import FakeConsumer
    from support.kafka.fake_log import Key


class GroupMetadata(NamedTuple):
    """What a member says of itself when it commits in a transaction; `member` is empty outside a group."""

    group: str
    member: str
    generation: int


@dataclass(eq=False)
class Member:
    """A member; `owned` is what it was given and has not yet given back, `seen` the last generation it was told."""

    id: str
    topics: set[str]
    consumer: FakeConsumer
    owned: set[Key] = field(default_factory=set)
    seen: int = -1


@dataclass(eq=False)
class Group:
    """A cooperative group: who joins or leaves raises the generation; a partition is given when it has been let go."""

    name: str
    cluster: FakeCluster
    generation: int = 0
    members: dict[str, Member] = field(default_factory=dict)
    committed: dict[Key, int] = field(default_factory=dict)
    metadata: dict[Key, str | None] = field(default_factory=dict)
    pinned: dict[Key, Member] = field(default_factory=dict)

    def join(self, identity: str, instance: str | None, topics: set[str], consumer: FakeConsumer) -> Member:
        """Add a member. One with the instance id of another takes its place and its partitions at once."""
        name = instance or identity
        old = self.members.get(name)
        self.members[name] = member = Member(identity, topics, consumer)
        if old is not None:
            member.owned, old.owned = old.owned, set()
            self.pinned = {key: member if owner is old else owner for key, owner in self.pinned.items()}
        self.generation += 1
        return member

    def leave(self, member: Member) -> None:
        """Take a member out, with all that it owned."""
        self.members = {name: known for name, known in self.members.items() if known is not member}
        self.pinned = {key: owner for key, owner in self.pinned.items() if owner is not member}
        member.owned = set()
        self.generation += 1

    def release(self, member: Member, keys: set[Key]) -> None:
        """The member has let these go: it joins again, so that another one gets them."""
        member.owned -= keys
        self.generation += 1

    def move(self, key: Key, consumer: FakeConsumer) -> None:
        """Give one partition to this consumer, which has to be a member; another one goes the other way."""
        self.pinned[key] = next(member for member in self.members.values() if member.consumer is consumer)
        self.generation += 1

    def alive(self, member: Member) -> bool:
        """Whether the group still knows it."""
        return any(known is member for known in self.members.values())

    def refuses(self, metadata: GroupMetadata) -> int | None:
        """Why a transactional offset commit with this metadata is refused, as an error code."""
        if not metadata.member:
            return None
        if all(member.id != metadata.member for member in self.members.values()):
            return int(KafkaError.UNKNOWN_MEMBER_ID)
        return None if metadata.generation == self.generation else int(KafkaError.ILLEGAL_GENERATION)

    def to_revoke(self, member: Member) -> set[Key]:
        """What it owns and should not."""
        return member.owned - self._target()[id(member)]

    def to_assign(self, member: Member) -> set[Key]:
        """What it should own and nobody else holds any more."""
        held = set().union(*(other.owned for other in self.members.values()))
        return self._target()[id(member)] - held

    def _target(self) -> dict[int, set[Key]]:
        """The balanced assignment that moves least."""
        members = list(self.members.values())
        target: dict[int, set[Key]] = {id(member): set() for member in members}
        keys = sorted(key for topic in self.cluster.topics.values() for key in (log.key for log in topic.logs))
        free = []
        share = -(-sum(any(key[0] in member.topics for member in members) for key in keys) // max(1, len(members)))
        for key in keys:
            owner = self.pinned.get(key) or next((member for member in members if key in member.owned), None)
            if owner is not None and (key in self.pinned or len(target[id(owner)]) < share):
                target[id(owner)].add(key)
            else:
                free.append(key)
        for key in free:
            takers = [member for member in members if key[0] in member.topics]
            if takers:
                target[id(min(takers, key=lambda member: len(target[id(member)])))].add(key)
        self._level(members, target)
        return target

    def _level(self, members: list[Member], target: dict[int, set[Key]]) -> None:
        """Nobody may have two more than another who could take one."""
        while members:
            poorest = min(members, key=lambda member: len(target[id(member)]))
            richest = max(members, key=lambda member: len(target[id(member)]))
            movable = sorted(key for key in target[id(richest)] if key not in self.pinned and key[0] in poorest.topics)
            if len(target[id(richest)]) - len(target[id(poorest)]) < 2 or not movable:
                return
            target[id(richest)].remove(movable[-1])
            target[id(poorest)].add(movable[-1])
