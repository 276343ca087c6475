"""Train a ReLU network in PyTorch on given data: seconds per step, by autograd and compiled.

Needs PyTorch and NumPy, nothing of fatelib: `relu.py` starts it with the interpreter that has them.
The compiled function is a whole step, gradient and update, which leaves `torch.compile` the most to
fuse.
"""

import argparse
import json
import sys
import time

import numpy as np
import torch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help=".npz with W, c, X, y; leading axes are a batch")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--compare", type=int, required=True, help="steps to the loss compared")
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--device", choices=["cpu", "gpu"], required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    gpu = options.device == "gpu"
    device = torch.device("cuda" if gpu else "cpu")
    with np.load(options.data) as data:
        W, c, X, y = (torch.from_numpy(data[name]).to(device) for name in ("W", "c", "X", "y"))
    pace = options.rate * c.shape[-1]

    def loss(W, c):
        outputs = (torch.relu(X @ W.mT) @ c[..., None])[..., 0] / c.shape[-1]
        return ((outputs - y) ** 2).mean(-1).sum()

    def autograd(W, c):
        W, c = W.requires_grad_(), c.requires_grad_()
        slope_W, slope_c = torch.autograd.grad(loss(W, c), (W, c))
        with torch.no_grad():
            return W - pace * slope_W, c - pace * slope_c

    def whole(W, c):
        slope_W, slope_c = torch.func.grad(loss, (0, 1))(W, c)
        return W - pace * slope_W, c - pace * slope_c

    def run(step, steps: int):
        weights = W.clone(), c.clone()
        start = time.perf_counter()
        for _ in range(steps):
            weights = step(*weights)
        if gpu:
            torch.cuda.synchronize()
        return time.perf_counter() - start, weights

    def measure(step) -> dict:
        reached = float(loss(*run(step, options.compare)[1]))
        taken = min(run(step, options.steps)[0] for _ in range(3)) / options.steps
        return {"seconds": taken, "loss": reached}

    result = {"version": f"PyTorch {torch.__version__}, {torch.get_num_threads()} thread(s)"}
    result["version"] += f", on {torch.cuda.get_device_name()}" if gpu else ", on the CPU"
    result["autograd"] = measure(autograd)
    try:
        result["compile"] = measure(torch.compile(whole))
    except Exception as error:  # no compiler on this machine, say: the table says so
        print(f"torch.compile failed: {error}", file=sys.stderr)
        result["compile"] = None
    print(json.dumps(result))


if __name__ == "__main__":
    main()
