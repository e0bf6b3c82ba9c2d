use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use axum::http::Uri;

use crate::problem::Problem;

/// The parameters of a request's query, taken one by one.
#[derive(Debug)]
pub(crate) struct Query {
    left: Vec<(String, String)>,
}

impl Query {
    pub(crate) fn of(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        Self { left: form_urlencoded::parse(query.as_bytes()).into_owned().collect() }
    }

    /// All values of a parameter that may be repeated.
    pub(crate) fn take_all(&mut self, name: &str) -> Vec<String> {
        self.left.extract_if(.., |(given, _)| given == name).map(|(_, value)| value).collect()
    }

    /// The value of a parameter.
    pub(crate) fn take(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut values = self.take_all(name);
        if values.len() > 1 {
            return Err(Problem::invalid(name, "is given twice"));
        }
        Ok(values.pop())
    }

    /// The value of a parameter that is a whole number in this range.
    pub(crate) fn take_number<N>(
        &mut self,
        name: &str,
        allowed: RangeInclusive<N>,
    ) -> Result<Option<N>, Problem>
    where
        N: FromStr + PartialOrd + Display,
    {
        let Some(text) = self.take(name)? else { return Ok(None) };
        match text.parse() {
            Ok(number) if allowed.contains(&number) => Ok(Some(number)),
            _ => {
                let (least, most) = allowed.into_inner();
                Err(Problem::invalid(name, &format!("must be a whole number from {least} to {most}")))
            }
        }
    }

    /// Refuses what was not taken; `known` lists what could have been.
    pub(crate) fn finish(self, known: &str) -> Result<(), Problem> {
        self.left.first().map_or(Ok(()), |(name, _)| Err(Problem::unknown(name, known)))
    }
}
