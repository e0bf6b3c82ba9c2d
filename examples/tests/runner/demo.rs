use crate::support::{code, run, stderr, stdout};

#[tokio::test]
async fn the_demo_succeeds_and_shows_evidence_for_every_process_that_had_begun() {
    let output = run(&["demo", "--cancel-after", "2"]).await;
    let told = stdout(&output);
    assert_eq!(code(&output), 0, "{told}{}", stderr(&output));
    let rows: Vec<&str> = told.lines().filter(|line| line.contains(" cancelled ")).collect();
    let confirmed = rows.iter().filter(|row| row.contains(" confirmed ")).count();
    let never = rows.iter().filter(|row| row.contains("never began")).count();
    assert!(confirmed >= 1 && confirmed + never == 12, "{told}");
    for row in rows.iter().filter(|row| row.contains(" confirmed ")) {
        assert!(row.contains(" ms ") && (row.contains(" cgroup ") || row.contains(" supervisor ")), "{row}");
    }
    let last = told.lines().last().unwrap();
    assert!(
        last.starts_with(&format!("{confirmed} of {confirmed} processes that had begun are confirmed")),
        "{last}"
    );
}
