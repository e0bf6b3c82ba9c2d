//! A wallet that really signs: what the page asks of it is answered from here.

use k256::ecdsa::SigningKey;
use serde_json::{Value, json};
use sha3::{Digest, Keccak256};

use crate::driver::browser;
use crate::page::Page;
use crate::support::{Place, Runner, request};

/// An account.
#[derive(Debug)]
pub(crate) struct Wallet {
    key: SigningKey,
    pub(crate) address: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.strip_prefix("0x").expect("hex");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

impl Wallet {
    pub(crate) fn new(seed: u8) -> Self {
        let key = SigningKey::from_slice(&[seed; 32]).unwrap();
        let point = key.verifying_key().to_sec1_point(false);
        let address = format!("0x{}", hex(&Keccak256::digest(&point.as_bytes()[1..])[12..]));
        Self { key, address }
    }

    fn sign(&self, message: &[u8]) -> String {
        let mut hash = Keccak256::new();
        hash.update(format!("\x19Ethereum Signed Message:\n{}", message.len()));
        hash.update(message);
        let (signature, v) = self.key.sign_prehash_recoverable(&hash.finalize());
        format!("0x{}{:02x}", hex(&signature.normalize_s().to_bytes()), v.to_byte() + 27)
    }

    /// Waits for the page's next question, expects it to be of this method, and returns its parameters.
    async fn asked(&self, page: &Page, method: &str) -> Value {
        let script =
            "const [one] = t.asked; return one ? {method: one.method, params: one.params ?? []} : null";
        let asked = page.until(method, script).await;
        assert_eq!(asked["method"], method);
        asked["params"].clone()
    }

    async fn answer(&self, page: &Page, answer: Value) {
        page.run("t.asked.shift().resolve(arguments[0])", &[answer]).await;
    }

    /// Signs in to the portal that is open. Returns the session's token.
    pub(crate) async fn sign_in(&self, page: &Page) -> String {
        page.click("return document.getElementById('wallet')").await;
        self.asked(page, "eth_requestAccounts").await;
        self.answer(page, json!([self.address])).await;
        let params = self.asked(page, "personal_sign").await;
        assert_eq!(params[1], self.address);
        let message = unhex(params[0].as_str().unwrap());
        self.answer(page, json!(self.sign(&message))).await;
        page.until("signed in", "return t.shown(document.getElementById('work'))").await;
        page.get("return sessionStorage.getItem('beacon-token')").await.as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_wallet_signs_in_and_out_and_sees_its_own_jobs_alone() {
    let place = Place::new();
    let runner = Runner::start(&place, &[]).await;
    let job =
        json!({"id": "the-admins", "executions": [{"executor": "process", "input": {"command": ["true"]}}]});
    runner.submit(&place, &job).await;
    browser("wallet", async |page| {
        page.go(&runner.url).await;
        let wallet = Wallet::new(7);
        let token = wallet.sign_in(page).await;
        let who = page.get("return document.getElementById('who-name').title").await;
        assert_eq!(who, wallet.address.as_str());
        page.until("an empty list", "return t.shown(document.getElementById('no-jobs'))").await;
        let path = "/api/v1/jobs";
        assert_eq!(request(&runner.url, "GET", path, Some(&token), "").await.unwrap().0, 200);
        page.click("return document.getElementById('sign-out')").await;
        page.until("signed out", "return t.shown(document.getElementById('sign-in'))").await;
        assert_eq!(page.get("return sessionStorage.length").await, 0);
        assert_eq!(
            request(&runner.url, "GET", path, Some(&token), "").await.unwrap().0,
            401,
            "the session has ended"
        );
    })
    .await;
}

#[tokio::test]
async fn who_declines_in_the_wallet_is_told_so_and_may_try_again() {
    let place = Place::new();
    let runner = Runner::start(&place, &[]).await;
    browser("declined", async |page| {
        page.go(&runner.url).await;
        let wallet = Wallet::new(8);
        page.click("return document.getElementById('wallet')").await;
        wallet.asked(page, "eth_requestAccounts").await;
        page.get("t.asked.shift().reject(Object.assign(new Error('no'), {code: 4001}))").await;
        let problem = "const note = document.getElementById('sign-in-problem'); return t.shown(note) && note.textContent";
        assert_eq!(page.until("a word", problem).await, "You declined in the wallet.");
        wallet.sign_in(page).await;
    })
    .await;
}

#[tokio::test]
async fn a_signature_of_another_account_is_refused_in_words() {
    let place = Place::new();
    let runner = Runner::start(&place, &[]).await;
    browser("forged", async |page| {
        page.go(&runner.url).await;
        let (wallet, other) = (Wallet::new(9), Wallet::new(10));
        page.click("return document.getElementById('wallet')").await;
        wallet.asked(page, "eth_requestAccounts").await;
        wallet.answer(page, json!([wallet.address])).await;
        let params = wallet.asked(page, "personal_sign").await;
        wallet.answer(page, json!(other.sign(&unhex(params[0].as_str().unwrap())))).await;
        let problem = "const note = document.getElementById('sign-in-problem'); return t.shown(note) && note.textContent";
        let told = page.until("a refusal", problem).await;
        assert!(told.as_str().unwrap().starts_with("Sign-in refused. Signature: is not by"), "{told}");
        assert_eq!(page.get("return sessionStorage.length").await, 0);
    })
    .await;
}
