"""A Wasserstein GAN with gradient penalty: second derivatives through conv, group norm, pooling and activations."""

import torch
import torch.nn as nn
from torch import autograd

torch.manual_seed(5)


def make_critic(norm):
    return nn.Sequential(nn.Conv2d(1, 8, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 16, 4, 2, 1, bias=False), norm, nn.SiLU(),
                         nn.AvgPool2d(2) if isinstance(norm, nn.GroupNorm) else nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 1),
                         nn.Flatten(0))


def gradient_penalty(critic, real, fake):
    alpha = torch.rand(real.size(0), 1, 1, 1).expand(real.size())
    mixed = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
    scores = critic(mixed)
    gradients = autograd.grad(outputs=scores, inputs=mixed, grad_outputs=torch.ones(scores.size()), create_graph=True,
                              retain_graph=True, only_inputs=True)[0]
    return ((gradients.view(gradients.size(0), -1).norm(2, dim=1) - 1) ** 2).mean() * 10


real = torch.randn(16, 1, 12, 12)
for norm in [nn.Identity(), nn.GroupNorm(4, 16), nn.LayerNorm([16, 3, 3]), nn.BatchNorm2d(16)]:
    critic = make_critic(norm)
    generator = nn.Sequential(nn.Linear(8, 288, bias=False), nn.BatchNorm1d(288), nn.ReLU(), nn.Unflatten(1, (32, 3, 3)),
                              nn.ConvTranspose2d(32, 8, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Tanh())
    critic_optimizer = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.9))
    generator_optimizer = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.9))
    for it in range(2):
        for p in critic.parameters():
            p.requires_grad = True
        for _ in range(2):
            critic.zero_grad()
            fake = generator(torch.randn(16, 8)).detach()
            penalty = gradient_penalty(critic, real.data, fake.data)
            loss = critic(fake).mean() - critic(real).mean() + penalty
            loss.backward()
            critic_optimizer.step()
        for p in critic.parameters():
            p.requires_grad_(False)
        generator.zero_grad()
        generator_loss = -critic(generator(torch.randn(16, 8))).mean()
        generator_loss.backward()
        generator_optimizer.step()
        print(type(norm).__name__, it, loss.item(), penalty.item(), generator_loss.item())
