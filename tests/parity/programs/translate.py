"""nn.Transformer that learns to reverse sequences, with padding and a causal mask; greedy decoding; sdpa with shared keys."""

import warnings

import torch
import torch.nn as nn
import torch.nn.functional as F

warnings.filterwarnings("ignore", message="enable_nested_tensor is True")  # torch's hint at a faster path
PAD, BOS, EOS, VOCAB = 0, 1, 2, 12


class Translator(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, width, padding_idx=PAD)
        self.place = nn.Parameter(torch.randn(1, 10, width) * 0.1)
        self.body = nn.Transformer(width, 4, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=32, dropout=0.1, batch_first=True,
                                   norm_first=True, activation="gelu")
        self.head = nn.Linear(width, VOCAB)

    def forward(self, source, target):
        mask = nn.Transformer.generate_square_subsequent_mask(target.size(1))
        padding = source == PAD
        y = self.body(self.embed(source) + self.place[:, :source.size(1)], self.embed(target) + self.place[:, :target.size(1)], tgt_mask=mask,
                      src_key_padding_mask=padding, memory_key_padding_mask=padding, tgt_is_causal=True)
        return self.head(y)


def batch(size):
    source = torch.randint(3, VOCAB, (size, 6))
    lengths = torch.randint(3, 7, (size,))
    source[torch.arange(6) >= lengths[:, None]] = PAD
    target = torch.full((size, 8), PAD)
    target[:, 0] = BOS
    for row, length in enumerate(lengths.tolist()):
        target[row, 1:length + 1] = source[row, :length].flip(0)
        target[row, length + 1] = EOS
    return source, target


torch.manual_seed(1)
model = Translator()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=12)
print(sum(p.numel() for p in model.parameters()), len(model.state_dict()))
for step in range(12):
    source, target = batch(8)
    logits = model(source, target[:, :-1])
    loss = F.cross_entropy(logits.reshape(-1, VOCAB), target[:, 1:].reshape(-1), ignore_index=PAD, label_smoothing=0.1)
    optimizer.zero_grad()
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    print(step, loss.item(), norm.item())

model.eval()
with torch.no_grad():
    source, _ = batch(3)
    decoded = torch.full((3, 1), BOS)
    for _ in range(4):
        decoded = torch.cat([decoded, model(source, decoded)[:, -1:].argmax(-1)], 1)
    print(model(source, decoded)[:, -1].logsumexp(-1).tolist())

layer = nn.MultiheadAttention(8, 2, kdim=4, vdim=6, add_bias_kv=True, batch_first=True)
y, weights = layer(torch.randn(2, 3, 8), torch.randn(2, 5, 4), torch.randn(2, 5, 6))
print(y.sum().item(), weights.sum(-1).tolist())
q, k = torch.randn(1, 4, 3, 2, requires_grad=True), torch.randn(1, 2, 3, 2)
F.scaled_dot_product_attention(q, k, k, enable_gqa=True, is_causal=True).square().sum().backward()
print(q.grad.flatten()[4:10].tolist())
