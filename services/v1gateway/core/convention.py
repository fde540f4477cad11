"""How a version 1 message travels in the Open Inference Protocol: the names of the parameters.

The runtime of version 1 classes reads and writes the same ones, and a test compares them. Other models do not know
them and leave them alone.
"""

from typing import Final

PLATFORM: Final = "seldon-v1"
"""What the metadata of such a model says it is."""

META: Final = "seldon_meta"
"""Of a request or a response: the message's `meta`, as JSON."""
CALL: Final = "seldon_call"
"""Of a request: `feedback`; absent for a prediction."""
FEEDBACK: Final = "feedback"
REWARD: Final = "seldon_reward"
"""Of a request for feedback: the reward, as text, because parameters have no fractions."""
ROUTING: Final = "seldon_routing"
TRUTH: Final = "truth"
"""Name of the second tensor of such a request."""

KIND: Final = "seldon_kind"
"""Of a tensor: which of the kinds of payload it was."""
NAMES: Final = "seldon_names"
"""Of a tensor: the names of its columns, as a JSON list."""

NDARRAY: Final = "ndarray"
TENSOR: Final = "tensor"
TFTENSOR: Final = "tftensor"
STRING: Final = "strData"
BINARY: Final = "binData"
JSON: Final = "jsonData"
ARRAYS: Final = (NDARRAY, TENSOR, TFTENSOR)
