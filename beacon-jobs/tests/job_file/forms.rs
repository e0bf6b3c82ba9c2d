use beacon_jobs::JobId;
use beacon_jobs::job::{ExecutionSpec, JobSpec, OnInterrupt, parse_job_file};
use serde_json::json;

#[test]
fn the_smallest_file_has_every_rule_at_its_default() {
    let spec = parse_job_file(br#"{"executions":[{"executor":"process"}]}"#).unwrap();
    assert_eq!(spec, JobSpec::new([ExecutionSpec::new("process", json!(null))]));
    let rules = (spec.min_success_rate, spec.max_attempts, spec.on_interrupt, spec.allow_overlap);
    assert_eq!(rules, (1.0, 1, OnInterrupt::Retry, false));
}

#[test]
fn every_field_of_a_file_reaches_its_setter_and_no_other() {
    let spec = JobSpec::from_json(json!({
        "id": "nightly:7", "labels": {"suite": "bias"}, "min_success_rate": 0.75, "timeout_seconds": 600,
        "max_attempts": 3, "backoff_seconds": 2, "max_backoff_seconds": 90, "on_interrupt": "fail",
        "stop_wait_seconds": 45, "allow_overlap": true, "attachment": {"as": ["given", null]},
        "max_parallel": 8,
        "executions": [
            {"executor": "process", "lane": "us", "step": "q1", "labels": {"model": "m"},
             "timeout_seconds": 300, "input": {"command": ["true"]}},
            {"executor": "modal"}
        ]
    }));
    let built = JobSpec::new([ExecutionSpec::new("process", json!({"command": ["true"]}))
        .with_lane("us")
        .with_step("q1")
        .with_label("model", "m")
        .with_timeout_seconds(300)])
    .with_execution(ExecutionSpec::new("modal", json!(null)))
    .with_id(JobId::new("nightly:7").unwrap())
    .with_label("suite", "bias")
    .with_min_success_rate(0.75)
    .with_timeout_seconds(600)
    .with_max_attempts(3)
    .with_backoff_seconds(2)
    .with_max_backoff_seconds(90)
    .with_on_interrupt(OnInterrupt::Fail)
    .with_stop_wait_seconds(45)
    .with_allow_overlap(true)
    .with_attachment(json!({"as": ["given", null]}))
    .with_max_parallel(8);
    assert_eq!(spec.unwrap(), built);
}

#[test]
fn limits_themselves_are_allowed() {
    let long = "x".repeat(256);
    for (low, number) in [(true, 0), (false, 1)] {
        let pick = |least: u64, most: u64| if low { least } else { most };
        let spec = json!({
            "id": "i".repeat(if low { 1 } else { 128 }),
            "labels": {"k".repeat(if low { 1 } else { 64 }): if low { "" } else { &long }},
            "min_success_rate": number, "timeout_seconds": pick(1, 31_536_000),
            "max_attempts": pick(1, 100), "backoff_seconds": pick(0, 3_600),
            "max_backoff_seconds": pick(0, 86_400), "stop_wait_seconds": pick(1, 86_400),
            "max_parallel": pick(1, 100_000),
            "executions": [{"executor": "e".repeat(if low { 1 } else { 64 }), "lane": long, "step": long,
                            "timeout_seconds": pick(1, 31_536_000)}]
        });
        JobSpec::from_json(spec).unwrap();
    }
}

#[test]
fn an_input_of_900_kib_passes_untouched() {
    let script = "x\"\n".repeat(300 << 10);
    let file = json!({"executions": [{"executor": "process", "input": {"stdin": script}}]}).to_string();
    let spec = parse_job_file(file.as_bytes()).unwrap();
    assert_eq!(spec.executions[0].input["stdin"], json!(script));
}

#[test]
fn a_hundred_thousand_executions_are_a_legal_list_and_one_more_is_not() {
    let execution = ExecutionSpec::new("process", json!(null));
    let spec = JobSpec::new(vec![execution.clone(); 100_000]);
    spec.check().unwrap();
    let error = spec.with_execution(execution).check().unwrap_err();
    assert_eq!(error.field(), Some("executions"));
    assert_eq!(error.message(), "must hold 1 to 100000 executions, holds 100001");
}

#[test]
fn a_success_rate_that_is_no_number_is_refused() {
    for rate in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let spec = JobSpec::new([ExecutionSpec::new("process", json!(null))]).with_min_success_rate(rate);
        assert_eq!(spec.check().unwrap_err().field(), Some("min_success_rate"));
    }
}
