# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What transformers' configuration classes take where a config.json leaves a key out, by model_type: a table.

A row is a type and its keys; a row of SECTIONS is a family and the type of each of its sections, with a question mark where the section's
own model_type goes before. What a class derives from other keys is not here, nor is a type that vLLM brings a class of its own for.
"""

from __future__ import annotations

# Made by tests/support/class_defaults.py --table.
ROWS = """
afmoe vocab_size=200192 hidden_size=2048 intermediate_size=6144 moe_intermediate_size=1408 num_hidden_layers=32 num_dense_layers=1
 num_attention_heads=16 head_dim=128 max_position_embeddings=16384 tie_word_embeddings=false num_experts=64 num_experts_per_tok=6
 num_shared_experts=2 sliding_window=1024 attention_bias=false sliding_window_pattern="LLLG"
apertus vocab_size=131072 hidden_size=4096 intermediate_size=14336 num_hidden_layers=32 num_attention_heads=32
 max_position_embeddings=65536 tie_word_embeddings=false attention_bias=false
arcee vocab_size=32000 hidden_size=2560 intermediate_size=18432 num_hidden_layers=32 num_attention_heads=32 max_position_embeddings=4096
 tie_word_embeddings=false attention_bias=false mlp_bias=false
aria tie_word_embeddings=false
aria_text vocab_size=32000 hidden_size=4096 intermediate_size=4096 num_hidden_layers=32 num_attention_heads=32 max_position_embeddings=2048
 tie_word_embeddings=false attention_bias=false mlp_bias=false moe_num_experts=8 moe_topk=2 moe_num_shared_experts=2
audioflamingo3_encoder num_mel_bins=128 num_hidden_layers=32 num_attention_heads=20 intermediate_size=5120 hidden_size=1280
 max_source_positions=1500
axk1 vocab_size=163840 hidden_size=7168 intermediate_size=18432 moe_intermediate_size=2048 num_hidden_layers=61 num_attention_heads=64
 num_key_value_heads=64 n_shared_experts=1 n_routed_experts=192 kv_lora_rank=512 q_lora_rank=1536 qk_rope_head_dim=64 v_head_dim=128
 qk_nope_head_dim=128 num_experts_per_tok=8 first_k_dense_replace=1 max_position_embeddings=32768 tie_word_embeddings=false
 attention_bias=false
bamba vocab_size=128000 tie_word_embeddings=false hidden_size=4096 intermediate_size=14336 num_hidden_layers=32 num_attention_heads=32
 num_key_value_heads=8 max_position_embeddings=262144 mamba_n_heads=128 mamba_n_groups=1 mamba_d_state=256 mamba_d_conv=4 mamba_expand=2
 attention_bias=false mlp_bias=false partial_rotary_factor=0.5
bert vocab_size=30522 hidden_size=768 num_hidden_layers=12 num_attention_heads=12 intermediate_size=3072 max_position_embeddings=512
 type_vocab_size=2 tie_word_embeddings=true
blip-2 num_query_tokens=32
blip_2_qformer vocab_size=30522 hidden_size=768 num_hidden_layers=12 num_attention_heads=12 intermediate_size=3072
 max_position_embeddings=512 cross_attention_frequency=2 encoder_hidden_size=1408
blip_2_vision_model hidden_size=1408 intermediate_size=6144 num_hidden_layers=39 num_attention_heads=16 image_size=224 patch_size=14
 qkv_bias=true
bloom vocab_size=250880 hidden_size=64 n_layer=2 n_head=8 tie_word_embeddings=true
camembert vocab_size=30522 hidden_size=768 num_hidden_layers=12 num_attention_heads=12 intermediate_size=3072 max_position_embeddings=512
 type_vocab_size=2 tie_word_embeddings=true
clip projection_dim=512
clip_text_model vocab_size=49408 hidden_size=512 intermediate_size=2048 projection_dim=512 num_hidden_layers=12 num_attention_heads=8
 max_position_embeddings=77
clip_vision_model hidden_size=768 intermediate_size=3072 num_hidden_layers=12 num_attention_heads=12 image_size=224 patch_size=32
cohere vocab_size=256000 hidden_size=8192 intermediate_size=22528 num_hidden_layers=40 num_attention_heads=64 max_position_embeddings=8192
 tie_word_embeddings=true attention_bias=false use_qk_norm=false
cohere2 vocab_size=256000 hidden_size=8192 intermediate_size=22528 num_hidden_layers=40 num_attention_heads=64 max_position_embeddings=8192
 tie_word_embeddings=true attention_bias=false sliding_window=4096 sliding_window_pattern=4
cohere2_moe vocab_size=256000 hidden_size=8192 intermediate_size=22528 num_hidden_layers=40 num_attention_heads=64 head_dim=128
 max_position_embeddings=8192 tie_word_embeddings=true attention_bias=false sliding_window=4096 num_experts_per_tok=2 num_experts=8
 num_shared_experts=0 sliding_window_pattern=4 first_k_dense_replace=0
cohere2_vision downsample_factor=2 alignment_intermediate_size=36864 tie_word_embeddings=true
cohere_asr vocab_size=16384 hidden_size=1024 num_hidden_layers=8 num_attention_heads=8 intermediate_size=4096 max_position_embeddings=1024
 attention_bias=true tie_word_embeddings=false
cosmos3_edge projector_hidden_size=11520 tie_word_embeddings=false
cosmos3_edge_text vocab_size=131072 hidden_size=2048 intermediate_size=9216 num_hidden_layers=28 num_attention_heads=16
 num_key_value_heads=8 max_position_embeddings=131072 tie_word_embeddings=false attention_bias=false mlp_bias=false head_dim=128
cosmos3_edge_vision hidden_size=1152 intermediate_size=4304 num_hidden_layers=27 num_attention_heads=16 patch_size=16 num_patches=256
 spatial_merge_size=2
cwm vocab_size=128256 hidden_size=6144 intermediate_size=21504 num_hidden_layers=64 num_attention_heads=48 num_key_value_heads=8
 max_position_embeddings=131072 tie_word_embeddings=false mlp_bias=false head_dim=128 sliding_window=8192 sliding_window_pattern="GLLL"
dbrx d_model=2048 n_heads=16 n_layers=24 max_seq_len=2048 vocab_size=32000 tie_word_embeddings=false
deepseek_v2 vocab_size=102400 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32
 max_position_embeddings=2048 tie_word_embeddings=false attention_bias=false mlp_bias=false head_dim=64 first_k_dense_replace=0
 kv_lora_rank=512 q_lora_rank=1536 n_routed_experts=64 n_shared_experts=2 qk_nope_head_dim=128 qk_rope_head_dim=64 v_head_dim=128
 moe_intermediate_size=1407
deepseek_v3 vocab_size=129280 hidden_size=7168 intermediate_size=18432 moe_intermediate_size=2048 num_hidden_layers=61
 num_attention_heads=128 num_key_value_heads=128 n_shared_experts=1 n_routed_experts=256 kv_lora_rank=512 q_lora_rank=1536
 qk_rope_head_dim=64 v_head_dim=128 qk_nope_head_dim=128 num_experts_per_tok=8 first_k_dense_replace=3 max_position_embeddings=4096
 tie_word_embeddings=false attention_bias=false num_mtp_layers=1
deepseek_v32 vocab_size=129280 hidden_size=7168 intermediate_size=18432 moe_intermediate_size=2048 num_hidden_layers=61
 num_attention_heads=128 num_key_value_heads=128 n_shared_experts=1 n_routed_experts=256 kv_lora_rank=512 q_lora_rank=1536
 qk_rope_head_dim=64 v_head_dim=128 qk_nope_head_dim=128 num_experts_per_tok=8 first_k_dense_replace=3 max_position_embeddings=4096
 tie_word_embeddings=false attention_bias=false num_mtp_layers=1
dots1 vocab_size=152064 hidden_size=4608 intermediate_size=10944 moe_intermediate_size=1408 num_hidden_layers=62 num_attention_heads=32
 num_key_value_heads=32 first_k_dense_replace=0 max_position_embeddings=2048 tie_word_embeddings=false attention_bias=false
 sliding_window=4096
ernie vocab_size=30522 hidden_size=768 num_hidden_layers=12 num_attention_heads=12 intermediate_size=3072 max_position_embeddings=512
 type_vocab_size=2 tie_word_embeddings=true
ernie4_5 vocab_size=103424 hidden_size=1024 intermediate_size=3072 num_hidden_layers=18 num_attention_heads=16 num_key_value_heads=2
 max_position_embeddings=131072 tie_word_embeddings=true use_bias=false head_dim=128
ernie4_5_moe vocab_size=103424 hidden_size=2560 intermediate_size=12288 num_hidden_layers=28 num_attention_heads=20 num_key_value_heads=4
 max_position_embeddings=131072 tie_word_embeddings=true use_bias=false moe_intermediate_size=1536 moe_k=6 moe_num_experts=64
 moe_num_shared_experts=2 moe_layer_start_index=1 moe_layer_end_index=-1 moe_layer_interval=1
ernie4_5_vl_moe tie_word_embeddings=true
ernie4_5_vl_moe_text vocab_size=103424 hidden_size=2560 intermediate_size=12288 num_hidden_layers=28 num_attention_heads=20
 num_key_value_heads=4 max_position_embeddings=131072 tie_word_embeddings=true use_bias=false moe_intermediate_size=[1536,512] moe_k=6
 moe_num_experts=64 moe_num_shared_experts=2 first_k_dense_replace=1
ernie4_5_vl_moe_vision depth=32 hidden_size=1280 num_heads=16 patch_size=14 spatial_merge_size=2 intermediate_size=5120
 temporal_merge_size=2
exaone4 vocab_size=102400 hidden_size=4096 intermediate_size=16384 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=32
 max_position_embeddings=2048 tie_word_embeddings=false sliding_window=4096 sliding_window_pattern=4
exaone4_5 tie_word_embeddings=false
exaone4_5_vision depth=32 hidden_size=3584 intermediate_size=3420 num_heads=16 patch_size=14 spatial_merge_size=2 temporal_patch_size=2
 window_size=112 out_hidden_size=3584 num_key_value_heads=8
exaone_moe vocab_size=102400 hidden_size=4096 intermediate_size=16384 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=32
 max_position_embeddings=2048 tie_word_embeddings=false sliding_window=4096 sliding_window_pattern=4 first_k_dense_replace=1
 moe_intermediate_size=1024 num_experts=64 num_experts_per_tok=8 num_shared_experts=1
falcon vocab_size=65024 hidden_size=4544 num_hidden_layers=32 num_attention_heads=71 new_decoder_architecture=false multi_query=true
 bias=false max_position_embeddings=2048 tie_word_embeddings=true
falcon_h1 vocab_size=128000 tie_word_embeddings=false hidden_size=4096 intermediate_size=14336 num_hidden_layers=32 num_attention_heads=32
 num_key_value_heads=8 max_position_embeddings=8192 mamba_d_ssm=1024 mamba_n_heads=128 mamba_n_groups=1 mamba_d_state=256 mamba_d_conv=4
 mamba_expand=2 attention_bias=false mlp_bias=false
falcon_mamba vocab_size=50280 hidden_size=768 state_size=16 num_hidden_layers=32 expand=2 conv_kernel=4 use_bias=false
 tie_word_embeddings=true
flex_olmo vocab_size=100352 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32
 max_position_embeddings=4096 tie_word_embeddings=false attention_bias=false num_experts_per_tok=5 num_experts=7
gemma vocab_size=256000 hidden_size=3072 intermediate_size=24576 num_hidden_layers=28 num_attention_heads=16 num_key_value_heads=16
 head_dim=256 max_position_embeddings=8192 tie_word_embeddings=true attention_bias=false
gemma2 vocab_size=256000 hidden_size=2304 intermediate_size=9216 num_hidden_layers=26 num_attention_heads=8 num_key_value_heads=4
 head_dim=256 max_position_embeddings=8192 tie_word_embeddings=true attention_bias=false sliding_window=4096 sliding_window_pattern="LG"
gemma3 tie_word_embeddings=true
gemma3_text vocab_size=262208 hidden_size=2304 intermediate_size=9216 num_hidden_layers=26 num_attention_heads=8 num_key_value_heads=4
 head_dim=256 max_position_embeddings=131072 tie_word_embeddings=true attention_bias=false sliding_window=4096
 use_bidirectional_attention=false sliding_window_pattern=6
gemma3n tie_word_embeddings=true
gemma3n_audio vocab_size=128 input_feat_size=128 hidden_size=1536 conf_num_attention_heads=8 conf_num_hidden_layers=12
 conf_conv_kernel_size=5 sscp_conv_channel_size=[128,32]
gemma3n_text vocab_size=262400 hidden_size=2048 intermediate_size=16384 num_hidden_layers=35 num_attention_heads=8 num_key_value_heads=2
 head_dim=256 max_position_embeddings=32768 tie_word_embeddings=true attention_bias=false sliding_window=512
 vocab_size_per_layer_input=262144 hidden_size_per_layer_input=256 altup_num_inputs=4 num_kv_shared_layers=15 laurel_rank=64
 sliding_window_pattern="LLLLG"
gemma3n_vision architecture="mobilenetv5_300m_enc" hidden_size=2048 vocab_size=128
gemma4 tie_word_embeddings=true
gemma4_text vocab_size=262144 hidden_size=2304 intermediate_size=9216 num_hidden_layers=30 num_attention_heads=8 num_key_value_heads=4
 head_dim=256 max_position_embeddings=131072 tie_word_embeddings=true attention_bias=false sliding_window=512
 vocab_size_per_layer_input=262144 hidden_size_per_layer_input=256 attention_k_eq_v=false num_kv_shared_layers=0 enable_moe_block=false
 use_double_wide_mlp=false global_head_dim=512 sliding_window_pattern="LLLLLG"
gemma4_unified tie_word_embeddings=true
gemma4_unified_text vocab_size=262144 hidden_size=2304 intermediate_size=9216 num_hidden_layers=30 num_attention_heads=8
 num_key_value_heads=4 head_dim=256 max_position_embeddings=262144 tie_word_embeddings=true attention_bias=false sliding_window=1024
 use_bidirectional_attention="vision" attention_k_eq_v=false num_kv_shared_layers=0 use_double_wide_mlp=false global_head_dim=512
 sliding_window_pattern="LLLLLG"
gemma4_vision hidden_size=768 intermediate_size=3072 num_hidden_layers=16 num_attention_heads=12 num_key_value_heads=12 head_dim=64
 max_position_embeddings=131072 attention_bias=false patch_size=16 position_embedding_size=10240
glm vocab_size=151552 hidden_size=4096 intermediate_size=13696 num_hidden_layers=40 num_attention_heads=32 num_key_value_heads=2
 head_dim=128 max_position_embeddings=131072 tie_word_embeddings=false attention_bias=true partial_rotary_factor=0.5
glm4 vocab_size=151552 hidden_size=4096 intermediate_size=13696 num_hidden_layers=40 num_attention_heads=32 num_key_value_heads=2
 head_dim=128 max_position_embeddings=131072 tie_word_embeddings=false attention_bias=true partial_rotary_factor=0.5
glm4_moe vocab_size=151552 hidden_size=4096 intermediate_size=10944 num_hidden_layers=46 num_attention_heads=96 num_key_value_heads=8
 max_position_embeddings=131072 tie_word_embeddings=false attention_bias=false moe_intermediate_size=1408 num_experts_per_tok=8
 n_shared_experts=1 n_routed_experts=128 first_k_dense_replace=1 use_qk_norm=false num_mtp_layers=1 partial_rotary_factor=0.5
glm4_moe_lite vocab_size=154880 hidden_size=2048 intermediate_size=10240 moe_intermediate_size=1536 num_hidden_layers=47
 num_attention_heads=20 num_key_value_heads=20 n_shared_experts=1 n_routed_experts=64 kv_lora_rank=512 q_lora_rank=768 qk_rope_head_dim=64
 v_head_dim=256 qk_nope_head_dim=192 num_experts_per_tok=4 max_position_embeddings=202752 tie_word_embeddings=false attention_bias=false
 first_k_dense_replace=1
glm4v tie_word_embeddings=false
glm4v_moe tie_word_embeddings=false
glm4v_moe_text vocab_size=151424 hidden_size=4096 intermediate_size=10944 num_hidden_layers=46 num_attention_heads=96 num_key_value_heads=8
 max_position_embeddings=65536 tie_word_embeddings=false attention_bias=true moe_intermediate_size=1408 num_experts_per_tok=8
 n_shared_experts=1 n_routed_experts=128 first_k_dense_replace=1 partial_rotary_factor=0.5
glm4v_moe_vision depth=24 hidden_size=1536 attention_bias=false num_heads=12 image_size=336 patch_size=14 spatial_merge_size=2
 temporal_patch_size=2 out_hidden_size=4096 intermediate_size=13696
glm4v_text vocab_size=151552 hidden_size=4096 intermediate_size=13696 num_hidden_layers=40 num_attention_heads=32 num_key_value_heads=2
 max_position_embeddings=32768
glm4v_vision depth=24 hidden_size=1536 attention_bias=false num_heads=12 image_size=336 patch_size=14 spatial_merge_size=2
 temporal_patch_size=2 out_hidden_size=4096 intermediate_size=13696
glm_moe_dsa vocab_size=154880 hidden_size=6144 intermediate_size=12288 moe_intermediate_size=2048 num_hidden_layers=78
 num_attention_heads=64 num_key_value_heads=64 n_shared_experts=1 n_routed_experts=256 kv_lora_rank=512 q_lora_rank=2048
 qk_rope_head_dim=64 v_head_dim=256 qk_nope_head_dim=192 num_experts_per_tok=8 max_position_embeddings=202752 tie_word_embeddings=false
 attention_bias=false index_head_dim=128 index_n_heads=32 mlp_bias=false head_dim=64 first_k_dense_replace=3
glm_ocr tie_word_embeddings=false
glm_ocr_text vocab_size=59392 hidden_size=1024 intermediate_size=4096 num_hidden_layers=16 num_attention_heads=16 num_key_value_heads=8
 max_position_embeddings=131072
glm_ocr_vision depth=24 hidden_size=1024 attention_bias=true num_heads=16 image_size=336 patch_size=14 spatial_merge_size=2
 temporal_patch_size=2 out_hidden_size=1536 intermediate_size=4096
glmasr tie_word_embeddings=true
glmasr.text_config vocab_size=59264 hidden_size=2048 intermediate_size=6144 num_hidden_layers=28 num_attention_heads=16
 num_key_value_heads=4 max_position_embeddings=8192
glmasr_encoder hidden_size=1280 intermediate_size=5120 num_hidden_layers=32 num_attention_heads=20 max_position_embeddings=1500
 num_mel_bins=128 partial_rotary_factor=0.5
gpt-sw3 vocab_size=50257 n_positions=1024 n_embd=768 n_layer=12 n_head=12 tie_word_embeddings=true
gpt2 vocab_size=50257 n_positions=1024 n_embd=768 n_layer=12 n_head=12 tie_word_embeddings=true
gpt_bigcode vocab_size=50257 n_positions=1024 n_embd=768 n_layer=12 n_head=12 multi_query=true tie_word_embeddings=true
gpt_neox vocab_size=50432 hidden_size=6144 num_hidden_layers=44 num_attention_heads=64 intermediate_size=24576 max_position_embeddings=2048
 tie_word_embeddings=false attention_bias=true rotary_pct=0.25
gpt_oss num_hidden_layers=36 num_local_experts=128 vocab_size=201088 hidden_size=2880 intermediate_size=2880 head_dim=64
 num_attention_heads=64 num_key_value_heads=8 sliding_window=128 tie_word_embeddings=false max_position_embeddings=131072
 num_experts_per_tok=4 swiglu_limit=7.0 attention_bias=true sliding_window_pattern="LG"
gptj vocab_size=50400 n_positions=2048 n_embd=4096 n_layer=28 n_head=16 tie_word_embeddings=false
granite vocab_size=32000 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32 max_position_embeddings=2048
 tie_word_embeddings=false attention_bias=false mlp_bias=false
granite4_vision tie_word_embeddings=false spatial_target_layers=[12,15,18,21]
granite4_vision_text vocab_size=32000 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32
 max_position_embeddings=2048 tie_word_embeddings=false attention_bias=false mlp_bias=false
granite_speech downsample_rate=5 window_size=15 tie_word_embeddings=true
granite_speech_encoder input_dim=160 num_layers=10 hidden_dim=1024 feedforward_mult=4 num_heads=8 dim_head=128 output_dim=42
 max_pos_emb=512 conv_kernel_size=15 conv_expansion_factor=2
granite_speech_plus downsample_rate=5 window_size=15 tie_word_embeddings=true
granite_speech_plus_encoder input_dim=160 num_layers=10 hidden_dim=1024 feedforward_mult=4 num_heads=8 dim_head=128 output_dim=42
 max_pos_emb=512 conv_kernel_size=15 conv_expansion_factor=2
granite_swa vocab_size=100352 hidden_size=2560 intermediate_size=8192 num_hidden_layers=24 num_attention_heads=20 num_key_value_heads=4
 max_position_embeddings=8192 tie_word_embeddings=true attention_bias=false mlp_bias=false sliding_window=128 sliding_window_pattern="GLLL"
granitemoe vocab_size=32000 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32
 max_position_embeddings=2048 tie_word_embeddings=false attention_bias=false num_local_experts=8 num_experts_per_tok=2
granitemoe_swa vocab_size=32000 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32
 max_position_embeddings=2048 tie_word_embeddings=false attention_bias=false num_local_experts=8 num_experts_per_tok=2
 shared_intermediate_size=0 sliding_window=128 sliding_window_pattern="GLLL"
granitemoehybrid vocab_size=32000 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32
 max_position_embeddings=2048 tie_word_embeddings=false attention_bias=false num_local_experts=8 num_experts_per_tok=2
 shared_intermediate_size=1024 mamba_n_heads=128 mamba_n_groups=1 mamba_d_state=256 mamba_d_conv=4 mamba_expand=2
granitemoeshared vocab_size=32000 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32
 max_position_embeddings=2048 tie_word_embeddings=false attention_bias=false num_local_experts=8 num_experts_per_tok=2
 shared_intermediate_size=0
gte vocab_size=250048 hidden_size=768 num_hidden_layers=12 num_attention_heads=12 intermediate_size=3072 max_position_embeddings=8192
 type_vocab_size=1 tie_word_embeddings=true
hunyuan_v1_dense vocab_size=290943 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32
 max_position_embeddings=2048 tie_word_embeddings=false attention_bias=false
hunyuan_v1_moe vocab_size=290943 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32
 max_position_embeddings=2048 tie_word_embeddings=false attention_bias=false num_experts=1 moe_topk=1 num_shared_expert=1
hunyuan_vl tie_word_embeddings=true
hunyuan_vl_text vocab_size=290943 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32
 max_position_embeddings=2048 tie_word_embeddings=true attention_bias=false
hunyuan_vl_vision hidden_size=1152 intermediate_size=4304 num_attention_heads=16 num_hidden_layers=27 out_hidden_size=4096 patch_size=16
 spatial_merge_size=2 temporal_patch_size=1 max_image_size=2048
hy_v3 vocab_size=120832 hidden_size=4096 intermediate_size=13312 num_hidden_layers=80 num_attention_heads=64 num_key_value_heads=8
 head_dim=128 max_position_embeddings=131072 tie_word_embeddings=false attention_bias=false mlp_bias=false num_experts=192
 num_experts_per_tok=8 num_shared_experts=1 moe_intermediate_size=1536 first_k_dense_replace=1
hyperclovax vocab_size=32000 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32
 max_position_embeddings=2048 tie_word_embeddings=false attention_bias=false mlp_bias=false
idefics3 tie_word_embeddings=false scale_factor=2
idefics3_vision hidden_size=1152 intermediate_size=3072 num_hidden_layers=12 num_attention_heads=16 image_size=224 patch_size=32
internvl tie_word_embeddings=true
internvl_vision hidden_size=1024 num_hidden_layers=24 num_attention_heads=16 attention_bias=false use_qk_norm=false intermediate_size=4096
 image_size=[448,448] patch_size=[14,14]
jais2 vocab_size=150272 hidden_size=3328 intermediate_size=26624 num_hidden_layers=32 num_attention_heads=26 max_position_embeddings=8192
 tie_word_embeddings=false attention_bias=true mlp_bias=true
jamba vocab_size=65536 tie_word_embeddings=false hidden_size=4096 intermediate_size=14336 num_hidden_layers=32 num_attention_heads=32
 num_key_value_heads=8 max_position_embeddings=262144 num_experts_per_tok=2 num_experts=16 expert_layer_period=2 expert_layer_offset=1
 attn_layer_period=8 attn_layer_offset=4 mamba_d_state=16 mamba_d_conv=4 mamba_expand=2
kimi_k2 vocab_size=129280 hidden_size=7168 intermediate_size=18432 moe_intermediate_size=2048 num_hidden_layers=61 num_attention_heads=128
 num_key_value_heads=128 n_shared_experts=1 n_routed_experts=256 kv_lora_rank=512 q_lora_rank=1536 qk_rope_head_dim=64 v_head_dim=128
 qk_nope_head_dim=128 num_experts_per_tok=8 first_k_dense_replace=3 max_position_embeddings=4096 tie_word_embeddings=false
 attention_bias=false num_mtp_layers=1
laguna vocab_size=100352 hidden_size=2048 intermediate_size=8192 num_hidden_layers=40 num_attention_heads=48 num_key_value_heads=8
 max_position_embeddings=131072 tie_word_embeddings=false sliding_window=512 moe_intermediate_size=512 shared_expert_intermediate_size=512
 num_experts_per_tok=8 num_experts=256 head_dim=128 attention_bias=false gating=true first_k_dense_replace=1
lfm2 vocab_size=65536 hidden_size=2560 intermediate_size=12288 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=8
 max_position_embeddings=128000 tie_word_embeddings=true conv_L_cache=3 block_multiple_of=256 block_ffn_dim_multiplier=1.0
 block_auto_adjust_ff_dim=true
lfm2_moe vocab_size=65536 hidden_size=2048 intermediate_size=7168 moe_intermediate_size=1792 num_hidden_layers=32 tie_word_embeddings=true
 max_position_embeddings=128000 num_attention_heads=32 num_key_value_heads=8 conv_L_cache=3 num_dense_layers=2 num_experts_per_tok=4
 num_experts=32
lfm2_vl projector_hidden_size=2560 downsample_factor=2 tie_word_embeddings=true
lighton_ocr spatial_merge_size=2 tie_word_embeddings=true
llama vocab_size=32000 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32 max_position_embeddings=2048
 tie_word_embeddings=false attention_bias=false mlp_bias=false
llama4 tie_word_embeddings=false
llama4_text vocab_size=202048 hidden_size=5120 intermediate_size=8192 intermediate_size_mlp=16384 num_hidden_layers=48
 num_attention_heads=40 num_key_value_heads=8 head_dim=128 max_position_embeddings=131072 tie_word_embeddings=false num_experts_per_tok=1
 num_local_experts=16 interleave_moe_layer_step=1 use_qk_norm=true attention_chunk_size=8192 attention_bias=false
llama4_vision_model hidden_size=768 num_hidden_layers=34 num_attention_heads=16 intermediate_size=5632 vision_output_dim=7680
 image_size=448 patch_size=14 projector_input_dim=4096 projector_output_dim=4096
llava tie_word_embeddings=false
llava_next tie_word_embeddings=false
llava_next_video tie_word_embeddings=false
llava_onevision tie_word_embeddings=false
mamba vocab_size=50280 hidden_size=768 state_size=16 num_hidden_layers=32 expand=2 conv_kernel=4 use_bias=false tie_word_embeddings=true
mamba2 num_heads=128 head_dim=64 vocab_size=32768 hidden_size=4096 state_size=128 num_hidden_layers=64 expand=2 conv_kernel=4 n_groups=8
 use_bias=false tie_word_embeddings=false
mellum vocab_size=98304 hidden_size=2304 intermediate_size=7168 num_hidden_layers=28 num_attention_heads=32 num_key_value_heads=4
 max_position_embeddings=131072 tie_word_embeddings=false attention_bias=false sliding_window=1024 moe_intermediate_size=896
 num_experts_per_tok=8 num_experts=64 head_dim=128 first_k_dense_replace=0
mimo_v2_flash vocab_size=152576 hidden_size=4096 intermediate_size=16384 num_hidden_layers=48 num_attention_heads=64 num_key_value_heads=4
 max_position_embeddings=131072 tie_word_embeddings=false attention_bias=false moe_intermediate_size=2048 num_experts_per_tok=8
 n_routed_experts=256 head_dim=192 v_head_dim=128 sliding_window=128 first_k_dense_replace=1
minicpm3 vocab_size=73448 hidden_size=2560 intermediate_size=6400 num_hidden_layers=62 num_attention_heads=40 num_key_value_heads=40
 max_position_embeddings=32768 tie_word_embeddings=true attention_bias=false mlp_bias=false head_dim=32 kv_lora_rank=256 q_lora_rank=768
 qk_nope_head_dim=64 qk_rope_head_dim=32
minicpmv4_6 image_size=448 tie_word_embeddings=false
minicpmv4_6_vision hidden_size=768 intermediate_size=3072 num_hidden_layers=12 num_attention_heads=12 image_size=224 patch_size=16
minicpmv4_7 image_size=448 tie_word_embeddings=false
minicpmv4_7_vision hidden_size=768 intermediate_size=3072 num_hidden_layers=12 num_attention_heads=12 image_size=224 patch_size=16
minimax vocab_size=32000 hidden_size=4096 intermediate_size=14336 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=8
 max_position_embeddings=131072 tie_word_embeddings=false num_experts_per_tok=2 num_local_experts=8
minimax_m2 vocab_size=200064 hidden_size=3072 intermediate_size=1536 num_hidden_layers=62 num_attention_heads=48 num_key_value_heads=8
 head_dim=128 max_position_embeddings=196608 tie_word_embeddings=false num_experts_per_tok=8 num_local_experts=256
minimax_m3_vl_text vocab_size=200064 hidden_size=6144 intermediate_size=3072 num_hidden_layers=60 num_attention_heads=64
 num_key_value_heads=4 head_dim=128 max_position_embeddings=524288 tie_word_embeddings=false num_experts_per_tok=4 num_local_experts=128
 dense_intermediate_size=12288 shared_intermediate_size=3072 swiglu_limit=7.0 index_n_heads=4 index_head_dim=128 first_k_dense_replace=0
minimax_m3_vl_vision hidden_size=1280 intermediate_size=5120 num_hidden_layers=32 num_attention_heads=16 image_size=2016 patch_size=14
 temporal_patch_size=2 spatial_merge_size=2
ministral3 vocab_size=131072 hidden_size=4096 intermediate_size=14336 num_hidden_layers=34 num_attention_heads=32 num_key_value_heads=8
 head_dim=128 max_position_embeddings=262144 tie_word_embeddings=false
mistral vocab_size=32000 hidden_size=4096 intermediate_size=14336 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=8
 max_position_embeddings=131072 tie_word_embeddings=false sliding_window=4096
mistral3 spatial_merge_size=2 tie_word_embeddings=true
mixtral vocab_size=32000 hidden_size=4096 intermediate_size=14336 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=8
 max_position_embeddings=131072 tie_word_embeddings=false num_experts_per_tok=2 num_local_experts=8
modernbert vocab_size=50368 hidden_size=768 intermediate_size=1152 num_hidden_layers=22 num_attention_heads=12 max_position_embeddings=8192
 attention_bias=false mlp_bias=false tie_word_embeddings=true sliding_window_pattern="GLL"
modernvbert pixel_shuffle_factor=4 tie_word_embeddings=false
mpt d_model=2048 n_heads=16 n_layers=24 expansion_ratio=4 max_seq_len=2048 vocab_size=50368 tie_word_embeddings=true
muse_glimmer out_hidden_size=6144 projector_hidden_size=4096
muse_glimmer_text vocab_size=202048 hidden_size=6656 intermediate_size=19968 num_hidden_layers=52 num_attention_heads=32
 num_key_value_heads=2 head_dim=128 max_position_embeddings=131072 tie_word_embeddings=false attention_bias=false sliding_window=2048
 sliding_window_pattern="LLLG"
muse_glimmer_vision patch_size=14 pos_emb_height=32 pos_emb_width=32 num_attention_heads=16 num_hidden_layers=50 hidden_size=1536
 intermediate_size=8960 patch_temporal=2 merge_size=2 max_position_embeddings=1024
nemotron vocab_size=256000 hidden_size=6144 intermediate_size=24576 num_hidden_layers=32 num_attention_heads=48
 max_position_embeddings=4096 tie_word_embeddings=false attention_bias=false mlp_bias=false partial_rotary_factor=0.5
nemotron_h vocab_size=131072 hidden_size=4096 tie_word_embeddings=false num_attention_heads=32 num_key_value_heads=8 head_dim=128
 max_position_embeddings=4096 attention_bias=false intermediate_size=21504 mlp_bias=false ssm_state_size=128 mamba_num_heads=128
 mamba_head_dim=64 n_groups=8 conv_kernel=4 expand=2 mamba_ssm_cache_dtype="float32" n_routed_experts=8 n_shared_experts=1
 moe_intermediate_size=7688 moe_shared_expert_intermediate_size=7688 num_experts_per_tok=2 num_nextn_predict_layers=0 use_bias=false
nomic_bert vocab_size=30528 hidden_size=768 num_hidden_layers=12 num_attention_heads=12 intermediate_size=3072 max_position_embeddings=2048
 type_vocab_size=2
olmo vocab_size=50304 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32 max_position_embeddings=2048
 tie_word_embeddings=false attention_bias=false
olmo2 vocab_size=50304 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32 max_position_embeddings=2048
 tie_word_embeddings=false attention_bias=false
olmo3 vocab_size=50304 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32 max_position_embeddings=2048
 tie_word_embeddings=false attention_bias=false sliding_window=4096 sliding_window_pattern="LLLG"
olmo_hybrid vocab_size=100352 hidden_size=3840 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=30
 max_position_embeddings=65536 tie_word_embeddings=false attention_bias=false linear_conv_kernel_dim=4
olmoe vocab_size=50304 hidden_size=2048 intermediate_size=2048 num_hidden_layers=16 num_attention_heads=16 max_position_embeddings=4096
 tie_word_embeddings=false attention_bias=false num_experts_per_tok=8 num_experts=64
openai_privacy_filter num_hidden_layers=8 num_local_experts=128 vocab_size=200064 hidden_size=640 intermediate_size=640 head_dim=64
 num_attention_heads=14 num_key_value_heads=2 sliding_window=128 tie_word_embeddings=false max_position_embeddings=131072
 num_experts_per_tok=4 attention_bias=true
opt vocab_size=50272 hidden_size=768 num_hidden_layers=12 ffn_dim=3072 max_position_embeddings=2048 num_attention_heads=12
 tie_word_embeddings=true
paddleocr_vl tie_word_embeddings=true
paddleocr_vl_text vocab_size=103424 hidden_size=1024 intermediate_size=3072 num_hidden_layers=18 num_attention_heads=16
 num_key_value_heads=2 max_position_embeddings=131072 tie_word_embeddings=true use_bias=false head_dim=128
paddleocr_vl_vision hidden_size=1152 intermediate_size=4304 num_hidden_layers=27 num_attention_heads=16 image_size=384 patch_size=14
 spatial_merge_size=2
paligemma vocab_size=257152 hidden_size=2048 tie_word_embeddings=true
parakeet_encoder hidden_size=1024 num_hidden_layers=24 num_attention_heads=8 intermediate_size=4096 attention_bias=true
 convolution_bias=true conv_kernel_size=9 subsampling_factor=8 subsampling_conv_channels=256 num_mel_bins=80 max_position_embeddings=5000
phi vocab_size=51200 hidden_size=2048 intermediate_size=8192 num_hidden_layers=24 num_attention_heads=32 max_position_embeddings=2048
 tie_word_embeddings=false qk_layernorm=false partial_rotary_factor=0.5
phi3 vocab_size=32064 hidden_size=3072 intermediate_size=8192 num_hidden_layers=32 num_attention_heads=32 max_position_embeddings=4096
 original_max_position_embeddings=4096 tie_word_embeddings=false partial_rotary_factor=1.0
phi4_multimodal vocab_size=200064 hidden_size=3072 intermediate_size=8192 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=8
 max_position_embeddings=131072 original_max_position_embeddings=4096 tie_word_embeddings=false partial_rotary_factor=1.0
phi4_multimodal_audio hidden_size=1024 intermediate_size=1536 num_blocks=24 num_attention_heads=16 kernel_size=3 input_size=80
 nemo_conv_channels=1024 downsample_rate=1
phi4_multimodal_vision hidden_size=1152 intermediate_size=4304 num_hidden_layers=27 num_attention_heads=16 image_size=448 patch_size=14
pixtral hidden_size=1024 intermediate_size=4096 num_hidden_layers=24 num_attention_heads=16 image_size=1024 patch_size=16
qianfan_ocr tie_word_embeddings=false
qianfan_ocr_vision hidden_size=1024 num_hidden_layers=24 num_attention_heads=16 attention_bias=true use_qk_norm=false
 intermediate_size=4096 image_size=[448,448] patch_size=[14,14]
qwen2 vocab_size=151936 hidden_size=4096 intermediate_size=22016 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=32
 max_position_embeddings=32768 tie_word_embeddings=false use_sliding_window=false sliding_window=4096
qwen2_5_omni_audio_encoder num_mel_bins=128 encoder_layers=32 encoder_ffn_dim=5120 d_model=1280 max_source_positions=1500 output_dim=3584
qwen2_5_omni_text vocab_size=152064 hidden_size=3584 intermediate_size=18944 num_hidden_layers=28 num_attention_heads=28
 num_key_value_heads=4 max_position_embeddings=32768 use_sliding_window=false sliding_window=32768 tie_word_embeddings=true
qwen2_5_omni_thinker tie_word_embeddings=false
qwen2_5_omni_vision_encoder depth=32 hidden_size=3584 intermediate_size=3420 num_heads=16 patch_size=14 spatial_merge_size=2
 temporal_patch_size=2 window_size=112 out_hidden_size=3584
qwen2_5_vl tie_word_embeddings=false
qwen2_5_vl_text vocab_size=152064 hidden_size=8192 intermediate_size=29568 num_hidden_layers=80 num_attention_heads=64
 num_key_value_heads=8 max_position_embeddings=32768 use_sliding_window=false sliding_window=4096
qwen2_5_vl_vision depth=32 hidden_size=3584 intermediate_size=3420 num_heads=16 patch_size=14 spatial_merge_size=2 temporal_patch_size=2
 window_size=112 out_hidden_size=3584
qwen2_audio_encoder num_mel_bins=128 encoder_layers=32 encoder_ffn_dim=5120 d_model=1280 max_source_positions=1500
qwen2_moe vocab_size=151936 hidden_size=2048 intermediate_size=5632 num_hidden_layers=24 num_attention_heads=16 num_key_value_heads=16
 max_position_embeddings=32768 tie_word_embeddings=false use_sliding_window=false sliding_window=4096 decoder_sparse_step=1
 moe_intermediate_size=1408 shared_expert_intermediate_size=5632 num_experts_per_tok=4 num_experts=60 mlp_only_layers=[] qkv_bias=true
qwen2_vl tie_word_embeddings=false
qwen2_vl_text vocab_size=152064 hidden_size=8192 intermediate_size=29568 num_hidden_layers=80 num_attention_heads=64 num_key_value_heads=8
 max_position_embeddings=32768 use_sliding_window=false sliding_window=4096
qwen2_vl_vision depth=32 embed_dim=1280 hidden_size=3584 mlp_ratio=4 num_heads=16 patch_size=14 spatial_merge_size=2 temporal_patch_size=2
qwen3 vocab_size=151936 hidden_size=4096 intermediate_size=22016 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=32
 head_dim=128 max_position_embeddings=32768 tie_word_embeddings=false attention_bias=false use_sliding_window=false sliding_window=4096
qwen3_5 tie_word_embeddings=false
qwen3_5_moe tie_word_embeddings=false
qwen3_5_moe_text vocab_size=248320 hidden_size=2048 num_hidden_layers=40 num_attention_heads=16 num_key_value_heads=2
 max_position_embeddings=32768 tie_word_embeddings=false attention_bias=false head_dim=256 linear_conv_kernel_dim=4 linear_key_head_dim=128
 linear_value_head_dim=128 linear_num_key_heads=16 linear_num_value_heads=32 moe_intermediate_size=512 shared_expert_intermediate_size=512
 num_experts_per_tok=8 num_experts=256 partial_rotary_factor=0.25 full_attention_interval=4
qwen3_5_moe_vision depth=27 hidden_size=1152 intermediate_size=4304 num_heads=16 patch_size=16 spatial_merge_size=2 temporal_patch_size=2
 out_hidden_size=3584 num_position_embeddings=2304
qwen3_5_text vocab_size=248320 hidden_size=4096 intermediate_size=12288 num_hidden_layers=32 num_attention_heads=16 num_key_value_heads=4
 max_position_embeddings=32768 tie_word_embeddings=false attention_bias=false head_dim=256 linear_conv_kernel_dim=4 linear_key_head_dim=128
 linear_value_head_dim=128 linear_num_key_heads=16 linear_num_value_heads=32 partial_rotary_factor=0.25 full_attention_interval=4
qwen3_5_vision depth=27 hidden_size=1152 intermediate_size=4304 num_heads=16 patch_size=16 spatial_merge_size=2 temporal_patch_size=2
 out_hidden_size=3584 num_position_embeddings=2304
qwen3_asr_encoder num_mel_bins=128 encoder_layers=24 encoder_ffn_dim=4096 d_model=1024 output_dim=3584 downsample_hidden_size=480
 max_position_embeddings=13
qwen3_moe vocab_size=151936 hidden_size=2048 intermediate_size=6144 num_hidden_layers=24 num_attention_heads=32 num_key_value_heads=4
 max_position_embeddings=32768 tie_word_embeddings=false attention_bias=false use_sliding_window=false sliding_window=4096
 decoder_sparse_step=1 moe_intermediate_size=768 num_experts_per_tok=8 num_experts=128 mlp_only_layers=[]
qwen3_next vocab_size=151936 hidden_size=2048 intermediate_size=5632 num_hidden_layers=48 num_attention_heads=16 num_key_value_heads=2
 max_position_embeddings=32768 tie_word_embeddings=false attention_bias=false head_dim=256 linear_conv_kernel_dim=4 linear_key_head_dim=128
 linear_value_head_dim=128 linear_num_key_heads=16 linear_num_value_heads=32 decoder_sparse_step=1 moe_intermediate_size=512
 shared_expert_intermediate_size=512 num_experts_per_tok=10 num_experts=512 mlp_only_layers=[] partial_rotary_factor=0.25
 full_attention_interval=4
qwen3_omni_moe_audio_encoder num_mel_bins=128 encoder_layers=32 encoder_ffn_dim=5120 d_model=1280 max_source_positions=1500 output_dim=3584
 downsample_hidden_size=480
qwen3_omni_moe_text vocab_size=3584 hidden_size=2048 intermediate_size=18944 num_hidden_layers=28 num_attention_heads=28
 num_key_value_heads=4 max_position_embeddings=32768 attention_bias=false decoder_sparse_step=1 moe_intermediate_size=768
 num_experts_per_tok=8 num_experts=128 mlp_only_layers=[]
qwen3_omni_moe_thinker tie_word_embeddings=false
qwen3_omni_moe_vision_encoder depth=27 hidden_size=1152 intermediate_size=4304 num_heads=16 patch_size=16 spatial_merge_size=2
 temporal_patch_size=2 out_hidden_size=3584 num_position_embeddings=2304 deepstack_visual_indexes=[8,16,24]
qwen3_vl tie_word_embeddings=false
qwen3_vl_moe tie_word_embeddings=false
qwen3_vl_moe_text vocab_size=151936 hidden_size=2048 intermediate_size=5632 num_hidden_layers=24 num_attention_heads=16
 num_key_value_heads=16 max_position_embeddings=128000 tie_word_embeddings=true attention_bias=false decoder_sparse_step=1
 moe_intermediate_size=1408 num_experts_per_tok=4 num_experts=60 mlp_only_layers=[]
qwen3_vl_moe_vision depth=27 hidden_size=1152 intermediate_size=4304 num_heads=16 patch_size=16 spatial_merge_size=2 temporal_patch_size=2
 out_hidden_size=3584 num_position_embeddings=2304 deepstack_visual_indexes=[8,16,24]
qwen3_vl_text vocab_size=151936 hidden_size=4096 intermediate_size=22016 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=32
 head_dim=128 max_position_embeddings=128000 attention_bias=false
qwen3_vl_vision depth=27 hidden_size=1152 intermediate_size=4304 num_heads=16 patch_size=16 spatial_merge_size=2 temporal_patch_size=2
 out_hidden_size=3584 num_position_embeddings=2304 deepstack_visual_indexes=[8,16,24]
roberta vocab_size=50265 hidden_size=768 num_hidden_layers=12 num_attention_heads=12 intermediate_size=3072 max_position_embeddings=512
 type_vocab_size=2 tie_word_embeddings=true
seed_oss vocab_size=155136 hidden_size=4096 intermediate_size=27648 num_hidden_layers=64 num_attention_heads=80 num_key_value_heads=8
 max_position_embeddings=524288 tie_word_embeddings=false attention_bias=true mlp_bias=false head_dim=128
siglip2_vision_model hidden_size=768 intermediate_size=3072 num_hidden_layers=12 num_attention_heads=12 patch_size=16 num_patches=256
siglip_text_model vocab_size=32000 hidden_size=768 intermediate_size=3072 num_hidden_layers=12 num_attention_heads=12
 max_position_embeddings=64
siglip_vision_model hidden_size=768 intermediate_size=3072 num_hidden_layers=12 num_attention_heads=12 image_size=224 patch_size=16
smollm3 vocab_size=128256 hidden_size=2048 intermediate_size=11008 num_hidden_layers=36 num_attention_heads=16 num_key_value_heads=4
 max_position_embeddings=32768 use_sliding_window=false attention_bias=false mlp_bias=false tie_word_embeddings=true
smolvlm tie_word_embeddings=false scale_factor=2
smolvlm_vision hidden_size=1152 intermediate_size=3072 num_hidden_layers=12 num_attention_heads=16 image_size=224 patch_size=32
stablelm vocab_size=50304 intermediate_size=6912 hidden_size=2560 num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=32
 max_position_embeddings=4096 tie_word_embeddings=false use_qkv_bias=false qk_layernorm=false partial_rotary_factor=0.25
starcoder2 vocab_size=49152 hidden_size=3072 intermediate_size=12288 num_hidden_layers=30 num_attention_heads=24 num_key_value_heads=2
 max_position_embeddings=4096 use_bias=true tie_word_embeddings=true
step3p5 vocab_size=128815 hidden_size=4096 intermediate_size=11264 num_hidden_layers=45 num_attention_heads=64 num_key_value_heads=8
 head_dim=128 max_position_embeddings=128000 tie_word_embeddings=false num_experts_per_tok=8
 moe_intermediate_size=1280 n_routed_experts=288 share_expert_dim=1280 attention_bias=false mlp_bias=false num_nextn_predict_layers=0
 first_k_dense_replace=3
step3p5_vision hidden_size=1536 num_hidden_layers=47 num_attention_heads=16 image_size=728 patch_size=14
 mlp_ratio=5.833333333333333 layer_scale_init_value=0.1 max_position_embeddings=2704
vaultgemma vocab_size=256000 hidden_size=2304 intermediate_size=9216 num_hidden_layers=26 num_attention_heads=8 num_key_value_heads=4
 head_dim=256 max_position_embeddings=8192 tie_word_embeddings=true attention_bias=false sliding_window=4096 sliding_window_pattern="LG"
vipllava vision_feature_layers=[-2,-5,-8,-11,6] tie_word_embeddings=false
voxtral.text_config vocab_size=131072 hidden_size=3072 intermediate_size=8192 num_hidden_layers=30 num_key_value_heads=8
 max_position_embeddings=131072 head_dim=128
voxtral_encoder vocab_size=51866 hidden_size=1280 intermediate_size=5120 num_hidden_layers=32 num_attention_heads=20 num_mel_bins=128
 max_source_positions=1500
voxtral_realtime downsample_factor=4 tie_word_embeddings=true
voxtral_realtime.text_config vocab_size=131072 hidden_size=3072 intermediate_size=9216 num_hidden_layers=26 num_attention_heads=32
 num_key_value_heads=8 max_position_embeddings=131072 head_dim=128 tie_word_embeddings=true sliding_window=8192
voxtral_realtime_encoder vocab_size=131072 hidden_size=1280 intermediate_size=5120 num_hidden_layers=32 num_attention_heads=32
 num_mel_bins=128 max_position_embeddings=1500 sliding_window=750 head_dim=64
voxtral_realtime_text vocab_size=32000 hidden_size=4096 intermediate_size=14336 num_hidden_layers=32 num_attention_heads=32
 num_key_value_heads=8 max_position_embeddings=131072 sliding_window=4096
whisper vocab_size=51865 num_mel_bins=80 encoder_layers=4 decoder_layers=4 decoder_attention_heads=6 decoder_ffn_dim=1536
 encoder_ffn_dim=1536 d_model=384 max_source_positions=1500 max_target_positions=448 tie_word_embeddings=true
xlm-roberta vocab_size=30522 hidden_size=768 num_hidden_layers=12 num_attention_heads=12 intermediate_size=3072 max_position_embeddings=512
 type_vocab_size=2 tie_word_embeddings=true
zamba2 vocab_size=32000 max_position_embeddings=4096 hidden_size=2560 num_hidden_layers=54 mamba_d_state=64 mamba_d_conv=4 mamba_expand=2
 mamba_ngroups=1 n_mamba_heads=8 num_attention_heads=32 num_mem_blocks=1 use_shared_attention_adapter=false adapter_rank=128
 tie_word_embeddings=true
"""
SECTIONS = """
aria text_config=aria_text vision_config=idefics3_vision?
audioflamingo3 audio_config=audioflamingo3_encoder? text_config=qwen2?
blip-2 qformer_config=blip_2_qformer text_config=opt? vision_config=blip_2_vision_model
clip text_config=clip_text_model vision_config=clip_vision_model
cohere2_vision text_config=cohere2? vision_config=siglip_vision_model?
cohere_asr encoder_config=parakeet_encoder?
colmodernvbert vlm_config=modernvbert
colpali text_config=gemma? vlm_config=paligemma
cosmos3_edge text_config=cosmos3_edge_text vision_config=cosmos3_edge_vision
ernie4_5_vl_moe text_config=ernie4_5_vl_moe_text vision_config=ernie4_5_vl_moe_vision
exaone4_5 text_config=exaone4? vision_config=exaone4_5_vision?
gemma3 text_config=gemma3_text vision_config=siglip_vision_model
gemma3n audio_config=gemma3n_audio text_config=gemma3n_text vision_config=gemma3n_vision
gemma4 text_config=gemma4_text
gemma4_unified text_config=gemma4_unified_text
glm4v text_config=glm4v_text vision_config=glm4v_vision
glm4v_moe text_config=glm4v_moe_text vision_config=glm4v_moe_vision
glm_ocr text_config=glm_ocr_text vision_config=glm_ocr_vision
glmasr audio_config=glmasr_encoder? text_config=llama?
granite4_vision qformer_config=blip_2_qformer? text_config=llama? vision_config=siglip_vision_model?
granite_speech encoder_config=granite_speech_encoder projector_config=blip_2_qformer? text_config=granite?
granite_speech_plus encoder_config=granite_speech_plus_encoder projector_config=blip_2_qformer? text_config=granite?
hunyuan_vl text_config=hunyuan_vl_text vision_config=hunyuan_vl_vision
idefics3 text_config=llama? vision_config=idefics3_vision
internvl text_config=qwen2? vision_config=internvl_vision
lfm2_vl text_config=lfm2? vision_config=siglip2_vision_model?
lighton_ocr text_config=qwen3? vision_config=pixtral?
llama4 text_config=llama4_text vision_config=llama4_vision_model
llava text_config=llama? vision_config=clip_vision_model?
llava_next text_config=llama? vision_config=clip_vision_model?
llava_next_video text_config=llama? vision_config=clip_vision_model?
llava_onevision text_config=qwen2? vision_config=siglip_vision_model?
minicpmv4_6 text_config=qwen3_5_text? vision_config=minicpmv4_6_vision
minicpmv4_7 text_config=qwen3_5_text? vision_config=minicpmv4_7_vision
mistral3 text_config=mistral? vision_config=pixtral?
modernvbert text_config=modernbert? vision_config=siglip_vision_model?
muse_glimmer text_config=muse_glimmer_text vision_config=muse_glimmer_vision
musicflamingo audio_config=audioflamingo3_encoder? text_config=qwen2?
paddleocr_vl text_config=paddleocr_vl_text vision_config=paddleocr_vl_vision
paligemma text_config=gemma? vision_config=siglip_vision_model?
phi4_multimodal audio_config=phi4_multimodal_audio vision_config=phi4_multimodal_vision
qianfan_ocr text_config=qwen3? vision_config=qianfan_ocr_vision
qwen2_5_omni_thinker audio_config=qwen2_5_omni_audio_encoder text_config=qwen2_5_omni_text vision_config=qwen2_5_omni_vision_encoder
qwen2_5_vl text_config=qwen2_5_vl_text vision_config=qwen2_5_vl_vision
qwen2_audio audio_config=qwen2_audio_encoder? text_config=qwen2?
qwen2_vl text_config=qwen2_vl_text vision_config=qwen2_vl_vision
qwen3_5 text_config=qwen3_5_text vision_config=qwen3_5_vision
qwen3_5_moe text_config=qwen3_5_moe_text vision_config=qwen3_5_moe_vision
qwen3_omni_moe_thinker audio_config=qwen3_omni_moe_audio_encoder text_config=qwen3_omni_moe_text
 vision_config=qwen3_omni_moe_vision_encoder
qwen3_vl text_config=qwen3_vl_text vision_config=qwen3_vl_vision
qwen3_vl_moe text_config=qwen3_vl_moe_text vision_config=qwen3_vl_moe_vision
siglip text_config=siglip_text_model vision_config=siglip_vision_model
smolvlm text_config=llama? vision_config=smolvlm_vision
step3p7 text_config=step3p5 vision_config=step3p5_vision
vipllava text_config=llama? vision_config=clip_vision_model?
voxtral audio_config=voxtral_encoder? text_config=llama?
voxtral_realtime audio_config=voxtral_realtime_encoder? text_config=voxtral_realtime_text?
"""
