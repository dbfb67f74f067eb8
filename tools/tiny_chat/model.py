"""The tiny model in PyTorch, for training: llama.cpp's "llama" graph (RMS norm, rotary pairs side by side, SwiGLU)."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Config:
    """Sizes of the model; every row length is a multiple of 32, the block of Q8_0."""

    n_vocab: int = 1536
    n_embd: int = 192
    n_layer: int = 5
    n_head: int = 6
    n_head_kv: int = 3
    n_ff: int = 512
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5

    @property
    def head_dim(self):
        return self.n_embd // self.n_head


class RMSNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(size)), eps

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


def rope_tables(config, length):
    """cos and sin of every position and pair: (T, E / 2)."""
    inverse = config.rope_theta ** (-torch.arange(0, config.head_dim, 2).float() / config.head_dim)
    angles = torch.outer(torch.arange(length).float(), inverse)
    return angles.cos(), angles.sin()


def rope(x, cos, sin):
    """Rotate the pairs (0, 1), (2, 3), ... of the last axis: x (B, H, T, E)."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Block(nn.Module):
    """One layer; the names are the GGUF names."""

    def __init__(self, c):
        super().__init__()
        self.c = c
        width = c.n_head_kv * c.head_dim
        self.attn_norm, self.ffn_norm = RMSNorm(c.n_embd, c.norm_eps), RMSNorm(c.n_embd, c.norm_eps)
        self.attn_q = nn.Linear(c.n_embd, c.n_embd, bias=False)
        self.attn_k, self.attn_v = (nn.Linear(c.n_embd, width, bias=False) for _ in range(2))
        self.attn_output = nn.Linear(c.n_embd, c.n_embd, bias=False)
        self.ffn_gate, self.ffn_up = (nn.Linear(c.n_embd, c.n_ff, bias=False) for _ in range(2))
        self.ffn_down = nn.Linear(c.n_ff, c.n_embd, bias=False)

    def forward(self, x, cos, sin):  # (B, T, D)
        c, (batch, length, _) = self.c, x.shape
        h = self.attn_norm(x)
        q = self.attn_q(h).view(batch, length, c.n_head, c.head_dim).transpose(1, 2)  # (B, H, T, E)
        k = self.attn_k(h).view(batch, length, c.n_head_kv, c.head_dim).transpose(1, 2)  # (B, K, T, E)
        v = self.attn_v(h).view(batch, length, c.n_head_kv, c.head_dim).transpose(1, 2)
        q, k = rope(q, cos, sin), rope(k, cos, sin)
        groups = c.n_head // c.n_head_kv
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn_output(y.transpose(1, 2).reshape(batch, length, c.n_embd))
        h = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))


class TinyChat(nn.Module):
    """The whole model; the output matrix is the embedding matrix."""

    def __init__(self, c):
        super().__init__()
        self.c = c
        self.token_embd = nn.Embedding(c.n_vocab, c.n_embd)
        self.blk = nn.ModuleList(Block(c) for _ in range(c.n_layer))
        self.output_norm = RMSNorm(c.n_embd, c.norm_eps)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                scale = 0.02 if name.startswith("token_embd") else weight.shape[1] ** -0.5
                residual = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(weight, std=scale / (2 * c.n_layer) ** 0.5 if residual else scale)
        self._look_back()

    @torch.no_grad()
    def _look_back(self):
        """Start the first two heads of layer 0 as "one token back" and "two tokens back".

        Copying needs such heads, and finding them is what takes a small model longest. All embeddings start with one
        common direction; along it q and k are constant, so that after RoPE their product depends on distance alone.
        """
        c, first = self.c, self.blk[0]
        direction = torch.ones(c.n_embd) / c.n_embd**0.5
        self.token_embd.weight += 0.02 * c.n_embd**0.5 * direction
        peak = torch.tensor([8.0, 6.0, 4.0, 3.0, 2.0, 1.0])  # attention logits that pair i adds at the right distance
        along = (0.5 * c.n_embd) ** 0.5  # of a normalised embedding, half of whose square is the common direction
        size = (peak * c.head_dim**0.5).sqrt() / along
        angle = c.rope_theta ** (-2 * torch.arange(len(peak)) / c.head_dim)
        n = 2 * len(peak)
        first.attn_k.weight[:n] = torch.stack((size, 0 * size), 1).flatten()[:, None] * direction
        for head in range(2):
            turn = (head + 1) * angle
            rows = torch.stack((size * turn.cos(), -size * turn.sin()), 1).flatten()[:, None] * direction
            first.attn_q.weight[head * c.head_dim : head * c.head_dim + n] = rows

    def hidden(self, tokens):
        """tokens (B, T) -> normalised hidden states (B, T, D)."""
        cos, sin = rope_tables(self.c, tokens.shape[1])
        x = self.token_embd(tokens)
        for block in self.blk:
            x = block(x, cos, sin)
        return self.output_norm(x)

    def loss(self, tokens, targets):
        """Summed cross entropy of the positions whose target is not -1; targets (B, T)."""
        wanted = targets.flatten() >= 0
        h = self.hidden(tokens).flatten(0, 1)[wanted]
        return F.cross_entropy(h @ self.token_embd.weight.T, targets.flatten()[wanted], reduction="sum")
