//! Tokenizers, chat templates, preference and prompt data sets, checks, batches of token ids.
