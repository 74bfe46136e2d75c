"""How good is a localization? The published protocols, vectorised, on numpy alone; `protocols` names the presets."""
