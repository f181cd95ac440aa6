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


@pytest.mark.parametrize("make, layers", [(llama, 2), (qwen2, 2), (gemma2, 2), (t5, 6)], ids=lambda v: getattr(v, "__name__", ""))
def test_logits(make, layers):
    torch._dynamo.reset()
    backend.report(clear=True)
    model = make().eval()
    arguments = {"input_ids": torch.randint(0, 96, (2, 21)), "use_cache": False}
    arguments["attention_mask"] = (torch.arange(21) >= torch.tensor([[0], [6]])).long()  # padded on the left
    if make is t5:
        arguments["decoder_input_ids"] = torch.randint(0, 96, (2, 13))
    want = model(**arguments)[0]
    got = torch.compile(model, backend="strobe", options={"rest": "eager"})(**arguments)[0]
    reference.check(got, want.double(), tolerance=1e-5, what="logits")
    fused = [f for f in backend.report() if f.fused]
    assert len(fused) == layers, "\n".join(map(str, backend.report()))
