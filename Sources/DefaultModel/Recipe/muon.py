"""Muon for matrices and convolutions, AdamW for everything else.

Muon (K. Jordan and others, 2024) replaces the momentum of a weight matrix by the nearest orthogonal matrix. The update is
scaled to the size of an Adam update, so both share one learning rate. The orthogonalisation, which is most of the
cost, is shared out over the processes.
"""
import torch
import torch.distributed as dist


def orthogonal(matrix, rounds=5):
    """Newton-Schulz iteration in bfloat16: roughly the U V^T of matrix = U S V^T."""
    x = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T.contiguous()
    x = x / (x.norm() + 1e-7)
    for _ in range(rounds):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return (x.T if tall else x).float()


class MuonAdamW:
    """parameters: (name, parameter) pairs whose gradients are set; is_matrix(name, p) picks Muon's share."""

    def __init__(self, named, is_matrix, learning_rate, weight_decay=1e-3, momentum=0.95):
        named = list(named)
        self.matrices = [p for n, p in named if is_matrix(n, p)]
        self.momenta = [torch.zeros_like(p) for p in self.matrices]
        rest = [p for n, p in named if not is_matrix(n, p)]
        self.adam = torch.optim.AdamW(rest, learning_rate, betas=(.9, .99), weight_decay=0, foreach=True)
        self.learning_rate, self.weight_decay, self.momentum = learning_rate, weight_decay, momentum
        self.owners = self._share_out()

    def _share_out(self):
        """Which process orthogonalises which matrix: always the least loaded one takes the next largest."""
        world = dist.get_world_size()
        load, owners = [0] * world, [0] * len(self.matrices)
        cost = [p.numel() * min(p.shape[0], p[0].numel()) for p in self.matrices]
        for k in sorted(range(len(cost)), key=lambda k: -cost[k]):
            owners[k] = load.index(min(load))
            load[owners[k]] += cost[k]
        return owners

    @torch.no_grad()
    def step(self, factor):
        """One update at factor times the learning rate."""
        lr = self.learning_rate * factor
        for group in self.adam.param_groups:
            group["lr"] = lr
        self.adam.step()
        grads = [p.grad for p in self.matrices]
        torch._foreach_lerp_(self.momenta, grads, 1 - self.momentum)
        rank = dist.get_rank()
        updates = torch.zeros(sum(p.numel() for p in self.matrices))
        pieces = updates.split([p.numel() for p in self.matrices])
        for owner, grad, momentum, piece in zip(self.owners, grads, self.momenta, pieces):
            if owner == rank:
                look_ahead = torch.lerp(grad, momentum, self.momentum).reshape(len(grad), -1)
                size = 0.2 * max(look_ahead.shape) ** 0.5
                piece.copy_(orthogonal(look_ahead).mul_(size).flatten())
        dist.all_reduce(updates)
        torch._foreach_mul_(self.matrices, 1 - lr * self.weight_decay)
        for p, piece in zip(self.matrices, pieces):
            p.add_(piece.view_as(p), alpha=-lr)

    def state_dict(self):
        return dict(adam=self.adam.state_dict(), momenta=self.momenta)

    def load_state_dict(self, state):
        self.adam.load_state_dict(state["adam"])
        for mine, saved in zip(self.momenta, state["momenta"]):
            mine.copy_(saved)
