"""Made-up features whose error at every number of samples and ridge is known."""

import numpy as np


class Made:
    """Gaussian features of a power-law spectrum, and a target with a residual and noise."""

    def __init__(self, p, seed=0, noise=0.5, decay=1.0, classes=None):
        rng = np.random.default_rng(seed)
        self.scale = np.arange(1, p + 1) ** -decay
        self.axes = np.linalg.qr(rng.normal(size=(p, p)))[0]
        self.weights = rng.normal(size=p) * self.scale**0.5
        self.noise, self.classes = noise, classes

    def draw(self, n, seed):
        rng = np.random.default_rng([7, seed])
        hidden = rng.normal(size=(n, len(self.scale))) * self.scale
        y = hidden @ self.weights + self.noise * rng.normal(size=n)
        return 3.0 + hidden @ self.axes, y

    def risk(self, b, a):
        """Error of the prediction Z @ b + a, exactly."""
        inside = self.axes @ b - self.weights
        offset = 3.0 * b.sum() + a
        return float(((inside * self.scale) ** 2).sum() + offset**2 + self.noise**2)

    def error(self, n, ridges, draws, seed=0):
        """Mean error of the best of some ridges, with its standard error."""
        errors = []
        for draw in range(draws):
            Z, y = self.draw(n, [seed, 1000 + draw])
            mean = Z.mean(axis=0)
            U, size, Vt = np.linalg.svd(Z - mean, full_matrices=False)
            shares = size / (size**2 + n * np.asarray(ridges)[:, None])
            B = (shares * (U.T @ (y - y.mean()))) @ Vt
            errors.append([self.risk(b, y.mean() - mean @ b) for b in B])
        errors = np.array(errors)
        best = errors.mean(axis=0).argmin()
        return errors[:, best].mean(), errors[:, best].std(ddof=1) / np.sqrt(draws)
