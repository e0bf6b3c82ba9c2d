use beacon_jobs::job::{ExecutionSpec, JobSpec, parse_job_file};
use serde_json::{Value, json};

fn matrix(template: Value) -> JobSpec {
    let matrix = json!({"models": ["m1", "m2"], "regions": ["us", "eu"], "questions": ["q1", "q2"]});
    JobSpec::from_json(json!({"matrix": matrix, "template": template})).unwrap()
}

#[test]
fn a_matrix_is_the_list_by_region_then_question_then_model() {
    let spec = JobSpec::from_json(json!({
        "id": "bias", "max_attempts": 2,
        "matrix": {"models": ["m1", "m2"], "regions": ["us", "eu"], "questions": ["q1", "q2"]},
        "template": {"executor": "process", "timeout_seconds": 30, "labels": {"kind": "ask"}, "input": [1]}
    }))
    .unwrap();
    let execution = |region: &str, question: &str, model: &str| {
        ExecutionSpec::new("process", json!([1]))
            .with_lane(region)
            .with_step(question)
            .with_timeout_seconds(30)
            .with_label("kind", "ask")
            .with_label("region", region)
            .with_label("question", question)
            .with_label("model", model)
    };
    assert_eq!((spec.id.as_ref().unwrap().as_str(), spec.max_attempts), ("bias", 2));
    assert_eq!(
        spec.executions,
        [
            execution("us", "q1", "m1"),
            execution("us", "q1", "m2"),
            execution("us", "q2", "m1"),
            execution("us", "q2", "m2"),
            execution("eu", "q1", "m1"),
            execution("eu", "q1", "m2"),
            execution("eu", "q2", "m1"),
            execution("eu", "q2", "m2"),
        ]
    );
}

#[test]
fn placeholders_are_replaced_in_every_string_value_however_deep() {
    let spec = matrix(json!({
        "executor": "process",
        "labels": {"{{model}}": "{{region}}-{{question}}"},
        "input": {"command": ["ask", {"{{model}}": [["{{model}}/{{model}} in {{region}}: {{question}}?"]]}], "n": 1}
    }));
    let last = &spec.executions[7];
    assert_eq!(
        last.input,
        json!({"command": ["ask", {"{{model}}": [["m2/m2 in eu: q2?"]]}], "n": 1}),
        "values are filled in, names are not"
    );
    assert_eq!(last.labels["{{model}}"], "eu-q2");
}

#[test]
fn other_braces_stay_as_they_are() {
    let texts = ["{{", "}}", "{{other}}", "{{ model }}", "{model}", "{{{{", "{{Model}}", "é{{é", "{{model"];
    let spec = matrix(json!({"executor": "process", "input": texts}));
    assert_eq!(spec.executions[0].input, json!(texts));
    let spec = matrix(json!({"executor": "process", "input": ["{{{model}}}", "{{{{model}}é"]}));
    assert_eq!(spec.executions[0].input, json!(["{m1}", "{{m1é"]));
}

#[test]
fn a_value_that_looks_like_a_placeholder_is_put_in_as_it_is() {
    let spec = JobSpec::from_json(json!({
        "matrix": {"models": ["{{region}}"], "regions": ["{{question}}"], "questions": ["{{model}}"]},
        "template": {"executor": "process", "input": "{{model}} {{region}} {{question}}"}
    }))
    .unwrap();
    assert_eq!(spec.executions[0].input, json!("{{region}} {{question}} {{model}}"));
}

#[test]
fn a_matrix_of_ten_thousand_becomes_ten_thousand_different_legal_executions() {
    let numbers = |count: usize| (0..count).map(|number| number.to_string()).collect::<Vec<_>>();
    let file = json!({
        "matrix": {"models": numbers(10), "regions": numbers(10), "questions": numbers(100)},
        "template": {"executor": "process", "input": "{{region}} {{question}} {{model}}"}
    });
    let spec = parse_job_file(file.to_string().as_bytes()).unwrap();
    assert_eq!(spec.executions.len(), 10_000);
    for (index, execution) in spec.executions.iter().enumerate() {
        let (region, question, model) = (index / 1_000, index / 10 % 100, index % 10);
        assert_eq!(execution.input, json!(format!("{region} {question} {model}")));
    }
    spec.check().unwrap();
}

#[test]
fn a_matrix_may_make_a_hundred_thousand_executions() {
    let numbers: Vec<_> = (0..100_000).map(|number: u32| number.to_string()).collect();
    let file = json!({
        "matrix": {"models": numbers, "regions": ["us"], "questions": ["q"]},
        "template": {"executor": "process", "input": {"command": ["ask", "{{model}}"]}}
    });
    assert_eq!(JobSpec::from_json(file).unwrap().executions.len(), 100_000);
}

#[test]
fn a_matrix_and_the_list_that_it_stands_for_have_one_digest() {
    let spec = matrix(json!({"executor": "process", "input": {"command": ["ask", "{{model}}"]}}));
    let list = JobSpec::from_json(serde_json::to_value(&spec).unwrap()).unwrap();
    assert_eq!(spec, list);
    assert_eq!(spec.digest().unwrap(), list.digest().unwrap());
}
