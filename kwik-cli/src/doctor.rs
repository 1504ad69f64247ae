//! `kwik doctor`: whether this machine is fit to serve and to fetch.

mod clock;
mod files;
mod sockets;

use std::io;

use serde_json::json;

use crate::cause::Told;
use crate::cli::DoctorArgs;
use crate::finding::{self, Finding};
use crate::get::print;

/// Looks at the machine, prints what was found, and fails if something does not work.
pub(crate) fn run(args: &DoctorArgs) -> anyhow::Result<()> {
    let findings = examine(args);
    let cause = finding::cause(&findings);
    let text = match args.json {
        true => {
            let status = cause.map_or(0, |cause| cause.status());
            json!({ "findings": findings, "status": status }).to_string()
        }
        false => finding::to_text(&findings),
    };
    print(io::stdout(), &text)?;
    cause.map_or(Ok(()), |cause| Err(Told(cause).into()))
}

fn examine(args: &DoctorArgs) -> Vec<Finding> {
    let mut findings = vec![
        sockets::receive_buffer(),
        sockets::send_buffer(),
        sockets::segmentation(),
        sockets::coalescing(),
        sockets::port(args.listen),
        files::descriptors(),
        clock::steadiness(),
        files::state(args.state.as_deref()),
    ];
    findings.extend(files::certificate(args.state.as_deref()));
    findings.extend(args.key.iter().map(|key| files::key(key)));
    findings
}
