//! Text for people.

use std::io::{self, Write as _};

use crate::exit::Exit;

/// Writes a line to stdout.
///
/// When the reader has gone away there is nobody to tell, and the program ends quietly.
pub(crate) fn line(text: &str) -> Result<(), Exit> {
    writeln!(io::stdout().lock(), "{text}").map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Exit::failed(""),
        _ => Exit::failed(format!("stdout cannot be written: {error}")),
    })
}

/// Writes a line to stderr, if it can be written.
pub(crate) fn to_stderr(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Rows as columns of equal width, two spaces apart.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self { rows: vec![headings.map(str::to_owned).to_vec()] }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| plain(&cell)).to_vec());
    }

    /// The lines of the table.
    pub(crate) fn lines(&self) -> Vec<String> {
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
        };
        let widths: Vec<usize> = (0..).map_while(width).collect();
        let pad = |(cell, width): (&String, &usize)| format!("{cell:width$}");
        self.rows
            .iter()
            .map(|row| row.iter().zip(&widths).map(pad).collect::<Vec<_>>().join("  ").trim_end().to_owned())
            .collect()
    }
}

/// Text that came from elsewhere, without anything that a terminal would obey.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The beginning of a text, marked if there was more.
pub(crate) fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_control_characters_do_not_reach_the_terminal() {
        let mut table = Table::new(["A", "LONG", "C"]);
        table.row(["xyz".to_owned(), "1".to_owned(), "\u{1b}[2Jé".to_owned()]);
        assert_eq!(table.lines(), ["A    LONG  C", "xyz  1      [2Jé"]);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(short("héllo", 2), "hé…");
        assert_eq!(short("héllo", 5), "héllo");
    }
}
