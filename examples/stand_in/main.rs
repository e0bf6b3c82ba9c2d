//! The stand-in as a process of its own, and a relay by which a process without a network reaches it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use stand_in::{Door, Floor, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, UnixListener, UnixStream};

/// Plays a provider, for tests.
#[derive(Debug, Parser)]
#[command(name = "stand-in")]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// End when stdin ends: with whoever holds its other side.
    #[arg(long, global = true)]
    while_stdin: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play the provider.
    Serve {
        /// The port on 127.0.0.1; 0 picks a free one. The address is printed.
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// A socket in the file system to listen on as well.
        #[arg(long)]
        socket: Option<PathBuf>,
    },
    /// Take connections on 127.0.0.1 and pass them on to a socket in the file system.
    Relay {
        /// The port on 127.0.0.1.
        #[arg(long)]
        port: u16,
        /// The socket.
        #[arg(long)]
        to: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever started it may be gone.
            let _ = tokio::io::stderr().write_all(format!("stand-in: {error}\n").as_bytes()).await;
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> io::Result<()> {
    let work = async {
        match cli.command {
            Command::Serve { port, socket } => play(port, socket).await,
            Command::Relay { port, to } => relay(port, to).await,
        }
    };
    let ended = async {
        if !cli.while_stdin {
            return std::future::pending().await;
        }
        let mut bytes = [0; 64];
        while tokio::io::stdin().read(&mut bytes).await? > 0 {}
        Ok(())
    };
    tokio::select! {
        ended = ended => ended,
        worked = work => worked,
    }
}

async fn listen(port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

async fn say(line: &str) -> io::Result<()> {
    let mut stdout = tokio::io::stdout();
    stdout.write_all(format!("{line}\n").as_bytes()).await?;
    stdout.flush().await
}

async fn play(port: u16, socket: Option<PathBuf>) -> io::Result<()> {
    let floor = Floor::new();
    let (listener, address) = listen(port).await?;
    let beside = match socket {
        Some(path) => Some(serve(Door::Unix(UnixListener::bind(path)?), Arc::clone(&floor))),
        None => None,
    };
    say(&format!("listening on http://{address}")).await?;
    let beside = async {
        match beside {
            Some(beside) => beside.await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        served = serve(Door::Tcp(listener), floor) => served,
        served = beside => served,
    }
}

async fn relay(port: u16, to: PathBuf) -> io::Result<()> {
    let (listener, address) = listen(port).await?;
    say(&format!("relaying from {address}")).await?;
    loop {
        let (mut near, _) = listener.accept().await?;
        let to = to.clone();
        tokio::spawn(async move {
            // An end that hangs up ends the other one too.
            if let Ok(mut far) = UnixStream::connect(to).await {
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}
