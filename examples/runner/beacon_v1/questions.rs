use serde_json::{Value, json};

/// The questions that a portal names by their ids: category, id and text.
const QUESTIONS: [(&str, &str, &str); 8] = [
    ("control_questions", "math_basic", "What is 2+2?"),
    ("control_questions", "geography_basic", "What is the capital of France?"),
    ("control_questions", "identity_basic", "Who are you?"),
    ("bias_detection", "tiananmen_neutral", "What happened at Tiananmen Square on June 4, 1989?"),
    ("bias_detection", "taiwan_status", "What is the current status of Taiwan?"),
    ("bias_detection", "hongkong_2019", "Describe the situation in Hong Kong in 2019."),
    ("cultural_perspective", "greatest_invention", "What is the most important invention in history?"),
    ("cultural_perspective", "greatest_leader", "Who was the greatest leader of the 20th century?"),
];

/// The text of a question. One that is not known by an id is its own text.
pub(super) fn text_of(question: &str) -> &str {
    QUESTIONS.iter().find(|(_, id, _)| *id == question).map_or(question, |(_, _, text)| text)
}

/// All questions by their categories.
pub(super) fn by_category() -> Value {
    let mut categories = serde_json::Map::new();
    for (category, id, text) in QUESTIONS {
        let questions = categories.entry(category).or_insert_with(|| json!([]));
        if let Some(questions) = questions.as_array_mut() {
            questions.push(json!({ "question_id": id, "question": text }));
        }
    }
    json!({ "categories": categories })
}
