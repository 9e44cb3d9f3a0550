//! `callmask check`

use serde_json::json;

use super::output::Output;
use super::{Done, system};
use crate::api::{check_sound, refusal};
use crate::config::Config;
use crate::config::capacity::{Capacity, descriptor_limit};

/// Shows what the configuration amounts to, and refuses what this machine cannot serve.
pub(super) fn run(config: &Config, out: Output) -> Done {
    let limit = descriptor_limit().map_err(|e| system(&e))?;
    let capacity = Capacity::of(config, limit);
    if let Some(file) = &config.announcement.file {
        check_sound(file).map_err(|why| {
            let message = format!("[announcement] file: {why}");
            refusal(
                "announcement_file",
                message,
                "name a WAV file of 8 kHz, mono, 16 bit",
            )
        })?;
    }
    let warnings = config.warnings();
    let listen: Vec<String> = config
        .sip
        .listen
        .iter()
        .map(|a| format!("udp:{a}"))
        .collect();
    let trunks: Vec<&str> = config.trunks.iter().map(|t| t.name.as_str()).collect();
    let media: Vec<String> = config.media.listen.iter().map(|a| a.to_string()).collect();
    out.object(&json!({
        "file": config.file.as_ref().map(|f| f.display().to_string()),
        "sip": listen,
        "api": config.api.listen.to_string(),
        "media": media,
        "ports": format!("{}-{}", config.media.first_port, config.media.last_port),
        "trunks": trunks,
        "store": config.store.path.display().to_string(),
        "port_pairs": capacity.port_pairs,
        "calls_by_ports": capacity.calls_by_ports,
        "descriptor_limit": capacity.descriptor_limit,
        "descriptors_needed": capacity.descriptors_needed,
        "calls_by_descriptors": capacity.calls_by_descriptors,
        "calls": capacity.calls(),
        "warnings": warnings,
    }));
    capacity.check().map_err(|e| {
        let text = e.to_string();
        let (message, remedy) = text.split_once("; ").unwrap_or((&text, ""));
        refusal("too_few_descriptors", message, remedy)
    })
}
