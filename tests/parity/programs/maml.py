"""Learning to learn sines and images: inner steps with create_graph, the outer gradient through them, second derivatives in x."""

import math

import torch
from torch import nn
from torch.nn import functional as F

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(1, 20), nn.ReLU(), nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 1))
weights = list(model.parameters())
optimizer = torch.optim.Adam(weights, 1e-3)


def forward(x, w):
    return F.linear(torch.tanh(F.linear(F.relu(F.linear(x, w[0], w[1])), w[2], w[3])), w[4], w[5])


for it in range(4):
    total = 0
    for _ in range(2):
        amplitude, phase = torch.empty(1).uniform_(0.1, 5), torch.empty(1).uniform_(0, math.pi)
        x, x_query = torch.FloatTensor(10, 1).uniform_(-5, 5), torch.FloatTensor(10, 1).uniform_(-5, 5)
        fast = weights
        for _ in range(3):
            loss = F.mse_loss(forward(x, fast), amplitude * torch.sin(x + phase))
            fast = [w - 0.01 * g for w, g in zip(fast, torch.autograd.grad(loss, fast, create_graph=True))]
        total = total + F.mse_loss(forward(x_query, fast), amplitude * torch.sin(x_query + phase))
    for w, g in zip(weights, torch.autograd.grad(total, weights)):
        w.grad = g
    optimizer.step()
    print(it, total.item(), [w.grad.norm().item() for w in weights])

# the same through conv, batch norm and pooling
v = nn.ParameterList([nn.Parameter(torch.randn(8, 1, 3, 3) * 0.1), nn.Parameter(torch.ones(8)), nn.Parameter(torch.zeros(8)),
                      nn.Parameter(torch.randn(5, 8 * 9) * 0.1), nn.Parameter(torch.zeros(5))])
running_mean, running_var = torch.zeros(8), torch.ones(8)


def classify(x, v):
    x = F.batch_norm(F.conv2d(x, v[0], stride=2), running_mean, running_var, weight=v[1], bias=v[2], training=True)
    x = F.max_pool2d(F.relu(x, inplace=True), 2, 1, 0)
    return F.linear(x.view(x.size(0), -1), v[3], v[4])


x, y = torch.randn(10, 1, 9, 9), torch.randint(0, 5, (10,))
fast = v
for _ in range(2):
    grads = torch.autograd.grad(F.cross_entropy(classify(x, fast), y), fast, create_graph=True)
    fast = [p - 0.1 * g for p, g in zip(fast, grads)]
loss = F.cross_entropy(classify(x, fast), y)
loss.backward()
print(loss.item(), [p.grad.norm().item() for p in v], running_mean.tolist())

# Burgers' equation, as a physics-informed network asks for it
net = nn.Sequential(nn.Linear(2, 20), nn.Softplus(), nn.Linear(20, 20), nn.SiLU(), nn.Linear(20, 1)).double()
x, t = (torch.rand(20, 1, dtype=torch.float64, requires_grad=True) for _ in range(2))
u = net(torch.cat([x, t], dim=1))
u_t, u_x = torch.autograd.grad(u, (t, x), torch.ones_like(u), create_graph=True)
u_xx = torch.autograd.grad(u_x.sum(), x, create_graph=True)[0]
residual = (u_t + u * u_x - 0.01 / math.pi * u_xx).square().mean()
residual.backward()
print(residual.item(), [p.grad.norm().item() for p in net.parameters()])
