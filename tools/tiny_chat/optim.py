"""Muon for the matrices (orthogonalised momentum, arXiv:2502.16982), AdamW for embeddings and norms."""

from collections import defaultdict

import torch


def orthogonalise(g, steps=5):
    """Newton-Schulz iteration towards the nearest orthogonal matrix, for a stack (N, rows <= columns)."""
    x = g / (g.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return x


class Muon(torch.optim.Optimizer):
    """One step for all matrices of one shape at a time."""

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.01):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            shapes = defaultdict(list)
            for weight in group["params"]:
                shapes[tuple(weight.shape)].append(weight)
            for (rows, columns), weights in shapes.items():
                updates = torch.stack([self._momentum(weight, group["momentum"]) for weight in weights])
                tall = rows > columns
                updates = orthogonalise(updates.mT if tall else updates)
                scale = 0.2 * max(rows, columns) ** 0.5 * group["lr"]
                for weight, update in zip(weights, updates.mT if tall else updates, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update, alpha=scale)

    def _momentum(self, weight, momentum):
        """The Nesterov momentum of one gradient."""
        buffer = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
        buffer.lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(buffer, momentum)


def make_optimizers(model, lr_muon, lr_adam):
    """Muon for the 2-D weights of the layers, AdamW for everything else."""
    matrices = [p for p in model.blk.parameters() if p.dim() == 2]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    adam = torch.optim.AdamW(rest, lr=lr_adam, betas=(0.9, 0.98), weight_decay=0.0)
    return [Muon(matrices, lr=lr_muon), adam]
