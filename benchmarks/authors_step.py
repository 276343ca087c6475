"""Run the authors' training loop on given data and print its seconds per step.

Needs PyTorch and their checkout, nothing of fatelib: `authors.py` starts it with the interpreter
that has PyTorch.
"""

import argparse
import contextlib
import io
import json
import sys
import time

import numpy as np
import torch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help=".npz with first, last, X, y, beta")
    parser.add_argument("--authors", required=True, help="their checkout")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--device", choices=["cpu", "gpu"], required=True)
    options = parser.parse_args()
    sys.path.insert(0, options.authors)
    import model
    import train

    data = {name: torch.from_numpy(array) for name, array in np.load(options.data).items()}
    X, y = data["X"], data["y"]
    instances, _, d = X.shape
    loader = [(X, y)]  # their DataLoader yields this one batch as well, after copying it
    network = model.deepLinear(L=2, d=d, instances=instances, alpha=1.0)
    device = train.get_device(options.device)
    beta = data["beta"].repeat(instances, 1)[:, :, None]

    def run(steps: int) -> float:
        for layer, start in zip(network.layers, (data["first"], data["last"]), strict=True):
            layer.data = start.repeat(instances, 1, 1).to(device)
        trainer = train.empTrainer(network, beta, device=options.device)
        start = time.perf_counter()
        trainer.train(epochs=steps, lr=options.rate, dataloader=loader, save_freq=100)
        return time.perf_counter() - start

    with contextlib.redirect_stderr(io.StringIO()):  # their progress bar
        run(3)
        taken = min(run(options.steps) for _ in range(2)) / options.steps
    maps = network.getBeta().detach()[:, :, 0].tolist()
    version = f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads"
    gpu = torch.cuda.is_available() and options.device == "gpu"
    version += f", on {torch.cuda.get_device_name()}" if gpu else ", on the CPU"
    print(json.dumps({"seconds": taken, "maps": maps, "version": version}))


if __name__ == "__main__":
    main()
