"""Networks and what goes with a trained one: card, file, registry, device."""

import os

# Read when PyTorch is imported, which the modules in here do: what an Apple GPU cannot do yet, the CPU does.
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
