//! What an execution asks for.

use beacon_jobs::{Error, Result};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::one_line;

/// Stock providers refuse work that is to be over sooner.
const LEAST_LIFETIME: u64 = 300;
/// What an image's hash has in hexadecimal digits: SHA3-224.
const HASH_DIGITS: usize = 56;

/// The `input` of an execution.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    pub(crate) runtime: Runtime,
    /// What is run, one after the other, until one fails.
    pub(crate) commands: Vec<Command>,
    /// The most that it may cost, in GLM.
    pub(crate) budget: String,
    #[serde(default)]
    pub(crate) max_price: MaxPrice,
    #[serde(default)]
    pub(crate) providers: Providers,
    pub(crate) subnet: Option<String>,
    pub(crate) payment_platform: Option<String>,
    pub(crate) lifetime_seconds: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Runtime {
    /// An image of the runtime `vm`.
    pub(crate) image: Option<Image>,
    /// Any other runtime, by its name.
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) properties: Map<String, Value>,
    #[serde(default)]
    pub(crate) constraints: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Image {
    pub(crate) hash: String,
    pub(crate) url: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Command {
    Run(Run),
    Transfer(Transfer),
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    pub(crate) entry_point: String,
    #[serde(default)]
    pub(crate) args: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transfer {
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Command {
    /// What it is, in a few words. Addresses outside of the runtime may hold secrets, and are left out.
    pub(crate) fn label(&self) -> String {
        let inside = |place: &str| place.starts_with("container:");
        match self {
            Self::Run(run) => format!("run {}", one_line(&run.entry_point)),
            Self::Transfer(it) if inside(&it.to) => format!("transfer to {}", one_line(&it.to)),
            Self::Transfer(it) if inside(&it.from) => format!("transfer from {}", one_line(&it.from)),
            Self::Transfer(_) => "transfer".to_owned(),
        }
    }
}

/// The most that an offer may ask, in GLM. What is left out is not limited.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MaxPrice {
    pub(crate) start: Option<String>,
    pub(crate) cpu_hour: Option<String>,
    pub(crate) env_hour: Option<String>,
}

/// Node ids of providers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Providers {
    /// Only these, if there are any.
    #[serde(default)]
    pub(crate) allow: Vec<String>,
    #[serde(default)]
    pub(crate) deny: Vec<String>,
}

/// A limit of the price, as numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ceiling {
    pub(crate) start: Option<Decimal>,
    pub(crate) cpu_hour: Option<Decimal>,
    pub(crate) env_hour: Option<Decimal>,
}

impl Input {
    pub(crate) fn read(input: &Value, most_lifetime: u64) -> Result<Self> {
        let input: Self = serde_path_to_error::deserialize(input).map_err(|error| {
            let path = error.path().to_string();
            let field = if path == "." { "input".to_owned() } else { format!("input.{path}") };
            Error::invalid(field, error.inner().to_string())
        })?;
        input.runtime.check()?;
        input.check_commands()?;
        if input.budget()? <= Decimal::ZERO {
            return Err(Error::invalid("input.budget", "must be more than 0"));
        }
        input.ceiling()?;
        for (field, word) in
            [("input.subnet", &input.subnet), ("input.payment_platform", &input.payment_platform)]
        {
            check_word(field, word.as_deref())?;
        }
        if let Some(seconds) = input.lifetime_seconds
            && !(LEAST_LIFETIME..=most_lifetime).contains(&seconds)
        {
            let message = format!("must be {LEAST_LIFETIME} to {most_lifetime} seconds");
            return Err(Error::invalid("input.lifetime_seconds", message));
        }
        Ok(input)
    }

    fn check_commands(&self) -> Result<()> {
        if self.commands.is_empty() {
            return Err(Error::invalid("input.commands", "must hold at least one command"));
        }
        for (index, command) in self.commands.iter().enumerate() {
            let fields = match command {
                Command::Run(run) => vec![("run.entry_point", &run.entry_point)],
                Command::Transfer(it) => vec![("transfer.from", &it.from), ("transfer.to", &it.to)],
            };
            for (field, value) in fields {
                if value.trim().is_empty() {
                    return Err(Error::invalid(
                        format!("input.commands[{index}].{field}"),
                        "must not be empty",
                    ));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn budget(&self) -> Result<Decimal> {
        glm("input.budget", &self.budget)
    }

    pub(crate) fn ceiling(&self) -> Result<Ceiling> {
        let read = |field: &str, text: &Option<String>| {
            let field = format!("input.max_price.{field}");
            text.as_ref().map(|text| glm(&field, text)).transpose()
        };
        Ok(Ceiling {
            start: read("start", &self.max_price.start)?,
            cpu_hour: read("cpu_hour", &self.max_price.cpu_hour)?,
            env_hour: read("env_hour", &self.max_price.env_hour)?,
        })
    }
}

impl Runtime {
    fn check(&self) -> Result<()> {
        match (&self.image, &self.name) {
            (Some(image), None) => image.check()?,
            (None, Some(name)) => {
                check_word("input.runtime.name", Some(name))?;
            }
            (Some(_), Some(_)) => {
                return Err(Error::invalid("input.runtime", "takes either an image or a name, not both"));
            }
            (None, None) => {
                return Err(Error::invalid("input.runtime", "needs an image, or the name of a runtime"));
            }
        }
        for (index, constraint) in self.constraints.iter().enumerate() {
            if !is_enclosed(constraint) {
                let field = format!("input.runtime.constraints[{index}]");
                return Err(Error::invalid(field, "must be one expression such as (golem.inf.mem.gib>=2)"));
            }
        }
        Ok(())
    }
}

impl Image {
    fn check(&self) -> Result<()> {
        if self.hash.len() != HASH_DIGITS || !self.hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let message = format!("must be the SHA3-224 of the image, {HASH_DIGITS} hexadecimal digits");
            return Err(Error::invalid("input.runtime.image.hash", message));
        }
        let rest = self.url.strip_prefix("http://").or_else(|| self.url.strip_prefix("https://"));
        if rest.is_none_or(|rest| rest.is_empty() || rest.contains(char::is_whitespace)) {
            return Err(Error::invalid("input.runtime.image.url", "must be an http or https URL"));
        }
        Ok(())
    }
}

fn glm(field: &str, text: &str) -> Result<Decimal> {
    let amount = Decimal::from_str_exact(text.trim()).ok().filter(|amount| !amount.is_sign_negative());
    amount.ok_or_else(|| Error::invalid(field, format!("{text:?} is no amount of GLM such as \"0.5\"")))
}

/// What stands in a constraint must not be read as more than a word.
fn check_word(field: &str, word: Option<&str>) -> Result<()> {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    match word {
        Some(word) if !is_word(word) => {
            Err(Error::invalid(field, "must be one word of letters, digits, dots, dashes and underscores"))
        }
        _ => Ok(()),
    }
}

/// Whether the text is one expression in parentheses. The daemon takes any text, and finds nothing with it.
fn is_enclosed(text: &str) -> bool {
    let mut depth = 0_i32;
    let mut ends = Vec::new();
    for (at, character) in text.char_indices() {
        depth += match character {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        if depth <= 0 {
            ends.push(at);
        }
    }
    depth == 0 && text.len() > 2 && text.starts_with('(') && ends == [text.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(from: &str, to: &str) -> String {
        Command::Transfer(Transfer { from: from.to_owned(), to: to.to_owned() }).label()
    }

    #[test]
    fn addresses_outside_of_the_runtime_are_not_shown() {
        let secret = "https://user:hidden@example.com/data?signature=hidden";
        assert_eq!(transfer(secret, "container:/data"), "transfer to container:/data");
        assert_eq!(transfer("container:/out", secret), "transfer from container:/out");
        assert_eq!(transfer(secret, secret), "transfer");
    }
}
