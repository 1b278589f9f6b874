//! `tokenizer.json` of the golden files: ids, decoding and chat templates equal to transformers.

use preflab_data::Message;

use crate::golden::{ids, read, tokenizer};

#[test]
fn strings_have_the_ids_and_the_decoding_of_transformers() {
    let golden = read("tokenizer.json");
    let (tokenizer, _) = tokenizer(&golden);
    let cases = golden["strings"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let (text, ids) = (case["text"].as_str().unwrap(), ids(&case["ids"]));
        assert_eq!(tokenizer.encode(text).unwrap(), ids, "{text:?}");
        assert_eq!(
            tokenizer.decode_with_special(&ids).unwrap(),
            case["decoded"].as_str().unwrap()
        );
    }
}

#[test]
fn conversations_have_the_text_and_the_ids_of_transformers() {
    let golden = read("tokenizer.json");
    let (tokenizer, template) = tokenizer(&golden);
    let cases = golden["chat"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).unwrap();
        let text = template
            .render(&messages, case["add_generation_prompt"].as_bool().unwrap())
            .unwrap();
        assert_eq!(text, case["text"].as_str().unwrap());
        assert_eq!(tokenizer.encode(&text).unwrap(), ids(&case["ids"]));
    }
}
