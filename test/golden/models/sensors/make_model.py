#!/usr/bin/env python3
"""Trains model.pt: 24 hours of a sensor's readings in, the next hour out. The
readings are those that examples/forecast.cpp makes. Needs PyTorch."""

import math
import os

import torch

HERE = os.path.dirname(os.path.abspath(__file__))


def readings(sensor, hours):
    """As in forecast.cpp: a daily and a weekly wave, and drifting noise."""
    seed = 12345 + 7919 * sensor
    drift, result = 0.0, []
    for hour in range(hours):
        seed = (1103515245 * seed + 12345) % 2**31
        drift = 0.8 * drift + 0.2 * (seed / 2**31 - 0.5)
        day = math.sin(2 * math.pi * (hour + sensor) / 24)
        week = math.sin(2 * math.pi * hour / 168)
        result.append(0.6 * day + 0.2 * week + drift)
    return result


class Forecast(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = torch.nn.GRU(1, 24, batch_first=True)
        self.linear = torch.nn.Linear(24, 1)

    def forward(self, x):
        return self.linear(self.gru(x)[0])


torch.manual_seed(1)
torch.set_num_threads(1)
data = torch.tensor([readings(sensor, 400) for sensor in range(100, 140)])
model = Forecast()
optimizer = torch.optim.Adam(model.parameters(), 1e-2)
for step in range(300):
    start = int(torch.randint(0, 400 - 25, ()))
    x = data[:, start : start + 25, None]
    loss = torch.nn.functional.mse_loss(model(x[:, :-1])[:, -8:], x[:, -8:])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step == 200:
        optimizer.param_groups[0]["lr"] = 2e-3
print("loss", float(loss))
torch.save(model.state_dict(), os.path.join(HERE, "model.pt"))
