"""The benchmark of RainNet2024: the sum of the next hour in cut-outs around the events of DWD's catalogue CatRaRE."""
