//! All states of all pages over a house in memory, to look at: `cargo run -p web --example preview [PORT]`.

mod memory;

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(8089);
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://{}/", listener.local_addr()?);
    for (token, what) in memory::PAGES {
        println!("  /pay/{token}  {what}");
    }
    let (_stop, stopped) = watch::channel(false);
    tokio::select! {
        served = web::serve(listener, None, Arc::new(memory::House::new(true)), stopped) => served,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}
