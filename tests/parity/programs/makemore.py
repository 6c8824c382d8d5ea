"""A character model whose backward pass is also written by hand: embedding, batch norm, tanh, cross entropy."""

import torch
import torch.nn.functional as F

words = ["emma", "olivia", "ava", "isabella", "sophia", "charlotte", "mia", "amelia", "harper", "evelyn"]
chars = [".", *sorted(set("".join(words)))]
index = {c: i for i, c in enumerate(chars)}
V, context, n_embd, n_hidden = len(chars), 3, 10, 20

# bigrams, counted
N = torch.zeros((V, V), dtype=torch.int32)
for w in words:
    for a, b in zip("." + w, w + "."):
        N[index[a], index[b]] += 1
P = (N + 1).float()
P /= P.sum(1, keepdims=True)
g = torch.Generator().manual_seed(2147483647)
for _ in range(3):
    name, ix = "", 0
    while True:
        ix = torch.multinomial(P[ix], num_samples=1, replacement=True, generator=g).item()
        if ix == 0:
            break
        name += chars[ix]
    print(name)

# the batch
X, Y = [], []
for w in words:
    window = [0] * context
    for c in w + ".":
        X.append(window)
        Y.append(index[c])
        window = [*window[1:], index[c]]
X, Y = torch.tensor(X), torch.tensor(Y)
C = torch.randn((V, n_embd), generator=g)
W1 = torch.randn((n_embd * context, n_hidden), generator=g) * (5 / 3) / (n_embd * context) ** 0.5
W2 = torch.randn((n_hidden, V), generator=g) * 0.1
b2 = torch.randn(V, generator=g) * 0.1
gain, bias = torch.ones((1, n_hidden)), torch.zeros((1, n_hidden))
parameters = [C, W1, W2, b2, gain, bias]
for p in parameters:
    p.requires_grad = True
ix = torch.randint(0, X.shape[0], (32,), generator=g)
Xb, Yb, n = X[ix], Y[ix], 32

emb = C[Xb]
embcat = emb.view(emb.shape[0], -1)
hprebn = embcat @ W1
bnvar_inv = (hprebn.var(0, keepdim=True, unbiased=True) + 1e-5) ** -0.5
bnraw = (hprebn - hprebn.mean(0, keepdim=True)) * bnvar_inv
h = torch.tanh(gain * bnraw + bias)
logits = h @ W2 + b2
counts = (logits - logits.max(1, keepdim=True).values).exp()
probs = counts / counts.sum(1, keepdims=True)
loss = -probs[range(n), Yb].log().mean()
for t in [logits, h, bnraw, hprebn, emb]:
    t.retain_grad()
loss.backward()
print(loss.item(), F.cross_entropy(logits, Yb).item())

dlogits = F.softmax(logits, 1)
dlogits[range(n), Yb] -= 1
dlogits /= n
dh = dlogits @ W2.T
dhpreact = (1.0 - h**2) * dh
dhprebn = gain * bnvar_inv / n * (n * dhpreact - dhpreact.sum(0) - n / (n - 1) * bnraw * (dhpreact * bnraw).sum(0))
dembcat = dhprebn @ W1.T
demb = dembcat.view(emb.shape)
dC = torch.zeros_like(C)
for k in range(Xb.shape[0]):
    for j in range(Xb.shape[1]):
        dC[Xb[k, j]] += demb[k, j]
by_hand = {"logits": (dlogits, logits), "h": (dh, h), "hprebn": (dhprebn, hprebn), "emb": (demb, emb), "C": (dC, C),
           "W1": (embcat.T @ dhprebn, W1), "W2": (h.T @ dlogits, W2), "b2": (dlogits.sum(0), b2),
           "gain": ((bnraw * dhpreact).sum(0, keepdim=True), gain), "bias": (dhpreact.sum(0, keepdim=True), bias)}
for name, (ours, t) in by_hand.items():
    print(name, torch.allclose(ours, t.grad, atol=1e-5), t.grad.norm().item())

for lr in 10 ** torch.linspace(-2, 0, 6):
    ix = torch.randint(0, X.shape[0], (32,), generator=g)
    loss = F.cross_entropy(torch.tanh(C[X[ix]].view(-1, n_embd * context) @ W1) @ W2 + b2, Y[ix])
    for p in parameters:
        p.grad = None
    loss.backward()
    for p in parameters:
        if p.grad is not None:
            p.data += -lr * p.grad
    print(loss.log10().item())
