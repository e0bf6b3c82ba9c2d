use beacon_jobs::job::{ExecutionSpec, JobSpec, OnInterrupt, parse_job_file};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value};

/// Any JSON, with the words of a job file often enough that objects come close to being one.
fn json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        proptest::sample::select(vec![
            "id",
            "labels",
            "min_success_rate",
            "timeout_seconds",
            "max_attempts",
            "backoff_seconds",
            "max_backoff_seconds",
            "on_interrupt",
            "stop_wait_seconds",
            "allow_overlap",
            "max_parallel",
            "executions",
            "executor",
            "lane",
            "step",
            "input",
            "matrix",
            "template",
            "models",
            "regions",
            "questions",
            "retry",
            "fail",
            "{{model}}",
            "process",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0_u64..5).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((word.clone(), inner), 0..8)
                .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

fn labels() -> impl Strategy<Value = std::collections::BTreeMap<String, String>> {
    btree_map("[^:\u{0}]{1,16}", "[^\u{0}]{0,64}", 0..5)
}

prop_compose! {
    fn execution()(
        executor in "[A-Za-z0-9._-]{1,64}",
        place in option::of(("[^\u{0}]{1,64}", option::of("[^\u{0}]{1,64}"))),
        labels in labels(),
        timeout in option::of(1_u64..=31_536_000),
        input in json(),
    ) -> ExecutionSpec {
        let mut execution = ExecutionSpec::new(executor, input);
        (execution.lane, execution.step) = place.map_or((None, None), |(lane, step)| (Some(lane), step));
        execution.labels = labels;
        execution.timeout_seconds = timeout;
        execution
    }
}

prop_compose! {
    fn legal()(
        id in option::of("[A-Za-z0-9._:-]{1,128}"),
        labels in labels(),
        rate in 0.0..=1.0_f64,
        timeout in option::of(1_u64..=31_536_000),
        (attempts, backoff, max_backoff) in (1_u32..=100, 0_u64..=3_600, 0_u64..=86_400),
        fail in any::<bool>(),
        (stop_wait, overlap, parallel) in (1_u64..=86_400, any::<bool>(), option::of(1_u32..=100_000)),
        executions in vec(execution(), 1..6),
    ) -> JobSpec {
        let mut spec = JobSpec::new(executions)
            .with_min_success_rate(rate)
            .with_max_attempts(attempts)
            .with_backoff_seconds(backoff)
            .with_max_backoff_seconds(max_backoff)
            .with_on_interrupt(if fail { OnInterrupt::Fail } else { OnInterrupt::Retry })
            .with_stop_wait_seconds(stop_wait)
            .with_allow_overlap(overlap);
        spec.id = id.map(|id| id.parse().unwrap());
        spec.labels = labels;
        spec.timeout_seconds = timeout;
        spec.max_parallel = parallel;
        spec
    }
}

/// What holds of any answer: a job that is taken is legal and stays itself; a refusal is one line.
fn answer_is_sound(text: &[u8]) -> Result<(), TestCaseError> {
    match parse_job_file(text) {
        Ok(spec) => {
            spec.check().unwrap();
            let again = parse_job_file(&serde_json::to_vec(&spec).unwrap()).unwrap();
            prop_assert_eq!(again.digest().unwrap(), spec.digest().unwrap());
            prop_assert_eq!(again, spec);
        }
        Err(error) => {
            let line = error.to_string();
            prop_assert!(!line.chars().any(char::is_control), "{line:?}");
            prop_assert_eq!(error.field().is_none(), serde_json::from_slice::<Value>(text).is_err());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_get_a_sound_answer(bytes in vec(any::<u8>(), 0..200)) {
        answer_is_sound(&bytes)?;
    }

    #[test]
    fn any_json_gets_a_sound_answer(json in json()) {
        answer_is_sound(json.to_string().as_bytes())?;
    }

    #[test]
    fn a_legal_job_with_one_member_changed_gets_a_sound_answer(
        spec in legal(), place in any::<proptest::sample::Index>(), json in json(), deep in any::<bool>(),
    ) {
        let mut job = serde_json::to_value(&spec).unwrap();
        let object = if deep { &mut job["executions"][0] } else { &mut job };
        let members = object.as_object_mut().unwrap();
        let name = members.keys().nth(place.index(members.len())).unwrap().clone();
        members.insert(name, json);
        answer_is_sound(job.to_string().as_bytes())?;
    }

    #[test]
    fn a_legal_matrix_with_one_member_changed_gets_a_sound_answer(
        place in proptest::sample::select(vec![
            "", "/matrix", "/matrix/models", "/matrix/regions/1", "/matrix/questions", "/template",
            "/template/executor", "/template/labels", "/template/labels/a", "/template/input",
            "/template/timeout_seconds",
        ]),
        json in json(),
    ) {
        let mut job = serde_json::json!({
            "matrix": {"models": ["a", "b"], "regions": ["c", "d"], "questions": ["e", "f"]},
            "template": {"executor": "process", "labels": {"a": "{{model}}"}, "timeout_seconds": 1, "input": 1}
        });
        *job.pointer_mut(place).unwrap() = json;
        answer_is_sound(job.to_string().as_bytes())?;
    }

    #[test]
    fn a_legal_job_written_and_read_is_itself(spec in legal()) {
        spec.check().unwrap();
        let text = serde_json::to_vec(&spec).unwrap();
        let read = parse_job_file(&text).unwrap();
        prop_assert_eq!(read.digest().unwrap(), spec.digest().unwrap());
        prop_assert_eq!(&read, &spec);
        let derived: JobSpec = serde_json::from_slice(&text).unwrap();
        prop_assert_eq!(derived, spec);
    }
}
