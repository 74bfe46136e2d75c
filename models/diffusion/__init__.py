"""The diffusion core: schedules, prediction types, samplers with hooks, and the transformer denoiser."""
