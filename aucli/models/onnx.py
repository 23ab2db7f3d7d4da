"""Exported networks: they run on CPUs in ONNX Runtime, in less time and without torch."""

from collections.abc import Sequence

import numpy as np

from aucli.errors import LibraryError, as_memory_lack, first_line

ENGINE = "onnxruntime"
PIXELS = "pixels"  # the one input's name


class OnnxNetwork:
    """A network from pixels to what is read off its maps; see ``models.reading``.

    blob: the file's bytes. threads: CPU threads of a call; the answer is the same for any number.
    outputs: the names of what it says. follows: whether landmarks are among them.
    Raises ValueError for bytes that are no such network, LibraryError where ONNX Runtime cannot be
    loaded, MemoryLackError.
    """

    def __init__(self, blob: bytes, threads: int = 1) -> None:
        try:
            import onnxruntime  # not needed by most commands
        except ImportError as error:
            raise LibraryError(
                f"the library onnxruntime cannot be loaded ({first_line(error)}); run "
                "`pip install --force-reinstall onnxruntime`"
            ) from error

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = max(1, threads)
        settings.inter_op_num_threads = 1
        # A thread that spins while it waits takes the time of the stage that it waits for.
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        settings.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                blob, settings, providers=["CPUExecutionProvider"]
            )
            self.outputs = tuple(output.name for output in self._session.get_outputs())
            inputs = [one.name for one in self._session.get_inputs()]
        except Exception as error:  # what a foreign file leads to is open-ended
            if lack := as_memory_lack(error):
                raise lack from error
            raise ValueError(str(error).splitlines()[0]) from error
        if inputs != [PIXELS]:
            raise ValueError(f"it takes {', '.join(inputs)} in place of {PIXELS}")
        self.follows = "landmarks" in self.outputs

    def __call__(self, pixels: np.ndarray, names: Sequence[str] = ()) -> dict[str, np.ndarray]:
        """What it says of pixels (N, H, W, 3) uint8 RGB; of ``names`` those that it knows, or all
        of its outputs."""
        wanted = [name for name in names if name in self.outputs] or list(self.outputs)
        values = self._session.run(wanted, {PIXELS: np.ascontiguousarray(pixels)})
        return {name: np.asarray(value) for name, value in zip(wanted, values, strict=True)}
