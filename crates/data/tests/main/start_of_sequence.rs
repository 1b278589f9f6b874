//! A tokenizer that puts tokens around every text itself, as Llama's does: one beginning of sequence, never two.

use preflab_data::{ChatTemplate, Message, Preprocessor, Text, Tokenizer, Units};
use serde_json::{Value, json};

/// A tokenizer whose post-processor writes `<bos>` before and `<eos>` after a text.
fn tokenizer() -> Tokenizer {
    let plain = Tokenizer::train(
        ["user: hello there", "assistant: good day"],
        &Units::Bpe { vocabulary: 300 },
    )
    .unwrap();
    let mut file: Value = serde_json::from_str(&plain.to_json().unwrap()).unwrap();
    let special = |token: &str| json!({ "SpecialToken": { "id": token, "type_id": 0 } });
    let sequence = json!({ "Sequence": { "id": "A", "type_id": 0 } });
    let token = |token: &str, id: u32| json!({ "id": token, "ids": [id], "tokens": [token] });
    file["post_processor"] = json!({
        "type": "TemplateProcessing",
        "single": [special("<bos>"), sequence, special("<eos>")],
        "pair": [special("<bos>"), sequence, { "Sequence": { "id": "B", "type_id": 1 } }],
        "special_tokens": {
            "<bos>": token("<bos>", plain.bos().unwrap()),
            "<eos>": token("<eos>", plain.eos()),
        },
    });
    let place = tempfile::tempdir().unwrap();
    plain.save(place.path()).unwrap();
    let path = place.path().join("tokenizer.json");
    std::fs::write(&path, file.to_string()).unwrap();
    Tokenizer::load(&path).unwrap()
}

fn count(ids: &[u32], id: u32) -> usize {
    ids.iter().filter(|&&other| other == id).count()
}

#[test]
fn prose_starts_with_the_token_of_the_post_processor_and_ends_with_one_end() {
    let tokenizer = tokenizer();
    let preprocessor = Preprocessor::new(&tokenizer, None);
    let cut = preprocessor
        .example(&"hello there".into(), &" good day".into())
        .unwrap();
    let (bos, eos) = (tokenizer.bos().unwrap(), tokenizer.eos());
    assert_eq!(cut.prompt[0], bos);
    assert_eq!(cut.completion.last(), Some(&eos));
    let all = [cut.prompt, cut.completion].concat();
    assert_eq!((count(&all, bos), count(&all, eos)), (1, 1));
}

#[test]
fn a_conversation_starts_as_its_template_says_and_not_twice() {
    let tokenizer = tokenizer();
    let (bos, eos) = (tokenizer.bos().unwrap(), tokenizer.eos());
    let source = "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}\
                  {% if add_generation_prompt %}assistant:{% endif %}";
    let template = ChatTemplate::new(source, tokenizer.special()).unwrap();
    let preprocessor = Preprocessor::new(&tokenizer, Some(&template));
    let prompt = Text::Messages(vec![Message::new("user", "hello there")]);
    let answer = Text::Messages(vec![Message::new("assistant", "good day")]);
    let cut = preprocessor.example(&prompt, &answer).unwrap();
    assert_eq!(cut.prompt, preprocessor.prompt(&prompt).unwrap());
    let all = [cut.prompt, cut.completion].concat();
    assert_eq!(all[0], bos);
    assert_eq!((count(&all, bos), count(&all, eos)), (1, 0));
    let whole = preprocessor.whole(Some(&prompt), &answer).unwrap();
    assert_eq!((count(&whole, bos), count(&whole, eos)), (1, 0));
    assert_eq!(
        tokenizer.decode_with_special(&all).unwrap(),
        "<bos>user: hello there\nassistant: good day\n"
    );
}
