"""The weights that ship with Laban: one folder each, with safetensors, config.json and a model card."""
