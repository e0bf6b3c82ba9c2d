//! Signing in with a wallet.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use beacon_jobs::clock::Clock;
use beacon_jobs::store::sqlite::SqliteStore;
use beacon_jobs::store::{JobStore, MemoryStore, SessionStore};
use beacon_jobs_http::{WalletSignIn, WalletSignInBuilder};
use k256::ecdsa::SigningKey;
use serde_json::{Value, json};
use sha3::{Digest, Keccak256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::support::stores::server;
use crate::support::{Ask, Reply, World};

const URL: &str = "https://portal.example";

/// An account and its key.
struct Wallet {
    key: SigningKey,
}

impl Wallet {
    fn new(seed: u8) -> Self {
        Self { key: SigningKey::from_slice(&[seed; 32]).unwrap() }
    }

    fn address(&self) -> String {
        let point = self.key.verifying_key().to_sec1_point(false);
        let hash = Keccak256::digest(&point.as_bytes()[1..]);
        format!("0x{}", hex(&hash[12..]))
    }

    fn sign(&self, text: &str) -> String {
        let mut hash = Keccak256::new();
        hash.update(format!("\x19Ethereum Signed Message:\n{}{text}", text.len()));
        let (signature, v) = self.key.sign_prehash_recoverable(&hash.finalize());
        let signature = signature.normalize_s();
        format!("0x{}{:02x}", hex(&signature.to_bytes()), v.to_byte() + 27)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A message in the making.
#[derive(Clone)]
struct Message {
    domain: String,
    address: String,
    uri: String,
    version: String,
    chain_id: String,
    nonce: String,
    issued_at: OffsetDateTime,
    rest: String,
}

impl Message {
    fn text(&self) -> String {
        let Self { domain, address, uri, version, chain_id, nonce, rest, .. } = self;
        let issued_at = self.issued_at.format(&Rfc3339).unwrap();
        format!(
            "{domain} wants you to sign in with your Ethereum account:\n{address}\n\nSign in to the portal.\n\n\
             URI: {uri}\nVersion: {version}\nChain ID: {chain_id}\nNonce: {nonce}\nIssued At: {issued_at}{rest}"
        )
    }
}

fn with_wallet(jobs: Arc<dyn JobStore>, sessions: impl SessionStore) -> World {
    with(jobs, sessions, |builder| builder)
}

fn with(
    jobs: Arc<dyn JobStore>,
    sessions: impl SessionStore,
    set: impl FnOnce(WalletSignInBuilder) -> WalletSignInBuilder,
) -> World {
    let wallet = set(WalletSignIn::builder(sessions, URL)).build().unwrap();
    World::over(jobs, |builder| builder.wallet(wallet))
}

fn on_memory() -> World {
    let store = MemoryStore::new();
    with_wallet(Arc::new(store.clone()), store)
}

fn post(path: &str) -> Ask {
    Ask::post(format!("/api/v1/auth/{path}")).nameless()
}

/// A message of this wallet that will be taken.
async fn message(world: &World, wallet: &Wallet) -> Message {
    let nonce = world.send(post("nonce")).await.ok(200);
    Message {
        domain: "portal.example".to_owned(),
        address: wallet.address(),
        uri: format!("{URL}/jobs"),
        version: "1".to_owned(),
        chain_id: "1".to_owned(),
        nonce: nonce["nonce"].as_str().unwrap().to_owned(),
        issued_at: beacon_jobs::clock::SystemClock.now(),
        rest: String::new(),
    }
}

async fn sign_in(world: &World, wallet: &Wallet, message: &Message) -> Reply {
    let text = message.text();
    show(world, &text, &wallet.sign(&text)).await
}

async fn show(world: &World, message: &str, signature: &str) -> Reply {
    world.send(post("session").json(&json!({ "message": message, "signature": signature }))).await
}

fn with_token(ask: Ask, session: &Value) -> Ask {
    ask.nameless().header("authorization", format!("Bearer {}", session["token"].as_str().unwrap()))
}

async fn whoever_signs_in_owns_what_it_submits(world: World, elsewhere: World) {
    let wallet = Wallet::new(7);
    let session = sign_in(&world, &wallet, &message(&world, &wallet).await).await.ok(200);
    assert_eq!(session["address"], wallet.address());
    assert_eq!(session["token"].as_str().unwrap().len(), 43);
    assert!(OffsetDateTime::parse(session["expires_at"].as_str().unwrap(), &Rfc3339).is_ok());
    let job = json!({ "id": "mine", "executions": [{ "executor": "work" }] });
    world.send(with_token(Ask::post("/api/v1/jobs").json(&job), &session)).await.ok(201);
    let theirs = world.submit(1).await;
    world.send(with_token(Ask::cancel(&theirs), &session)).await.problem(403, "forbidden");
    world.send(Ask::cancel("mine").by("bob")).await.problem(403, "forbidden");

    // The same account signs in elsewhere, with its address in other letters.
    let mut again = message(&elsewhere, &wallet).await;
    again.address = format!("0x{}", wallet.address()[2..].to_uppercase());
    let other = sign_in(&elsewhere, &wallet, &again).await.ok(200);
    assert_ne!(other["token"], session["token"]);
    let answer = elsewhere.send(with_token(Ask::cancel("mine"), &other)).await.ok(200);
    assert_eq!(answer["cancelled_by"], wallet.address());
    world.send(with_token(Ask::get("/api/v1/jobs/mine"), &other)).await.ok(200);

    let out = || Ask::new(Method::DELETE, "/api/v1/auth/session");
    let reply = elsewhere.send(with_token(out(), &session)).await;
    assert_eq!((reply.status.as_u16(), reply.body), (204, Value::Null));
    for world in [&world, &elsewhere] {
        world.send(with_token(Ask::get("/api/v1/jobs"), &session)).await.problem(401, "unauthenticated");
        world.send(with_token(out(), &session)).await.problem(401, "unauthenticated");
        world.send(with_token(Ask::get("/api/v1/jobs"), &other)).await.ok(200);
    }
    world.send(out().nameless()).await.problem(401, "unauthenticated");
    world.send(out().by("alice")).await.problem(401, "unauthenticated");
    world.send(Ask::get("/api/v1/jobs")).await.ok(200);
}

#[tokio::test]
async fn whoever_signs_in_owns_what_it_submits_on_memory() {
    let store = MemoryStore::new();
    let world = || with_wallet(Arc::new(store.clone()), store.clone());
    whoever_signs_in_owns_what_it_submits(world(), world()).await;
}

#[tokio::test]
async fn whoever_signs_in_owns_what_it_submits_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let mut worlds = Vec::new();
    for _ in 0..2 {
        let store = SqliteStore::open(folder.path().join("jobs.db")).await.unwrap();
        store.migrate().await.unwrap();
        worlds.push(with_wallet(Arc::new(store.clone()), store));
    }
    whoever_signs_in_owns_what_it_submits(worlds.remove(0), worlds.remove(0)).await;
}

#[tokio::test]
async fn whoever_signs_in_owns_what_it_submits_on_postgres() {
    let schema = server::schema();
    let mut worlds = Vec::new();
    for _ in 0..2 {
        let store = server::store(&schema).await;
        worlds.push(with_wallet(Arc::new(store.clone()), store));
    }
    whoever_signs_in_owns_what_it_submits(worlds.remove(0), worlds.remove(0)).await;
}

#[tokio::test]
async fn a_proof_is_good_for_one_session() {
    let world = on_memory();
    let wallet = Wallet::new(7);
    let message = message(&world, &wallet).await;
    sign_in(&world, &wallet, &message).await.ok(200);
    let again = sign_in(&world, &wallet, &message).await.problem(401, "sign_in_refused");
    assert_eq!(again["field"], "nonce");
    let mut made_up = message.clone();
    made_up.nonce = "0123456789abcdef0123456789abcdef".to_owned();
    assert_eq!(sign_in(&world, &wallet, &made_up).await.problem(401, "sign_in_refused")["field"], "nonce");
    let elsewhere = on_memory();
    let foreign = self::message(&elsewhere, &wallet).await;
    assert_eq!(sign_in(&world, &wallet, &foreign).await.problem(401, "sign_in_refused")["field"], "nonce");
}

#[tokio::test]
async fn each_part_of_a_message_must_be_of_this_server_and_of_now() {
    let world = on_memory();
    let wallet = Wallet::new(7);
    let good = message(&world, &wallet).await;
    let issued_at = good.issued_at;
    let at = |offset: i64| (issued_at + time::Duration::seconds(offset)).format(&Rfc3339).unwrap();
    let (soon, past) = (at(3600), at(-1));
    type Change<'a> = &'a dyn Fn(&mut Message);
    let changes: [(&str, Change<'_>); 16] = [
        ("domain", &|it| it.domain = "evil.example".to_owned()),
        ("domain", &|it| it.domain = "portal.example.evil.example".to_owned()),
        ("domain", &|it| it.domain = "portal.example:8443".to_owned()),
        ("domain", &|it| it.domain = "http://portal.example".to_owned()),
        ("uri", &|it| it.uri = "https://evil.example/jobs".to_owned()),
        ("uri", &|it| it.uri = "http://portal.example/jobs".to_owned()),
        ("uri", &|it| it.uri = "https://portal.example.evil.example/".to_owned()),
        ("uri", &|it| it.uri = "https://portal.example@evil.example/".to_owned()),
        ("uri", &|it| it.uri = "urn:portal.example".to_owned()),
        ("version", &|it| it.version = "2".to_owned()),
        ("chain_id", &|it| it.chain_id = "137".to_owned()),
        ("issued_at", &|it| it.issued_at += Duration::from_secs(300)),
        ("issued_at", &|it| it.issued_at -= Duration::from_secs(600)),
        ("expiration_time", &|it| it.rest = format!("\nExpiration Time: {past}")),
        ("not_before", &|it| it.rest = format!("\nNot Before: {soon}")),
        ("signature", &|it| it.address = Wallet::new(8).address()),
    ];
    for (field, change) in changes {
        let mut bad = good.clone();
        change(&mut bad);
        let problem = sign_in(&world, &wallet, &bad).await.problem(401, "sign_in_refused");
        assert_eq!(problem["field"], field, "{}", bad.text());
    }
    // A signature of another message, of another account, and one that was changed.
    let text = good.text();
    let other = Message { nonce: "0123456789".to_owned(), ..good.clone() }.text();
    let own = wallet.sign(&text);
    let turned = format!("{}{}", &own[..130], if own.ends_with("1b") { "1c" } else { "1b" });
    for signature in [wallet.sign(&other), Wallet::new(8).sign(&text), turned] {
        let problem = show(&world, &text, &signature).await.problem(401, "sign_in_refused");
        assert_eq!(problem["field"], "signature");
    }
    // No refusal has used up the nonce.
    let mut good = good;
    good.domain = "https://Portal.Example".to_owned();
    good.uri = URL.to_owned();
    good.rest =
        format!("\nExpiration Time: {soon}\nNot Before: {past}\nRequest ID: 7\nResources:\n- {URL}/tos");
    let session = sign_in(&world, &wallet, &good).await.ok(200);
    assert!(
        session["expires_at"].as_str().unwrap() <= at(3601).as_str(),
        "the message's end is the session's"
    );
}

#[tokio::test]
async fn what_is_no_message_and_no_signature_is_refused_in_the_written_order() {
    let world = on_memory();
    let wallet = Wallet::new(7);
    let text = message(&world, &wallet).await.text();
    let signature = wallet.sign(&text);
    world.send(post("session").raw(" ".repeat(1024 * 1024 + 1))).await.problem(413, "body_too_large");
    world.send(post("session").raw("{}")).await.problem(415, "unsupported_media_type");
    let typed = post("session").header("content-type", "application/json");
    world.send(typed.clone().raw("{")).await.problem(400, "malformed_body");
    world.send(typed.raw("[]")).await.problem(422, "invalid_request");
    let long = "x".repeat(20_000);
    for (body, field) in [
        (json!({ "signature": signature }), "message"),
        (json!({ "message": text }), "signature"),
        (json!({ "message": 7, "signature": signature }), "message"),
        (json!({ "message": long, "signature": signature }), "message"),
        (json!({ "message": "hello", "signature": signature }), "message"),
        (json!({ "message": format!("{text}\n"), "signature": signature }), "message"),
        (json!({ "message": text, "signature": "0x" }), "signature"),
        (json!({ "message": text, "signature": format!("{signature}00") }), "signature"),
        (json!({ "message": text, "signature": signature, "address": wallet.address() }), "address"),
    ] {
        let problem = world.send(post("session").json(&body)).await.problem(422, "invalid_request");
        assert_eq!(problem["field"], field, "{body}");
        assert!(problem["error"].as_str().unwrap().len() < 300, "{problem}");
    }
    world
        .send(post("nonce").json(&json!({ "address": wallet.address() })))
        .await
        .problem(422, "invalid_request");
    world.send(post("nonce").json(&json!({}))).await.ok(200);
    world.send(Ask::get("/api/v1/auth/nonce")).await.problem(405, "method_not_allowed");
    show(&world, &text, &signature).await.ok(200);
}

#[tokio::test]
async fn where_no_wallet_is_set_up_there_is_no_such_route() {
    let world = World::new();
    for path in ["nonce", "session"] {
        let ask = post(path).json(&json!({ "message": "m", "signature": "s" }));
        let reply = world.send(ask).await;
        assert!([404, 422].contains(&reply.status.as_u16()), "{reply:?}");
    }
    world.send(post("nonce")).await.problem(404, "route_not_found");
}

#[tokio::test]
async fn a_session_ends_by_itself_and_a_nonce_too() {
    use crate::support::TokioClock;

    tokio::time::pause();
    let clock = Arc::new(TokioClock::new());
    let store = MemoryStore::with_clock(Arc::clone(&clock) as _);
    let world = with(Arc::new(store.clone()), store, |wallet| {
        wallet.clock(Arc::clone(&clock) as _).session_lifetime(Duration::from_secs(3600))
    });
    let wallet = Wallet::new(7);
    let now = |clock: &TokioClock| clock.now();
    let mut late = message(&world, &wallet).await;
    let mut good = message(&world, &wallet).await;
    good.issued_at = now(&clock);
    let session = sign_in(&world, &wallet, &good).await.ok(200);
    tokio::time::advance(Duration::from_secs(301)).await;
    late.issued_at = now(&clock);
    assert_eq!(sign_in(&world, &wallet, &late).await.problem(401, "sign_in_refused")["field"], "nonce");
    let ask = with_token(Ask::get("/api/v1/jobs"), &session);
    world.send(ask.clone()).await.ok(200);
    tokio::time::advance(Duration::from_secs(3300)).await;
    world.send(ask).await.problem(401, "unauthenticated");
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_events_ends_with_its_session() {
    use crate::support::Events;

    let world = on_memory();
    let wallet = Wallet::new(7);
    let mut sessions = Vec::new();
    for _ in 0..2 {
        sessions.push(sign_in(&world, &wallet, &message(&world, &wallet).await).await.ok(200));
    }
    let job = json!({ "id": "mine", "executions": [{ "executor": "work" }] });
    world.send(with_token(Ask::post("/api/v1/jobs").json(&job), &sessions[0])).await.ok(201);
    let mut streams = Vec::new();
    for session in &sessions {
        let ask = with_token(Ask::get("/api/v1/jobs/mine/events"), session);
        let mut stream = Events::of(&world.router, ask).await;
        assert_eq!(stream.next().await.unwrap().name, "job");
        streams.push(stream);
    }
    let out = Ask::new(Method::DELETE, "/api/v1/auth/session");
    assert_eq!(world.send(with_token(out, &sessions[0])).await.status.as_u16(), 204);
    let other = streams.pop().unwrap();
    assert_eq!(streams.pop().unwrap().next().await, None, "it has ended before anything was told");
    world.send(with_token(Ask::cancel("mine"), &sessions[1])).await.ok(200);
    assert_eq!(other.rest().await.last().unwrap().data["status"], "cancelled");
}

#[test]
fn settings_that_cannot_be_are_refused_by_name() {
    let build = |url: &str, set: fn(WalletSignInBuilder) -> WalletSignInBuilder| {
        set(WalletSignIn::builder(MemoryStore::new(), url))
            .build()
            .map(drop)
            .map_err(|error| error.field().map(str::to_owned))
    };
    let refused = |field: &str| Err(Some(field.to_owned()));
    for url in [
        "",
        "portal.example",
        "https://portal.example/",
        "https://Portal.example",
        "https://portal.example:443",
    ] {
        assert_eq!(build(url, |it| it), refused("public_url"), "{url}");
    }
    assert_eq!(build(URL, |it| it.chain_ids([])), refused("chain_ids"));
    assert_eq!(build(URL, |it| it.nonce_lifetime(Duration::from_secs(5))), refused("nonce_lifetime"));
    assert_eq!(build(URL, |it| it.session_lifetime(Duration::from_secs(5))), refused("session_lifetime"));
    assert_eq!(build("http://127.0.0.1:8080", |it| it.chain_ids([1, 137])), Ok(()));
}
