"""When does a pretrained network beat training from scratch?

`fatelib` computes and simulates transfer learning in high-dimensional regression: closed-form
risks (`fatelib.theory`), deep linear networks and the gradient descent that trains them
(`fatelib.linear`), the transfer protocols (`fatelib.transfer`) and phase diagrams over them.

Importing it changes no global JAX setting.
"""

__version__ = "0.1.0"
