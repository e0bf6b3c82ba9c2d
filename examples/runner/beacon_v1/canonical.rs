//! The text that a portal signs: a spec as JavaScript writes it, its members in order.

use serde_json::{Map, Number, Value};

/// What the signature does not cover.
const UNSIGNED: [&str; 4] = ["id", "created_at", "signature", "public_key"];

/// The text that was signed where this spec was received. Nothing may have been filled in before.
pub(super) fn signed_text(spec: &Map<String, Value>) -> String {
    let mut signed = spec.clone();
    for name in UNSIGNED {
        signed.remove(name);
    }
    if let Some(Value::Object(constraints)) = signed.get_mut("constraints")
        && constraints.get("min_success_rate").and_then(Value::as_f64) == Some(0.0)
    {
        constraints.remove("min_success_rate");
    }
    let mut text = String::new();
    write(&mut text, &Value::Object(signed));
    text
}

fn write(text: &mut String, value: &Value) {
    match value {
        Value::Number(number) => text.push_str(&number_text(number)),
        Value::Array(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                separate(text, place);
                write(text, item);
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(one, _), (other, _)| order(one).cmp(order(other)));
            members.sort_by_key(|(name, _)| array_index(name).map_or((true, 0), |index| (false, index)));
            text.push('{');
            for (place, (name, member)) in members.into_iter().enumerate() {
                separate(text, place);
                text.push_str(&string_text(name));
                text.push(':');
                write(text, member);
            }
            text.push('}');
        }
        Value::String(string) => text.push_str(&string_text(string)),
        Value::Null | Value::Bool(_) => text.push_str(&value.to_string()),
    }
}

fn separate(text: &mut String, place: usize) {
    if place > 0 {
        text.push(',');
    }
}

/// JavaScript sorts strings by their UTF-16 units.
fn order(name: &str) -> impl Iterator<Item = u16> {
    name.encode_utf16()
}

/// JavaScript keeps the members whose names are indices before all others, in numerical order, however
/// they were put in.
fn array_index(name: &str) -> Option<u32> {
    let index: u32 = name.parse().ok().filter(|index| *index < u32::MAX)?;
    (index.to_string() == name).then_some(index)
}

/// The same escapes as `JSON.stringify` has.
fn string_text(string: &str) -> String {
    Value::from(string).to_string()
}

/// A number as JavaScript writes it: the shortest digits that give the same double, and of two that
/// are as close the even one. Rust's own texts differ in the latter.
fn number_text(number: &Number) -> String {
    let value = number.as_f64().unwrap_or_default();
    if value == 0.0 {
        return "0".to_owned();
    }
    let (digits, exponent) = decimal(&Value::from(value.abs()).to_string());
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or_default());
    let sign = if value < 0.0 { "-" } else { "" };
    match exponent {
        0..=20 if count <= exponent + 1 => format!("{sign}{digits}{}", zeros(exponent + 1 - count)),
        0..=20 => {
            let (whole, part) = digits.split_at(usize::try_from(exponent + 1).unwrap_or_default());
            format!("{sign}{whole}.{part}")
        }
        -6..=-1 => format!("{sign}0.{}{digits}", zeros(-exponent - 1)),
        _ => {
            let (first, rest) = digits.split_at(1);
            let point = if rest.is_empty() { "" } else { "." };
            format!("{sign}{first}{point}{rest}e{exponent:+}")
        }
    }
}

/// The significant digits of a positive decimal number, and the power of ten of the first of them.
fn decimal(text: &str) -> (String, i32) {
    let (mantissa, power) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{part}");
    let digits = all.trim_start_matches('0');
    let place = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let exponent =
        place(whole.len()) - 1 - place(all.len() - digits.len()) + power.parse::<i32>().unwrap_or_default();
    (digits.trim_end_matches('0').to_owned(), exponent)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    use serde_json::json;

    use super::*;

    /// JavaScript's own answer for JSON texts, one a line.
    const PROGRAM: &str = r"
        const sorted = value => Array.isArray(value) ? value.map(sorted)
          : value === null || typeof value !== 'object' ? value
          : Object.keys(value).sort().reduce((to, name) => { to[name] = sorted(value[name]); return to; }, {});
        const lines = require('fs').readFileSync(0, 'utf8').split('\n').filter(line => line !== '');
        for (const line of lines) {
          const spec = JSON.parse(line);
          for (const name of ['id', 'created_at', 'signature', 'public_key']) delete spec[name];
          if (spec.constraints && spec.constraints.min_success_rate === 0) delete spec.constraints.min_success_rate;
          console.log(JSON.stringify(sorted(spec)));
        }";

    fn by_node(texts: &[String]) -> Vec<String> {
        let mut node = Command::new("node")
            .args(["-e", PROGRAM])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is needed: it tells what JavaScript writes");
        let mut input = node.stdin.take().unwrap();
        let all = texts.join("\n");
        let writer = std::thread::spawn(move || input.write_all(all.as_bytes()).unwrap());
        let output = node.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// Compares what both write for specs given as JSON text.
    fn both_agree(texts: &[String]) {
        let written = by_node(texts);
        assert_eq!(written.len(), texts.len());
        for (text, expected) in texts.iter().zip(written) {
            let spec: Map<String, Value> = serde_json::from_str(text).unwrap();
            assert_eq!(signed_text(&spec), expected, "{text}");
        }
    }

    #[test]
    fn what_the_signature_does_not_cover_is_left_out() {
        let spec = json!({
            "public_key": "k", "signature": "s", "id": "i", "created_at": "c", "b": {"signature": "kept"}, "a": 1,
            "constraints": {"regions": [], "min_success_rate": 0}
        });
        let expected = r#"{"a":1,"b":{"signature":"kept"},"constraints":{"regions":[]}}"#;
        assert_eq!(signed_text(spec.as_object().unwrap()), expected);
        both_agree(&[spec.to_string()]);
    }

    #[test]
    fn strings_names_and_numbers_are_written_as_javascript_writes_them() {
        let numbers = "[600000000000, 1e21, 1e20, 123456789012345680000, 0.1, 0.67, 1.0, -0, -0.0, 0.000001, 1e-7, \
                       -1.5e-10, 5e-324, 1.7976931348623157e308, 9007199254740993, 18446744073709551615, \
                       -9223372036854775808, 100000000000000000000000, 1.25e300, 4.35, 0.30000000000000004, 95695936005608.125]";
        let strings = json!({
            "html": "& < > ' \"", "line": "\u{2028}\u{2029}", "low": "\u{0}\u{1f}\u{7f}\u{8}\t\n\u{b}\u{c}\r\\/",
            "empty": ["", {}, [], null, false], "far": "\u{1f600}\u{ffff}\u{e000}"
        });
        let names = "{\"\u{1f600}\": 1, \"\u{ffff}\": 2, \"\u{e000}\": 3, \"z\": 4, \"Z\": 5, \"\": 6, \"10\": 7, \"9\": 8, \
                     \"010\": 9, \"4294967294\": 10, \"4294967295\": 11, \"-1\": 12, \"1.5\": 13, \"\u{e9}\": 14}";
        both_agree(&[
            format!("{{\"numbers\":{numbers}}}"),
            strings.to_string(),
            names.to_owned(),
            "{\"a\": 1, \"b\": 2, \"a\": 3}".to_owned(),
        ]);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
            (-400..400_i32, any::<u32>())
                .prop_map(|(exponent, digits)| format!("{digits}e{exponent}").parse::<f64>().unwrap())
                .prop_filter("finite", |number| number.is_finite())
                .prop_map(Value::from),
            // Where two shortest texts are as close.
            (any::<u64>(), 0..64_u32, 0..16_u32).prop_map(|(number, shift, part)| {
                Value::from((number >> shift) as f64 + f64::from(part) / 16.0)
            }),
            any::<String>().prop_map(Value::from),
            "[&<>\"\\\\/\u{0}-\u{20}\u{7f}-\u{9f}\u{2028}\u{2029}\u{ff00}-\u{ffff}]{0,6}"
                .prop_map(Value::from),
        ];
        let name = prop_oneof!["[0-9]{1,3}", "[a-cA-C\u{e000}\u{1f600}\u{ffff}]{0,3}", any::<String>()];
        leaf.prop_recursive(4, 40, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(name.clone(), inner, 0..6)
                    .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
            ]
        })
    }

    #[test]
    fn whatever_is_signed_has_the_text_that_javascript_gives_it() {
        let mut runner = TestRunner::deterministic();
        let texts: Vec<String> = (0..3000)
            .map(|_| json!({ "spec": any_json().new_tree(&mut runner).unwrap().current() }).to_string())
            .collect();
        both_agree(&texts);
    }
}
