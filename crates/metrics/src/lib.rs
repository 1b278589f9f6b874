//! The catalogue of every logged tag, and the sinks: TensorBoard event files and JSON lines.
