use beacon_jobs::ErrorKind;
use beacon_jobs::job::{JobSpec, parse_job_file};
use serde_json::{Value, json};

/// A legal job of one execution with this member set.
fn job(name: &str, value: Value) -> Value {
    let mut job = json!({"executions": [{"executor": "process"}]});
    job[name] = value;
    job
}

/// A legal job whose second execution has this member set.
fn execution(name: &str, value: Value) -> Value {
    let mut job = json!({"executions": [{"executor": "process"}, {"executor": "process"}]});
    job["executions"][1][name] = value;
    job
}

/// A legal matrix of 2 x 2 x 2 with this member of the matrix set.
fn axis(name: &str, value: Value) -> Value {
    let mut job = json!({
        "matrix": {"models": ["a", "b"], "regions": ["c", "d"], "questions": ["e", "f"]},
        "template": {"executor": "process"}
    });
    job["matrix"][name] = value;
    job
}

/// The same with this member of the template set.
fn template(name: &str, value: Value) -> Value {
    let mut job = axis("models", json!(["a", "b"]));
    job["template"][name] = value;
    job
}

fn without(mut job: Value, place: &str, name: &str) -> Value {
    job.pointer_mut(place).unwrap().as_object_mut().unwrap().remove(name);
    job
}

fn labels(count: usize) -> Value {
    (0..count).map(|number| (format!("k{number}"), json!("v"))).collect::<serde_json::Map<_, _>>().into()
}

fn strings(count: usize) -> Value {
    (0..count).map(|number| json!(number.to_string())).collect()
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(0), |inner, _| json!([inner]))
}

#[track_caller]
fn refused(cases: impl IntoIterator<Item = (Value, &'static str, &'static str)>) {
    for (file, field, fragment) in cases {
        let text = file.to_string();
        let shown = &text[..text.len().min(200)];
        let error = match parse_job_file(text.as_bytes()) {
            Ok(spec) => panic!("{shown} was taken as {} executions", spec.executions.len()),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{shown}");
        assert_eq!(error.field(), Some(field), "{shown}: {error}");
        assert!(error.message().contains(fragment), "{shown}: {error}");
        assert!(error.to_string().len() < 400 && !error.to_string().contains(['\n', '\0']), "{error}");
        assert_eq!(JobSpec::from_json(file).unwrap_err().to_string(), error.to_string());
    }
}

#[test]
fn an_illegal_rule_of_the_job_is_named_with_what_is_allowed() {
    const TIME: &str = "must be a whole number from 1 to 31536000";
    refused([
        (json!([]), "job", "must be an object with executions, or with matrix and template"),
        (json!("executions"), "job", "must be an object"),
        (json!(null), "job", "must be an object"),
        (job("tineout", json!(1)), "tineout", "is not known here; allowed: id, labels, min_success_rate,"),
        (job("tineout", json!(1)), "tineout", "max_parallel, executions, matrix, template"),
        (job("a\nb\u{0}", json!(1)), "a\\nb\\0", "is not known here"),
        (job("id", json!(7)), "id", "must be a string of 1 to 128 characters of A-Z a-z 0-9 . _ : -"),
        (job("id", json!("")), "id", "1 to 128 characters"),
        (job("id", json!("a b")), "id", "A-Z a-z 0-9 . _ : -"),
        (job("id", json!("i".repeat(129))), "id", "1 to 128 characters"),
        (job("labels", json!(["a"])), "labels", "must be an object whose values are strings"),
        (job("labels", json!(null)), "labels", "must be an object whose values are strings"),
        (job("labels", json!({"a": 1})), "labels.a", "must be a string of at most 256 bytes"),
        (job("labels", json!({"": "v"})), "labels.", "key must be 1 to 64 bytes"),
        (job("labels", json!({"a:b": "v"})), "labels.a:b", "without a colon"),
        (job("labels", json!({"a": "v".repeat(257)})), "labels.a", "value must be at most 256 bytes"),
        (job("labels", json!({"a": "\u{0}"})), "labels.a", "without a NUL character"),
        (job("labels", labels(33)), "labels", "must hold at most 32 labels, holds 33"),
        (job("min_success_rate", json!(1.01)), "min_success_rate", "from 0.0 to 1.0, is 1.01"),
        (job("min_success_rate", json!(-0.5)), "min_success_rate", "from 0.0 to 1.0, is -0.5"),
        (job("min_success_rate", json!("all")), "min_success_rate", "must be a number from 0.0 to 1.0"),
        (job("timeout_seconds", json!(0)), "timeout_seconds", "from 1 to 31536000, is 0"),
        (job("timeout_seconds", json!(31_536_001)), "timeout_seconds", "is 31536001"),
        (job("timeout_seconds", json!(-1)), "timeout_seconds", TIME),
        (job("timeout_seconds", json!(1.5)), "timeout_seconds", TIME),
        (job("timeout_seconds", json!("10")), "timeout_seconds", TIME),
        (job("max_attempts", json!(0)), "max_attempts", "from 1 to 100, is 0"),
        (job("max_attempts", json!(101)), "max_attempts", "from 1 to 100, is 101"),
        (
            job("max_attempts", json!(5_000_000_000_u64)),
            "max_attempts",
            "must be a whole number from 1 to 100",
        ),
        (job("max_attempts", json!(null)), "max_attempts", "must be a whole number from 1 to 100"),
        (job("backoff_seconds", json!(3_601)), "backoff_seconds", "from 0 to 3600, is 3601"),
        (job("backoff_seconds", json!(true)), "backoff_seconds", "from 0 to 3600"),
        (job("max_backoff_seconds", json!(86_401)), "max_backoff_seconds", "from 0 to 86400, is 86401"),
        (job("max_backoff_seconds", json!({})), "max_backoff_seconds", "from 0 to 86400"),
        (job("on_interrupt", json!("stop")), "on_interrupt", "must be retry or fail"),
        (job("on_interrupt", json!(1)), "on_interrupt", "must be retry or fail"),
        (job("stop_wait_seconds", json!(0)), "stop_wait_seconds", "from 1 to 86400, is 0"),
        (job("stop_wait_seconds", json!(86_401)), "stop_wait_seconds", "is 86401"),
        (job("allow_overlap", json!("yes")), "allow_overlap", "must be true or false"),
        (job("attachment", json!("a".repeat(64 * 1024))), "attachment", "at most 65536 bytes as JSON text"),
        (job("attachment", nested(101)), "attachment", "at most 100 levels"),
        (job("max_parallel", json!(0)), "max_parallel", "from 1 to 100000, is 0"),
        (job("max_parallel", json!(100_001)), "max_parallel", "is 100001"),
        (job("max_parallel", json!([])), "max_parallel", "from 1 to 100000"),
    ]);
}

#[test]
fn an_illegal_execution_is_named_by_its_place() {
    const TIMEOUT: &str = "executions[1].timeout_seconds";
    refused([
        (json!({}), "executions", "is missing: give 1 to 100000 executions, or matrix and template"),
        (job("executions", json!([])), "executions", "must hold 1 to 100000 executions, holds 0"),
        (job("executions", json!({})), "executions", "must be a list of executions"),
        (job("executions", json!(null)), "executions", "must be a list of executions"),
        (job("executions", json!(["process"])), "executions[0]", "must be an object"),
        (job("executions", json!([["process"]])), "executions[0]", "must be an object"),
        (job("executions", json!([{}])), "executions[0].executor", "is missing: must be 1 to 64 characters"),
        (execution("executor", json!("")), "executions[1].executor", "must be 1 to 64 characters of A-Z"),
        (execution("executor", json!("a:b")), "executions[1].executor", "0-9 . _ -"),
        (execution("executor", json!("e".repeat(65))), "executions[1].executor", "1 to 64 characters"),
        (execution("executor", json!(["process"])), "executions[1].executor", "1 to 64 characters"),
        (execution("lane", json!("")), "executions[1].lane", "must be a string of 1 to 256 bytes"),
        (execution("lane", json!("l".repeat(257))), "executions[1].lane", "1 to 256 bytes"),
        (execution("lane", json!("a\u{0}")), "executions[1].lane", "without a NUL"),
        (execution("lane", json!(3)), "executions[1].lane", "must be a string of 1 to 256 bytes"),
        (execution("step", json!("q1")), "executions[1].step", "needs a lane beside it"),
        (execution("step", json!("")), "executions[1].step", "must be a string of 1 to 256 bytes"),
        (execution("step", json!(1)), "executions[1].step", "must be a string of 1 to 256 bytes"),
        (
            execution("labels", json!("a")),
            "executions[1].labels",
            "must be an object whose values are strings",
        ),
        (execution("labels", json!({"a": {}})), "executions[1].labels.a", "must be a string"),
        (execution("labels", json!({"a:": ""})), "executions[1].labels.a:", "without a colon"),
        (execution("labels", labels(33)), "executions[1].labels", "at most 32 labels, holds 33"),
        (execution("timeout_seconds", json!(0)), TIMEOUT, "from 1 to 31536000, is 0"),
        (execution("timeout_seconds", json!("5m")), TIMEOUT, "must be a whole number from 1 to 31536000"),
        (execution("max_attempts", json!(2)), "executions[1].max_attempts", "allowed: executor, lane, step,"),
        (execution("input", nested(101)), "executions[1].input", "must nest at most 100 levels deep"),
    ]);
}

#[test]
fn an_illegal_matrix_is_named_as_the_file_has_it() {
    let both = job("matrix", axis("models", json!(["a"]))["matrix"].clone());
    let big = || json!({"stdin": "x".repeat(700_000)});
    let wide = |count| {
        let mut job = template("input", big());
        job["matrix"]["questions"] = strings(count);
        job
    };
    refused([
        (both, "executions", "must be left out when there is a matrix"),
        (job("template", json!({"executor": "process"})), "template", "needs a matrix beside it"),
        (json!({"template": {}}), "template", "needs a matrix beside it"),
        (without(axis("models", json!(["a"])), "", "template"), "template", "is missing"),
        (
            without(axis("models", json!(["a"])), "/matrix", "regions"),
            "matrix.regions",
            "is missing: must be a list",
        ),
        (axis("models", json!([])), "matrix.models", "must hold 1 or more strings, holds none"),
        (axis("regions", json!([])), "matrix.regions", "holds none"),
        (axis("questions", json!([])), "matrix.questions", "holds none"),
        (axis("models", json!("a")), "matrix.models", "must be a list of 1 or more different strings"),
        (axis("models", json!(["a", 1])), "matrix.models[1]", "must be a string of 1 to 256 bytes"),
        (axis("models", json!(["a", ""])), "matrix.models[1]", "must be a string of 1 to 256 bytes"),
        (axis("models", json!(["m".repeat(257)])), "matrix.models[0]", "1 to 256 bytes"),
        (axis("questions", json!(["a", "b", "a"])), "matrix.questions[2]", "is the same as questions[0]"),
        (axis("seeds", json!([])), "matrix.seeds", "is not known here; allowed: models, regions, questions"),
        (
            axis("models", strings(25_001)),
            "matrix",
            "at most 100000 executions (models x regions x questions), makes 100004",
        ),
        (job_with("matrix", json!([])), "matrix", "must be an object"),
        (job_with("template", json!("process")), "template", "must be an object"),
        (job_with("template", json!({})), "template.executor", "is missing"),
        (job_with("timeout_seconds", json!(0)), "timeout_seconds", "from 1 to 31536000"),
        (template("lane", json!("a")), "template.lane", "must be left out: the matrix sets it"),
        (template("step", json!(null)), "template.step", "must be left out: the matrix sets it"),
        (template("labels", json!({"model": "a"})), "template.labels.model", "must be left out"),
        (template("labels", json!({"region": "a"})), "template.labels.region", "must be left out"),
        (template("labels", json!({"question": "a"})), "template.labels.question", "must be left out"),
        (template("labels", labels(30)), "template.labels", "at most 29 labels beside the three"),
        (template("labels", json!({"a": "{{model}}".repeat(257)})), "template.labels.a", "at most 256 bytes"),
        (template("executor", json!("{{model}}")), "template.executor", "must be 1 to 64 characters"),
        (template("timeout_seconds", json!(0)), "template.timeout_seconds", "from 1 to 31536000, is 0"),
        (
            template("retries", json!(0)),
            "template.retries",
            "allowed: executor, labels, timeout_seconds, input",
        ),
        (template("input", nested(101)), "template.input", "must nest at most 100 levels deep"),
        (
            wide(100),
            "template.input",
            "must be smaller for 400 executions: together the inputs may take 256 MiB",
        ),
    ]);
}

/// A legal matrix with this member of the job set.
fn job_with(name: &str, value: Value) -> Value {
    let mut job = axis("models", json!(["a"]));
    job[name] = value;
    job
}

#[test]
fn an_endless_member_name_leaves_the_message_short() {
    let name = "n".repeat(100_000);
    let error = JobSpec::from_json(job(&name, json!(1))).unwrap_err();
    assert_eq!(error.field().unwrap(), format!("{}…", "n".repeat(64)));
    let error = JobSpec::from_json(job("labels", json!({ name: "v" }))).unwrap_err();
    assert_eq!(error.field().unwrap(), format!("labels.{}…", "n".repeat(64)));
}

#[test]
fn text_that_is_not_json_names_line_and_column_and_no_field() {
    let deep = "[".repeat(200);
    let cases: [(&[u8], &str); 9] = [
        (b"", "EOF while parsing a value at line 1 column 0"),
        (b"{\"executions\": [\n  {\"executor\" \"process\"}\n]}", "at line 2 column 15"),
        (b"{\"executions\": [", "at line 1 column 16"),
        (b"{\"executions\":[{\"executor\":\"process\"}]} x", "trailing characters at line 1 column 41"),
        (b"{'executions': []}", "at line 1 column 2"),
        (b"{\"id\": \"\xff\"}", "at line 1 column"),
        (b"{\"min_success_rate\": NaN}", "at line 1 column"),
        (b"{\"min_success_rate\": 1e999}", "number out of range at line 1"),
        (deep.as_bytes(), "recursion limit exceeded at line 1 column"),
    ];
    for (text, fragment) in cases {
        let error = parse_job_file(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.field(), None, "{error}");
        assert!(error.message().starts_with("not readable as JSON: "), "{error}");
        assert!(error.message().contains(fragment), "{error}");
        assert!(std::error::Error::source(&error).is_some());
    }
}
