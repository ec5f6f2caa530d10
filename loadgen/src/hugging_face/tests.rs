//! Files as the models' authors publish them, cut to the fields that describe the model.

use super::*;
use warmpath_core::engine::physics::Deployment;
use warmpath_core::engine::profile::Profile;

const LLAMA: &str = r#"{"architectures": ["LlamaForCausalLM"], "attention_bias": false, "head_dim": 128,
    "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 131072,
    "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
    "tie_word_embeddings": false, "torch_dtype": "bfloat16", "vocab_size": 128256}"#;

const QWEN3_MOE: &str = r#"{"architectures": ["Qwen3MoeForCausalLM"], "decoder_sparse_step": 1,
    "head_dim": 128, "hidden_size": 2048, "intermediate_size": 6144, "max_window_layers": 48,
    "mlp_only_layers": [], "moe_intermediate_size": 768, "num_attention_heads": 32, "num_experts": 128,
    "num_experts_per_tok": 8, "num_hidden_layers": 48, "num_key_value_heads": 4, "sliding_window": null,
    "tie_word_embeddings": false, "torch_dtype": "bfloat16", "use_sliding_window": false,
    "vocab_size": 151936}"#;

const DEEPSEEK: &str = r#"{"architectures": ["DeepseekV3ForCausalLM"], "first_k_dense_replace": 3,
    "hidden_size": 7168, "intermediate_size": 18432, "kv_lora_rank": 512, "moe_intermediate_size": 2048,
    "moe_layer_freq": 1, "n_routed_experts": 256, "n_shared_experts": 1, "num_attention_heads": 128,
    "num_experts_per_tok": 8, "num_hidden_layers": 61, "num_key_value_heads": 128,
    "num_nextn_predict_layers": 1, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
    "quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
    "weight_block_size": [128, 128]}, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
    "v_head_dim": 128, "vocab_size": 129280}"#;

const GEMMA3: &str = r#"{"architectures": ["Gemma3ForConditionalGeneration"], "text_config": {"head_dim": 128,
    "hidden_size": 5376, "intermediate_size": 21504, "model_type": "gemma3_text", "num_attention_heads": 32,
    "num_hidden_layers": 62, "num_key_value_heads": 16, "sliding_window": 1024}, "torch_dtype": "bfloat16",
    "vision_config": {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27}}"#;

const MIXTRAL: &str = r#"{"architectures": ["MixtralForCausalLM"], "hidden_size": 4096,
    "intermediate_size": 14336, "num_attention_heads": 32, "num_experts_per_tok": 2, "num_hidden_layers": 32,
    "num_key_value_heads": 8, "num_local_experts": 8, "sliding_window": null, "tie_word_embeddings": false,
    "torch_dtype": "bfloat16", "vocab_size": 32000}"#;

fn gpt_oss() -> String {
    let types = vec!["\"sliding_attention\", \"full_attention\""; 18].join(", ");
    format!(
        r#"{{"architectures": ["GptOssForCausalLM"], "experts_per_token": 4, "head_dim": 64,
        "hidden_size": 2880, "intermediate_size": 2880, "layer_types": [{types}], "num_attention_heads": 64,
        "num_experts_per_tok": 4, "num_hidden_layers": 36, "num_key_value_heads": 8,
        "num_local_experts": 128, "quantization_config": {{"modules_to_not_convert": ["lm_head"],
        "quant_method": "mxfp4"}}, "sliding_window": 128, "tie_word_embeddings": false,
        "vocab_size": 201088}}"#
    )
}

fn read(text: &str) -> Checkpoint {
    parse(text).unwrap_or_else(|why| panic!("{why:?}"))
}

fn refused(text: &str, part: &str) {
    let why = parse(text).expect_err("cannot be modelled").join("\n");
    assert!(why.contains(part), "{why} without {part}");
}

/// Published parameters in billions: all, and those of a token. KV bytes of a further token and of the
/// full windows, by hand from the published sizes.
#[test]
fn sizes_are_the_published_ones() {
    let gpt_oss = gpt_oss();
    let cases: [(&str, f64, Option<f64>, f64, f64); 6] = [
        (LLAMA, 8.03, None, 131_072.0, 0.0),
        (QWEN3_MOE, 30.5, Some(3.3), 98_304.0, 0.0),
        (DEEPSEEK, 671.0, Some(37.0), 70_272.0, 0.0),
        (&gpt_oss, 116.8, Some(5.1), 36_864.0, 128.0 * 36_864.0),
        (GEMMA3, 27.0, None, 10.0 * 8_192.0, 52.0 * 8_192.0 * 1024.0),
        (MIXTRAL, 46.7, Some(12.9), 131_072.0, 0.0),
    ];
    for (text, all, used, kv, windows) in cases {
        let model = read(text).model;
        let (parameters, of_token) = model.parameters();
        let near = |value: f64, expected: f64| (value / 1e9 / expected - 1.0).abs() < 0.03;
        assert!(near(parameters, all), "{}: {parameters} against {all}", model.name);
        // Without the embeddings, as published for gpt-oss; others count them or round.
        let with_input = of_token + f64::from(model.hidden) * f64::from(model.vocab);
        if let Some(used) = used {
            let is_near = [of_token, with_input].iter().any(|&count| near(count, used));
            assert!(is_near, "{}: {of_token} a token against {used}", model.name);
        }
        assert_eq!(model.growing_bytes_per_token(KvDtype::Bf16, 1), kv, "{}", model.name);
        assert_eq!(model.window_bytes(KvDtype::Bf16, 1), windows, "{}", model.name);
    }
}

#[test]
fn a_built_in_model_is_recognised_by_its_sizes() {
    let gpt_oss = gpt_oss();
    for (text, name) in [
        (LLAMA, Some("llama-3.1-8b")),
        (QWEN3_MOE, Some("qwen3-30b-a3b")),
        (DEEPSEEK, Some("deepseek-v3")),
        (&gpt_oss, Some("gpt-oss-120b")),
        (GEMMA3, None),
        (MIXTRAL, None),
    ] {
        assert_eq!(read(text).built_in, name);
    }
    assert_eq!(read(GEMMA3).model.name, "gemma3-27b");
    assert_eq!(read(MIXTRAL).model.name, "mixtral-47b");
}

#[test]
fn number_formats_are_read() {
    let with = |config: &str| {
        LLAMA.replace(
            r#""vocab_size""#,
            &format!(r#""quantization_config": {config}, "vocab_size""#),
        )
    };
    let group = |weights: &str, rest: &str| {
        let group =
            format!(r#"{{"group_0": {{"weights": {weights}, "input_activations": null}}}}"#);
        with(&format!(
            r#"{{"quant_method": "compressed-tensors", "config_groups": {group}{rest}}}"#
        ))
    };
    for (text, precision) in [
        (LLAMA.to_owned(), Precision::Bf16),
        (with(r#"{"quant_method": "fp8"}"#), Precision::Fp8),
        (with(r#"{"quant_method": "awq", "bits": 4, "group_size": 128}"#), Precision::Int4),
        (with(r#"{"quant_method": "gptq", "bits": 8}"#), Precision::Int8),
        (with(r#"{"quant_method": "modelopt", "quant_algo": "NVFP4"}"#), Precision::Nvfp4),
        (group(r#"{"num_bits": 8, "type": "float", "strategy": "channel"}"#, ""), Precision::Fp8),
        (
            group(r#"{"num_bits": 8, "type": "float", "strategy": "block"}"#, ""),
            Precision::Fp8Block,
        ),
        (group(r#"{"num_bits": 4, "type": "int", "strategy": "group"}"#, ""), Precision::Int4),
    ] {
        assert_eq!(read(&text).precision, precision, "{text}");
    }
    assert_eq!(read(DEEPSEEK).precision, Precision::Fp8Block);
    assert_eq!(read(&gpt_oss()).precision, Precision::Mxfp4);
    let kv = r#", "kv_cache_scheme": {"num_bits": 8, "type": "float"}"#;
    let text = group(r#"{"num_bits": 8, "type": "float", "strategy": "tensor"}"#, kv);
    assert_eq!((read(&text).kv_dtype, read(LLAMA).kv_dtype), (KvDtype::Fp8, KvDtype::Bf16));
    refused(&with(r#"{"quant_method": "bitsandbytes", "load_in_4bit": true}"#), "bitsandbytes");
    refused(&with(r#"{"quant_method": "gptq", "bits": 3}"#), "3 bits");
}

#[test]
fn what_is_not_modelled_is_refused_by_name() {
    refused(&LLAMA.replace("LlamaForCausalLM", "Qwen3NextForCausalLM"), "linear attention");
    refused(&LLAMA.replace("LlamaForCausalLM", "OPTForCausalLM"), "without a gate");
    refused(&DEEPSEEK.replace(r#""q_lora_rank": 1536"#, r#""q_lora_rank": null"#), "q_lora_rank");
    refused(
        &DEEPSEEK.replace(r#""v_head_dim""#, r#""index_topk": 2048, "v_head_dim""#),
        "index_topk",
    );
    refused(
        &gpt_oss().replacen("sliding_attention", "linear_attention", 1),
        "layer_types: linear_attention",
    );
    refused("[]", "expected a JSON object");
    refused("{", "not JSON");
    let missing = parse(r#"{"architectures": ["LlamaForCausalLM"]}"#).expect_err("nothing there");
    for field in ["hidden_size", "vocab_size", "num_hidden_layers", "num_attention_heads"] {
        assert!(missing.iter().any(|why| why.contains(field)), "{missing:?} without {field}");
    }
    refused(&LLAMA.replace("4096", "99999999999"), "hidden_size");
}

#[test]
fn what_is_taken_from_elsewhere_is_noted() {
    let notes = read(GEMMA3).notes.join(" ");
    assert!(notes.contains("vocab_size is not in config.json; 262208"), "{notes}");
    assert!(notes.contains("Encoders of images"), "{notes}");
    let notes = read(&LLAMA.replace("LlamaForCausalLM", "NewForCausalLM")).notes.join(" ");
    assert!(notes.contains("NewForCausalLM is not a known architecture"), "{notes}");
    assert!(read(LLAMA).notes.is_empty());
}

/// Mistral 7B: every layer has a window. Qwen2.5: the file has one that is not used.
#[test]
fn windows_are_those_that_the_layers_use() {
    let mistral = LLAMA
        .replace("Llama", "Mistral")
        .replace(r#""vocab_size""#, r#""sliding_window": 4096, "vocab_size""#);
    let model = read(&mistral).model;
    assert_eq!((model.attention, model.windowed.map(|group| group.layers)), (None, Some(32)));
    let unused = mistral.replace("Mistral", "Qwen2").replace(
        r#""vocab_size""#,
        r#""use_sliding_window": false, "max_window_layers": 28, "vocab_size""#,
    );
    let model = read(&unused).model;
    assert_eq!((model.attention.map(|group| group.layers), model.windowed), (Some(32), None));
}

#[test]
fn a_device_has_room_for_what_its_memory_leaves() {
    let device = profiles::device("h100", Path::new("")).unwrap();
    let on_one = Deployment::new(1, Precision::Bf16, KvDtype::Bf16);
    assert!(Profile::build(&device, &read(LLAMA).model, &on_one).is_ok());
    assert!(Profile::build(&device, &read(MIXTRAL).model, &on_one).is_err());
}
