"""Claims: what one process takes for itself, so that no other does the same, and what it takes over from the dead.

A claim is an object that is created if there is none, which storage does for one of all who try. Its key has a number:
whoever takes over from a holder that is gone creates the next one, so that here too one of all who try succeeds, and
nothing needs to be locked or replaced. The highest number holds.

Stores that do not know "create if there is none" are found out by trying. With them each process puts a claim under a
key of its own and looks who else did: it holds what it is alone with. If two look after both have put, neither does,
and both withdraw. That needs a store which lists what was put before, as S3 does.

Claims only save work. Where two processes do the same after all, since one was taken for dead that was merely asleep,
both write the same bytes, each object as a whole.
"""

from __future__ import annotations

from secrets import token_hex
from typing import TYPE_CHECKING, Literal

from scalesr.engine.claiming.holders import CLAIMS, SMALL, known_holder

if TYPE_CHECKING:
    from scalesr.engine.claiming.holders import Watch
    from scalesr.images import Files

How = Literal["create", "look"]
"""Whether storage creates an object for one of all who try, or claims are put and looked at."""
BLOCKS, STEPS = "blocks", "steps"


def block_name(block: int) -> str:
    """Return what a claim of a block is called."""
    return f"{BLOCKS}/{block // 1000:06d}/{block}"


def step_name(step: Literal["begin", "settle"]) -> str:
    """Return what the claim of a step is called that is done once for the whole run."""
    return f"{STEPS}/{step}"


def way_of(files: Files) -> How:
    """Return how claims are made in a store: try whether it creates the same object twice."""
    key = f"{CLAIMS}/tries/{token_hex(8)}"
    try:
        files.create(key, b"first")
        return "look" if files.create(key, b"second") else "create"
    finally:
        files.delete(key)


class Claims:
    """The claims of one process among those of others.

    Parameters
    ----------
    files
        The ledger.
    watch
        Knows which other processes are gone.
    own
        Token of this process.
    how
        How a claim is made.
    """

    def __init__(self, files: Files, watch: Watch, *, own: str, how: How) -> None:
        self._files = files
        self._watch = watch
        self._own = own
        self._how = how
        self._held: dict[str, int] = {}
        self.taken_over = 0
        """Claims that were taken over from others."""

    def take(self, name: str) -> bool:
        """Claim what nobody claimed yet; return whether it was so."""
        return self._create(name, 0)

    def seize(self, name: str) -> bool:
        """Claim what nobody holds who is still there; return whether this process holds it now."""
        if name in self._held:
            return True
        found = self._generations(f"{CLAIMS}/{name}.")
        if not found:
            return self.take(name)
        generation = max(found[name])
        if not all(self._watch.gone(holder) for holder in self._holders(found[name][generation])):
            return False
        if not self._create(name, generation + 1):
            return False
        self.taken_over += 1
        return True

    def release(self, name: str) -> None:
        """Let go of a claim, so that others may take it at once."""
        generation = self._held.pop(name, None)
        if generation is not None:
            self._files.delete(self._key(name, generation))

    def forget(self, name: str) -> None:
        """Keep a claim of something that is done, which nobody shall take any more."""
        self._held.pop(name, None)

    def claimed(self, folder: str) -> set[str]:
        """Return the names of all that was ever claimed in a folder, whoever holds it."""
        return set(self._generations(f"{CLAIMS}/{folder}/"))

    def _key(self, name: str, generation: int) -> str:
        return f"{CLAIMS}/{name}.{generation}" + (f".{self._own}" if self._how == "look" else "")

    def _create(self, name: str, generation: int) -> bool:
        key = self._key(name, generation)
        content = self._own.encode()
        if self._how == "create":
            if not self._files.create(key, content):
                return False
        else:
            self._files.put(key, content)
            if self._files.list(f"{CLAIMS}/{name}.{generation}.") != [key]:
                self._files.delete(key)
                return False
        self._held[name] = generation
        return True

    def _generations(self, prefix: str) -> dict[str, dict[int, list[str]]]:
        """Return, for each name, the keys of each number that it was claimed under."""
        found: dict[str, dict[int, list[str]]] = {}
        for key in self._files.list(prefix):
            name, _, rest = key.removeprefix(f"{CLAIMS}/").partition(".")
            number = rest.partition(".")[0]
            if number.isascii() and number.isdigit() and len(number) < 10:
                found.setdefault(name, {}).setdefault(int(number), []).append(key)
        return found

    def _holders(self, keys: list[str]) -> list[str]:
        return [known_holder(self._files.get(key, at_most=SMALL)) for key in keys]
