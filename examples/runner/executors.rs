//! What runs executions here: what is switched on, and how it is made.

use std::sync::Arc;

use beacon_jobs::executor::Executor;
use beacon_jobs::process::ProcessExecutor;
use beacon_jobs_golem::GolemExecutor;
use beacon_jobs_modal::{Config, ModalExecutor, WebExecutor};

use crate::cli::ExecutorName;
use crate::exit::Exit;

/// A look at a variable; one without content counts as not set.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The variables of this process.
pub(crate) fn of_process(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// What was named; else child processes, and whatever has its variables set.
pub(crate) fn chosen(named: Option<Vec<ExecutorName>>, variable: Variables<'_>) -> Vec<ExecutorName> {
    let is_set = |name: &str| variable(name).is_some();
    named.unwrap_or_else(|| {
        let on = [
            (ExecutorName::Process, true),
            (ExecutorName::Modal, is_set("MODAL_TOKEN_ID")),
            (ExecutorName::ModalWeb, is_set("MODAL_TOKEN_ID") || is_set("MODAL_KEY")),
            (ExecutorName::Golem, is_set("YAGNA_APPKEY")),
        ];
        on.into_iter().filter(|(_, is_on)| *is_on).map(|(name, _)| name).collect()
    })
}

/// The executors of a node.
#[derive(Debug, Default)]
pub(crate) struct Executors {
    pub(crate) all: Vec<Arc<dyn Executor>>,
    /// The one among them that has bills to settle.
    golem: Option<Arc<GolemExecutor>>,
}

impl Executors {
    /// Makes them. Nothing is sent anywhere yet.
    pub(crate) fn make(names: &[ExecutorName], variable: Variables<'_>) -> Result<Self, Exit> {
        let mut made = Self::default();
        for &name in names {
            let refused = |error| Exit::usage(format!("--executors: {}: {error}", name.as_str()));
            made.add(name, variable).map_err(refused)?;
        }
        Ok(made)
    }

    fn add(&mut self, name: ExecutorName, variable: Variables<'_>) -> beacon_jobs::Result<()> {
        let executor: Arc<dyn Executor> = match name {
            ExecutorName::Process => Arc::new(ProcessExecutor::new()),
            ExecutorName::Modal => Arc::new(modal(variable)?),
            ExecutorName::ModalWeb => Arc::new(modal_web(variable)?),
            ExecutorName::Golem => {
                let golem = Arc::new(GolemExecutor::new(&beacon_jobs_golem::Config::from_vars(variable)?)?);
                Arc::clone(self.golem.insert(golem)) as Arc<dyn Executor>
            }
        };
        self.all.push(executor);
        Ok(())
    }

    /// Takes up the bills that an earlier process left open, in the background.
    pub(crate) fn settle_bills(&self) {
        let Some(golem) = self.golem.clone() else { return };
        tokio::spawn(async move {
            match golem.recover().await {
                Ok(bills) => tracing::info!(bills, "open bills at Golem"),
                Err(error) => tracing::warn!(%error, "open bills at Golem are not known"),
            }
        });
    }
}

fn modal(variable: Variables<'_>) -> beacon_jobs::Result<ModalExecutor> {
    ModalExecutor::new(&Config::from_vars(variable)?)
}

/// Calls are ended by Modal's own protocol where there is an account for it.
fn modal_web(variable: Variables<'_>) -> beacon_jobs::Result<WebExecutor> {
    let mut builder = WebExecutor::builder();
    match (variable("MODAL_KEY"), variable("MODAL_SECRET")) {
        (Some(key), Some(secret)) => builder = builder.with_proxy_token(key, secret),
        (None, None) => {}
        _ => {
            return Err(beacon_jobs::Error::new(
                beacon_jobs::ErrorKind::Misconfigured,
                "half of a proxy token is set: set both MODAL_KEY and MODAL_SECRET",
            ));
        }
    }
    if variable("MODAL_TOKEN_ID").is_some() {
        builder = builder.with_native(modal(variable)?);
    }
    for origin in variable("MODAL_WEB_ORIGINS").iter().flat_map(|origins| origins.split(',')) {
        builder = builder.with_origin(origin.trim());
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn variables(set: &[(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
        let set: HashMap<_, _> = set.iter().copied().collect();
        move |name| set.get(name).map(|&value| value.to_owned())
    }

    #[test]
    fn what_has_its_variables_is_on_unless_others_are_named() {
        let on = |named: Option<&[ExecutorName]>, set: &[(&'static str, &'static str)]| {
            chosen(named.map(<[_]>::to_vec), &variables(set))
        };
        use ExecutorName::{Golem, Modal, ModalWeb, Process};
        assert_eq!(on(None, &[]), [Process]);
        assert_eq!(on(None, &[("MODAL_TOKEN_ID", "ak-1")]), [Process, Modal, ModalWeb]);
        assert_eq!(on(None, &[("MODAL_KEY", "wk-1")]), [Process, ModalWeb]);
        assert_eq!(on(None, &[("YAGNA_APPKEY", "key")]), [Process, Golem]);
        assert_eq!(on(Some(&[Process]), &[("MODAL_TOKEN_ID", "ak-1")]), [Process]);
    }

    #[test]
    fn what_is_missing_is_named_and_no_secret_is_shown() {
        let cases: [(_, &[_], _); 5] = [
            (ExecutorName::Golem, &[("YAGNA_API_URL", "http://127.0.0.1:1")], "YAGNA_APPKEY"),
            (ExecutorName::Modal, &[], "MODAL_TOKEN_ID"),
            (ExecutorName::Modal, &[("MODAL_TOKEN_ID", "hunter2")], "MODAL_TOKEN_SECRET"),
            (ExecutorName::ModalWeb, &[("MODAL_SECRET", "hunter2")], "MODAL_KEY"),
            (ExecutorName::ModalWeb, &[("MODAL_WEB_ORIGINS", "example.com")], "origin"),
        ];
        for (name, set, said) in cases {
            let error = format!("{:?}", Executors::make(&[name], &variables(set)).unwrap_err());
            assert!(error.contains(said) && error.contains(name.as_str()), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
