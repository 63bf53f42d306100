"""Which channel of a microphone is used, where none is asked for: the first that carries sound."""

from collections.abc import Sequence


class ChannelChoice:
    """Follows which channels are digital silence, piece by piece.

    The channel in use is left once it has been silent for `patience` pieces while another carries sound: one of two
    microphones of a stereo pair may not be there.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._silent_for = 0
        self.used = 0

    def choose(self, silent: Sequence[bool]) -> int:
        """The channel to take of a piece, by which of its channels are silent in it."""
        self._silent_for = self._silent_for + 1 if silent[self.used] else 0
        if self._silent_for >= self._patience and not all(silent):
            self.used, self._silent_for = silent.index(False), 0
        return self.used
