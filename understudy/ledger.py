"""What is remembered of a loop over ``each`` as a whole: counts, and the place up to which everything is over.

It is written with the marks of items, in the same step, under the key of no item. So it is never ahead of them, nor
behind.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from .errors import DecodeError

#: How a mark begins that is a ledger.
LEDGER = "@"


class Ledger(msgspec.Struct, omit_defaults=True):
    """Counts of distinct items, in this execution and earlier ones.

    Attributes:
      done: how many are done.
      failed: how many failed for good; those in doubt that were skipped are among them.
      in_doubt: how many were in flight when a process died.
      position: the first so many items of the source are over and have no mark of their own, but for reasons.
      chain: names those items and their order.
      after: where a cursor goes on, encoded.
    """

    done: int = 0
    failed: int = 0
    in_doubt: int = 0
    position: int = 0
    chain: str = ""
    after: str = ""

    def encoded(self) -> str:
        """As a mark; empty while there is nothing to remember."""
        return LEDGER + msgspec.json.encode(self).decode() if self != Ledger() else ""


def decoded(mark: str) -> Ledger:
    """The ledger of a loop; an empty one when nothing is remembered.

    Raises:
      DecodeError: ``mark`` is not what ``Ledger.encoded`` writes.
    """
    if not mark:
        return Ledger()
    try:
        return msgspec.json.decode(mark.removeprefix(LEDGER), type=Ledger)
    except msgspec.MsgspecError as error:
        raise DecodeError(f"what is remembered of the items of this message cannot be read: {error}") from error


def link(chain: str, key: str) -> str:
    """The chain of one item more. Two sequences of keys have the same chain only when they are the same."""
    return blake2b((chain + key).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
