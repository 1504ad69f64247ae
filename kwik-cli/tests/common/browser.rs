//! A headless Chromium, spoken to by its DevTools protocol.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::wait_until;

/// A browser with one page. Killed when dropped.
pub struct Browser {
    _process: Process,
    socket: TcpStream,
    next: u64,
}

struct Process(Child);

impl Browser {
    /// Opens a page; `None`, with a word on standard error, where there is no Chromium. Its profile is below `dir`.
    pub fn open(dir: &Path, url: &str) -> Option<Self> {
        let Ok(child) = Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--hide-scrollbars", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", dir.display()))
            .arg(url)
            .env("HOME", dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
        else {
            eprintln!("SKIPPED: there is no chromium here");
            return None;
        };
        let process = Process(child);
        let mut port = None;
        wait_until("the browser's port", || {
            let told = fs::read_to_string(dir.join("DevToolsActivePort")).unwrap_or_default();
            port = told.lines().next().and_then(|line| line.parse::<u16>().ok());
            port.is_some()
        });
        let port = port.unwrap();
        let mut target = None;
        wait_until("the browser's page", || {
            let pages: Value = serde_json::from_str(&http(port, "/json/list")).unwrap_or_default();
            let page = pages.as_array().and_then(|all| all.iter().find(|it| it["type"] == "page"));
            target = page.and_then(|page| page["id"].as_str().map(str::to_owned));
            target.is_some()
        });
        let path = format!("/devtools/page/{}", target.unwrap());
        Some(Self { _process: process, socket: upgrade(port, &path), next: 0 })
    }

    /// Runs a command of the protocol; its result.
    pub fn command(&mut self, method: &str, params: &Value) -> Value {
        self.next += 1;
        let id = self.next;
        let text = json!({ "id": id, "method": method, "params": params }).to_string();
        self.send(text.as_bytes());
        loop {
            let message: Value = serde_json::from_slice(&self.receive()).unwrap();
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
        }
    }

    /// The value of an expression.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true });
        self.command("Runtime.evaluate", &params)["result"]["value"].clone()
    }

    /// Shows the page in a window of that size, in that scheme.
    pub fn show_as(&mut self, width: u32, height: u32, scheme: &str) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.command("Emulation.setDeviceMetricsOverride", &size);
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.command("Emulation.setEmulatedMedia", &media);
    }

    /// Writes a PNG of what is shown.
    pub fn shoot(&mut self, file: &Path) {
        let shot = self.command("Page.captureScreenshot", &json!({ "format": "png" }));
        fs::write(file, from_base64(shot["data"].as_str().unwrap())).unwrap();
    }

    /// A text frame (RFC 6455, 5.2). Clients have to mask; the mask may be 0.
    fn send(&mut self, text: &[u8]) {
        let mut frame = vec![0x81, 0x80 | 127];
        frame.extend((text.len() as u64).to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(text);
        self.socket.write_all(&frame).unwrap();
    }

    /// The next message, whatever frames it is in.
    fn receive(&mut self) -> Vec<u8> {
        let mut message = Vec::new();
        loop {
            let [first, second] = self.bytes();
            let length = match second & 0x7f {
                126 => u16::from_be_bytes(self.bytes()).into(),
                127 => u64::from_be_bytes(self.bytes()),
                short => short.into(),
            };
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.socket.read_exact(&mut payload).unwrap();
            // Control frames may come in between.
            if first & 0x08 == 0 {
                message.extend(payload);
                if first & 0x80 != 0 {
                    return message;
                }
            }
        }
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.socket.read_exact(&mut bytes).unwrap();
        bytes
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn connect(port: u16) -> TcpStream {
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket
}

fn http(port: u16, path: &str) -> String {
    let mut socket = connect(port);
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    // One that has just begun may close the connection: it is asked again.
    let _ = socket.write_all(request.as_bytes());
    let _ = socket.set_read_timeout(Some(Duration::from_secs(1)));
    let _ = socket.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned())
}

fn upgrade(port: u16, path: &str) -> TcpStream {
    let mut socket = connect(port);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    socket
}

fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in text.bytes().filter(|digit| *digit != b'=') {
        let value = DIGITS.iter().position(|known| *known == digit).unwrap();
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    bytes
}
