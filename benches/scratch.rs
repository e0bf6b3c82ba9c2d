//! scratch
#[path = "support/file.rs"]
mod file;
#[path = "support/measure.rs"]
mod measure;
use measure::{Result, now};
use sqlx::ConnectOptions;
use sqlx::sqlite::*;
use futures_util::TryStreamExt;
fn main() -> Result<()> {
    let rt = file::runtime()?;
    rt.block_on(async { tokio::spawn(async {
        let folder = file::folder()?;
        let mut c = SqliteConnectOptions::new().filename(folder.path().join("x.db")).create_if_missing(true).journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full).disable_statement_logging().connect().await?;
        sqlx::raw_sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v INTEGER); INSERT INTO t VALUES (1,0); CREATE TABLE u(id INTEGER PRIMARY KEY, v INTEGER); INSERT INTO u VALUES (1,0);CREATE TABLE v(id INTEGER PRIMARY KEY, v INTEGER); INSERT INTO v VALUES (1,0);CREATE TABLE f(b)").execute(&mut c).await?;
        sqlx::query("INSERT INTO f VALUES (zeroblob(5000000))").execute(&mut c).await?;
        let up = "UPDATE t SET v = v + 1 WHERE id = 1";
        let sel = "SELECT v FROM t WHERE id = 1";
        let scripts: Vec<(&str, Vec<String>)> = vec![
            ("update", vec![up.into()]),
            ("begin;update;commit", vec![format!("BEGIN IMMEDIATE; {up}; COMMIT")]),
            ("begin;update;4 sel no rows;commit", vec![format!("BEGIN IMMEDIATE; {up}; {n}; {n}; {n}; {n}; COMMIT", n = "SELECT v FROM t WHERE id = 2")]),
            ("begin;update;8 sel no rows;commit", vec![format!("BEGIN IMMEDIATE; {up}; {n}; {n}; {n}; {n}; {n}; {n}; {n}; {n}; COMMIT", n = "SELECT v FROM t WHERE id = 2")]),
            ("begin;sel | update; commit", vec![format!("BEGIN IMMEDIATE; {sel}"), format!("{up}; COMMIT")]),
            ("begin| sel | update | commit", vec!["BEGIN IMMEDIATE".into(), sel.into(), up.into(), "COMMIT".into()]),
            ("3 tables", vec![format!("BEGIN IMMEDIATE; {up}; UPDATE u SET v = v + 1; UPDATE v SET v=v+1; COMMIT")]),
        ];
        let scripts: Vec<(&str, Vec<&'static str>)> = scripts.into_iter().map(|(n, v)| (n, v.into_iter().map(|s| &*Box::leak(s.into_boxed_str())).collect())).collect();
        let mut times = vec![Vec::new(); scripts.len()];
        for _ in 0..2000 {
            for (k, (_, script)) in scripts.iter().enumerate() {
                let s = now();
                for sql in script {
                    let mut st = sqlx::query(*sql).fetch_many(&mut c);
                    while let Some(_) = st.try_next().await? {}
                }
                times[k].push(s.elapsed());
            }
        }
        for ((n, _), t) in scripts.iter().zip(&mut times) { t.sort(); println!("{n:40} p10 {:?} p50 {:?} p90 {:?}", t[t.len()/10], t[t.len()/2], t[t.len()*9/10]); }
        Result::Ok(())
    }).await })?
}
