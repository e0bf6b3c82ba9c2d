use beacon_jobs::job::parse_job_file;

#[track_caller]
fn digest(file: &str) -> [u8; 32] {
    parse_job_file(file.as_bytes()).unwrap().digest().unwrap()
}

#[test]
fn the_order_of_members_does_not_matter_at_any_depth() {
    assert_eq!(
        digest(
            r#"{"max_attempts":2,"executions":[{"executor":"e","input":{"a":{"x":1,"y":[{"p":1,"q":2}]},"b":2}}]}"#
        ),
        digest(
            r#"{"executions":[{"input":{"b":2,"a":{"y":[{"q":2,"p":1}],"x":1}},"executor":"e"}],"max_attempts":2}"#
        ),
    );
}

#[test]
fn defaults_equal_themselves_written_out() {
    assert_eq!(
        digest(r#"{"executions":[{"executor":"e"}]}"#),
        digest(
            r#"{"labels":{},"min_success_rate":1,"timeout_seconds":null,"max_attempts":1,"backoff_seconds":1,
                "max_backoff_seconds":60,"on_interrupt":"retry","stop_wait_seconds":600,"allow_overlap":false,
                "max_parallel":null,
                "executions":[{"executor":"e","lane":null,"step":null,"labels":{},"timeout_seconds":null,"input":null}]}"#
        ),
    );
}

#[test]
fn the_id_is_left_out() {
    let named = digest(r#"{"id":"a","executions":[{"executor":"e"}]}"#);
    assert_eq!(named, digest(r#"{"id":"b","executions":[{"executor":"e"}]}"#));
    assert_eq!(named, digest(r#"{"executions":[{"executor":"e"}]}"#));
}

#[test]
fn any_other_difference_shows() {
    let jobs = [
        r#"{"executions":[{"executor":"e"}]}"#,
        r#"{"executions":[{"executor":"f"}]}"#,
        r#"{"executions":[{"executor":"e"},{"executor":"e"}]}"#,
        r#"{"executions":[{"executor":"e","lane":"a"}]}"#,
        r#"{"executions":[{"executor":"e","lane":"a","step":"a"}]}"#,
        r#"{"executions":[{"executor":"e","labels":{"a":"b"}}]}"#,
        r#"{"executions":[{"executor":"e","timeout_seconds":1}]}"#,
        r#"{"executions":[{"executor":"e","input":""}]}"#,
        r#"{"executions":[{"executor":"e","input":[]}]}"#,
        r#"{"executions":[{"executor":"e","input":{}}]}"#,
        r#"{"executions":[{"executor":"e","input":{"id":1}}]}"#,
        r#"{"executions":[{"executor":"e","input":{"id":2}}]}"#,
        r#"{"executions":[{"executor":"e","input":{"id":"1"}}]}"#,
        r#"{"executions":[{"executor":"e","input":[[1],2]}]}"#,
        r#"{"executions":[{"executor":"e","input":[[1,2]]}]}"#,
        r#"{"executions":[{"executor":"e","input":[2,[1]]}]}"#,
        r#"{"executions":[{"executor":"e","input":["as","b"]}]}"#,
        r#"{"executions":[{"executor":"e","input":["a","sb"]}]}"#,
        r#"{"executions":[{"executor":"e","input":{"a":{"b":{"c":[0]}}}}]}"#,
        r#"{"executions":[{"executor":"e","input":{"a":{"b":{"c":[1]}}}}]}"#,
        r#"{"labels":{"a":"b"},"executions":[{"executor":"e"}]}"#,
        r#"{"min_success_rate":0.5,"executions":[{"executor":"e"}]}"#,
        r#"{"timeout_seconds":1,"executions":[{"executor":"e"}]}"#,
        r#"{"max_attempts":2,"executions":[{"executor":"e"}]}"#,
        r#"{"backoff_seconds":2,"executions":[{"executor":"e"}]}"#,
        r#"{"max_backoff_seconds":2,"executions":[{"executor":"e"}]}"#,
        r#"{"on_interrupt":"fail","executions":[{"executor":"e"}]}"#,
        r#"{"stop_wait_seconds":2,"executions":[{"executor":"e"}]}"#,
        r#"{"allow_overlap":true,"executions":[{"executor":"e"}]}"#,
        r#"{"max_parallel":2,"executions":[{"executor":"e"}]}"#,
    ];
    for (place, one) in jobs.iter().enumerate() {
        for other in &jobs[place + 1..] {
            assert_ne!(digest(one), digest(other), "{one} and {other}");
        }
    }
}
