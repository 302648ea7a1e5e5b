/** The size-giving part of config.json of published models, by Hugging Face id. */
export const knownModels: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  'facebook/opt-125m': opt(12, 768, 12),
  'facebook/opt-350m': { ...opt(24, 1024, 16), do_layer_norm_before: false, word_embed_proj_dim: 512 },
  'facebook/opt-1.3b': opt(24, 2048, 32),
  'facebook/opt-2.7b': opt(32, 2560, 32),
  'facebook/opt-6.7b': opt(32, 4096, 32),
  'meta-llama/Llama-3.2-1B': {
    ...llama(16, 2048, 8192, 32, 8),
    ...{ head_dim: 64, vocab_size: 128256, max_position_embeddings: 131072, tie_word_embeddings: true },
  },
  'meta-llama/Llama-3.2-3B': {
    ...llama(28, 3072, 8192, 24, 8),
    ...{ head_dim: 128, vocab_size: 128256, max_position_embeddings: 131072, tie_word_embeddings: true },
  },
  'meta-llama/Llama-3.1-8B': { ...llama(32, 4096, 14336, 32, 8), vocab_size: 128256, max_position_embeddings: 131072 },
  'google/gemma-2-2b': {
    ...llama(26, 2304, 9216, 8, 4),
    ...{ model_type: 'gemma2', head_dim: 256, vocab_size: 256000, max_position_embeddings: 8192, tie_word_embeddings: true },
  },
  'google/gemma-3-1b-it': {
    ...llama(26, 1152, 6912, 4, 1),
    ...{ model_type: 'gemma3_text', head_dim: 256, vocab_size: 262144, max_position_embeddings: 32768, sliding_window: 512, sliding_window_pattern: 6 },
  },
  'Qwen/Qwen3-0.6B': {
    ...llama(28, 1024, 3072, 16, 8),
    ...{ model_type: 'qwen3', head_dim: 128, vocab_size: 151936, max_position_embeddings: 40960, tie_word_embeddings: true },
  },
  'allenai/OLMo-2-0425-1B': { ...llama(16, 2048, 8192, 16, 16), model_type: 'olmo2', vocab_size: 100352, max_position_embeddings: 4096 },
  'TinyLlama/TinyLlama-1.1B-Chat-v1.0': tinyLlama(),
  'TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T': tinyLlama(),
  'HuggingFaceTB/SmolLM2-135M': {
    ...llama(30, 576, 1536, 9, 3),
    ...{ vocab_size: 49152, max_position_embeddings: 8192, tie_word_embeddings: true },
  },
};

function opt(layers: number, width: number, heads: number) {
  return {
    model_type: 'opt',
    ...{ num_hidden_layers: layers, hidden_size: width, num_attention_heads: heads, ffn_dim: 4 * width },
    ...{ vocab_size: 50272, max_position_embeddings: 2048, word_embed_proj_dim: width },
  };
}

function llama(layers: number, width: number, ffn: number, heads: number, kvHeads: number) {
  return {
    model_type: 'llama',
    ...{ num_hidden_layers: layers, hidden_size: width, intermediate_size: ffn },
    ...{ num_attention_heads: heads, num_key_value_heads: kvHeads },
  };
}

function tinyLlama() {
  return { ...llama(22, 2048, 5632, 32, 4), vocab_size: 32000, max_position_embeddings: 2048 };
}
