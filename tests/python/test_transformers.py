"""Models of the transformers library with tiny random weights: every attention layer is fused, the logits stay."""

import pytest
import reference
import torch
from strobe import backend

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

COMMON = dict(vocab_size=96, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
              max_position_embeddings=128, attn_implementation="eager")


def llama():
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**COMMON, num_key_value_heads=2))


def qwen2():
    return transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**COMMON, num_key_value_heads=2))


def gemma2():
    config = transformers.Gemma2Config(**COMMON, num_key_value_heads=2, head_dim=16, query_pre_attn_scalar=16, sliding_window=8)
    return transformers.Gemma2ForCausalLM(config)


def t5():
    config = transformers.T5Config(vocab_size=96, d_model=64, d_kv=16, d_ff=96, num_layers=2, num_heads=4, dropout_rate=0.0)
    return transformers.T5ForConditionalGeneration(config)


def gpt2():
    config = transformers.GPT2Config(vocab_size=96, n_embd=64, n_layer=2, n_head=4, n_positions=128, attn_implementation="eager")
    return transformers.GPT2LMHeadModel(config)


def gemma3():
    """Normalised queries and keys, a window in every other layer."""
    config = transformers.Gemma3TextConfig(**COMMON, num_key_value_heads=2, head_dim=16, sliding_window=8, pad_token_id=0,
                                           layer_types=["sliding_attention", "full_attention"])
    return transformers.Gemma3ForCausalLM(config)


def falcon():
    """One key for all queries, in the same projection, and ALiBi."""
    return transformers.FalconForCausalLM(transformers.FalconConfig(
        vocab_size=96, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, alibi=True, attn_implementation="eager"))


def gpt_oss():
    """A learned logit joins every row."""
    return transformers.GptOssForCausalLM(transformers.GptOssConfig(
        **COMMON, num_key_value_heads=2, head_dim=16, num_local_experts=2, num_experts_per_tok=1, sliding_window=8, pad_token_id=0,
        layer_types=["sliding_attention", "full_attention"]))


def deepseek():
    """Latent attention: features of keys and values differ."""
    return transformers.DeepseekV3ForCausalLM(transformers.DeepseekV3Config(
        **{**COMMON, "num_hidden_layers": 1}, num_key_value_heads=4, q_lora_rank=24, kv_lora_rank=16, qk_rope_head_dim=8, qk_nope_head_dim=16,
        v_head_dim=16, first_k_dense_replace=2, moe_intermediate_size=32, n_routed_experts=4, n_group=1, topk_group=1))


def deberta():
    """Content meets positions, in both directions."""
    return transformers.DebertaV2Model(transformers.DebertaV2Config(
        **COMMON, relative_attention=True, pos_att_type=["p2c", "c2p"], position_biased_input=False))


def vit():
    return transformers.ViTModel(transformers.ViTConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96,
                                                        image_size=32, patch_size=8, attn_implementation="eager"))


def whisper():
    return transformers.WhisperForConditionalGeneration(transformers.WhisperConfig(
        vocab_size=96, d_model=64, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=96,
        decoder_ffn_dim=96, num_mel_bins=16, max_source_positions=30, max_target_positions=64, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1, attn_implementation="eager"))


def arguments_of(make):
    if make is vit:
        return {"pixel_values": torch.randn(2, 3, 32, 32)}
    if make is whisper:
        return {"input_features": torch.randn(2, 16, 60), "decoder_input_ids": torch.randint(3, 96, (2, 11)), "use_cache": False}
    arguments = {"input_ids": torch.randint(1, 96, (2, 21))}
    arguments["attention_mask"] = (torch.arange(21) >= torch.tensor([[0], [6]])).long()  # padded on the left
    if make is t5:
        arguments["decoder_input_ids"] = torch.randint(0, 96, (2, 13))
    return arguments if make is deberta else {**arguments, "use_cache": False}


@pytest.mark.parametrize("make, layers", [
    (llama, 2), (qwen2, 2), (gemma2, 2), (t5, 6), (gpt2, 2), (gemma3, 2), (falcon, 2), (gpt_oss, 2), (deepseek, 1), (deberta, 2), (vit, 2),
    (whisper, 3)
], ids=lambda v: getattr(v, "__name__", ""))
def test_logits(make, layers):
    torch._dynamo.reset()
    backend.report(clear=True)
    model, arguments = make().eval(), arguments_of(make)
    want = model(**arguments)[0]
    got = torch.compile(model, backend="strobe", options={"rest": "eager"})(**arguments)[0]
    reference.check(got, want.double(), tolerance=1e-5, what="logits")
    assert len([f for f in backend.report() if f.fused]) == len(backend.report()) == layers, "\n".join(map(str, backend.report()))
