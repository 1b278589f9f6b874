//! What every trainer shares: device, optimiser, schedule, random streams, log-probs, supervised fine-tuning.
