//! What an engine says at `/v1/models`.

use crate::given::UpTo;
use crate::problem::Problem;
use crate::request;
use serde::Deserialize;

/// The most models that are read. Each adapter is one.
const MOST: usize = 4_096;

#[derive(Deserialize)]
struct Models {
    data: UpTo<Model, MOST>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
}

/// The names of the models, at least one. vLLM names its base model first. The error says what is wrong.
pub fn read(json: &str) -> Result<Vec<String>, String> {
    let models: Models = request::read(json.as_bytes())
        .map_err(|problem| Problem::foreign(502, &problem.message).message)?;
    match models.data.0.is_empty() {
        true => Err("no model".to_owned()),
        false => Ok(models.data.0.into_iter().map(|model| model.id).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_read_in_their_order() {
        let json = r#"{"object": "list", "data": [
            {"id": "base", "object": "model", "max_model_len": 4096, "permission": [{}]},
            {"id": "lora", "parent": "base", "max_model_len": null}]}"#;
        assert_eq!(read(json), Ok(vec!["base".to_owned(), "lora".to_owned()]));
        assert_eq!(read(r#"{"data": []}"#), Err("no model".to_owned()));
        assert!(read("{}").unwrap_err().starts_with("body: missing field `data`"));
    }
}
