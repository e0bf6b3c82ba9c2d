//! Activities: what runs at a provider.

use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Call, Client, Stream, checked_id};
use crate::error::CallError;

const A: &str = "activity-api";

/// What became of one command of a script.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CommandResult {
    pub(crate) index: usize,
    /// `Ok` or `Error`.
    pub(crate) result: String,
    #[serde(default)]
    pub(crate) stdout: Option<Value>,
    #[serde(default)]
    pub(crate) stderr: Option<Value>,
    #[serde(default)]
    pub(crate) message: Option<String>,
    #[serde(default)]
    pub(crate) is_batch_finished: bool,
}

/// The state of an activity, and the one that it is on its way to.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    state: (String, Option<String>),
    #[serde(default)]
    pub(crate) reason: Option<String>,
    #[serde(default)]
    pub(crate) error_message: Option<String>,
}

impl State {
    /// Whether it is over. `["Ready", "Terminated"]` is not: the daemon may serve that for ever.
    pub(crate) fn is_over(&self) -> bool {
        self.state.0 == "Terminated"
    }

    pub(crate) fn pair(&self) -> Value {
        json!([self.state.0, self.state.1])
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    activity_id: String,
}

impl Client {
    /// Asks the provider for an activity: it begins to exist, and to cost. Status 408 says nothing about
    /// whether it does.
    pub(crate) async fn create_activity(&self, agreement: &str, hold: Duration) -> Result<String, CallError> {
        const NAME: &str = "CreateActivity";
        let call = Call::new(NAME, Method::POST, &[A, "v1", "activity"]);
        let call = call.body(json!({ "agreementId": agreement })).timeout(hold);
        let created: Created = self.read(call).await?;
        checked_id(NAME, created.activity_id)
    }

    /// The activities of an agreement that this daemon knows of, those that are over among them.
    pub(crate) async fn activities(&self, agreement: &str) -> Result<Vec<String>, CallError> {
        const NAME: &str = "ListActivities";
        let call = Call::new(NAME, Method::GET, &[A, "v1", "activity"]).query("agreementId", agreement);
        let ids: Vec<String> = self.read(call).await?;
        ids.into_iter().map(|id| checked_id(NAME, id)).collect()
    }

    /// Gives an activity its script, which begins to run. Never repeated: each call is another batch.
    pub(crate) async fn exec(
        &self,
        activity: &str,
        script: &Value,
        limit: Duration,
    ) -> Result<String, CallError> {
        let path = [A, "v1", "activity", activity, "exec"];
        let call = Call::new("Exec", Method::POST, &path).body(json!({ "text": script.to_string() }));
        self.read_id(call.limit(limit)).await
    }

    /// The results that there are. The daemon holds the call for up to `hold` while the batch runs.
    pub(crate) async fn results(
        &self,
        activity: &str,
        batch: &str,
        hold: Duration,
    ) -> Result<Vec<CommandResult>, CallError> {
        let path = [A, "v1", "activity", activity, "exec", batch];
        self.read(Call::new("GetResults", Method::GET, &path).timeout(hold)).await
    }

    /// The results of the first commands, up to the one at `index`. The daemon holds the call for up to `hold` until that
    /// one has ended, and says 408 then.
    ///
    /// It tells progress and no outcome: `is_batch_finished` is set for the last one asked for, and only that one
    /// has its output.
    pub(crate) async fn results_to(
        &self,
        activity: &str,
        batch: &str,
        index: usize,
        hold: Duration,
    ) -> Result<Vec<CommandResult>, CallError> {
        let path = [A, "v1", "activity", activity, "exec", batch];
        let call = Call::new("GetResultsTo", Method::GET, &path).query("commandIndex", index);
        self.read(call.timeout(hold)).await
    }

    /// The stream of what happens to a script from now on.
    pub(crate) async fn events(&self, activity: &str, batch: &str) -> Result<Stream, CallError> {
        let path = [A, "v1", "activity", activity, "exec", batch];
        self.stream(Call::new("StreamResults", Method::GET, &path)).await
    }

    pub(crate) async fn state(&self, activity: &str) -> Result<State, CallError> {
        let path = [A, "v1", "activity", activity, "state"];
        self.read(Call::new("GetState", Method::GET, &path)).await
    }

    /// What has been used so far, by the agreement's own counters.
    pub(crate) async fn usage(&self, activity: &str) -> Result<Value, CallError> {
        let path = [A, "v1", "activity", activity, "usage"];
        self.read(Call::new("GetUsage", Method::GET, &path)).await
    }

    /// Ends an activity. `Ok` is the provider's statement that it has ended; it may be asked for again.
    pub(crate) async fn destroy(&self, activity: &str, hold: Duration) -> Result<(), CallError> {
        let path = [A, "v1", "activity", activity];
        self.tell(Call::new("DestroyActivity", Method::DELETE, &path).timeout(hold)).await
    }
}
