//! A throw-away folder with a configuration, and the binary run on it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The folder; removed when dropped.
pub(crate) struct Home {
    folder: tempfile::TempDir,
}

pub(crate) const EXOPHONE: &str = "+914412345678";
pub(crate) const CUSTOMER: &str = "+919876543210";
pub(crate) const AGENT: &str = "+919876543211";

const CONFIG: &str = "[[trunk]]\nname = \"carrier\"\ntargets = [\"udp:127.0.0.1:5070\"]\n\
                      accept_from = [\"127.0.0.1\"]\n[store]\npath = \"data\"\n";

impl Home {
    pub(crate) fn new() -> Home {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("callmask.toml"), CONFIG).unwrap();
        Home { folder }
    }

    /// With one ExoPhone.
    pub(crate) fn with_exophone() -> Home {
        let home = Home::new();
        home.ok(&["exophone", "add", EXOPHONE]);
        home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn run(&self, args: &[&str]) -> Said {
        run(&self.path("callmask.toml"), args, "")
    }

    pub(crate) fn run_with(&self, args: &[&str], input: &str) -> Said {
        run(&self.path("callmask.toml"), args, input)
    }

    /// Runs a command that must succeed; its standard output, trimmed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let said = self.run(args);
        assert_eq!(said.code, 0, "{args:?}: {said:?}");
        said.out.trim().to_owned()
    }

    /// The same with `--json`.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.ok(&args)).unwrap()
    }

    /// Runs a command that must be refused; the `error` object.
    pub(crate) fn refused(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let said = self.run(&args);
        assert_eq!(said.code, 1, "{args:?}: {said:?}");
        assert_eq!(said.out, "", "{args:?}");
        let body: Value = serde_json::from_str(&said.err).unwrap();
        let error = body["error"].clone();
        for field in ["code", "message", "remedy"] {
            assert!(
                error[field].as_str().is_some_and(|t| !t.is_empty()),
                "{error}"
            );
        }
        error
    }

    /// Creates an allocation of the usual parties; its id.
    pub(crate) fn allocation(&self) -> String {
        self.ok(&create(EXOPHONE, CUSTOMER, AGENT))
    }
}

pub(crate) fn create<'a>(exophone: &'a str, customer: &'a str, agent: &'a str) -> [&'a str; 8] {
    [
        "allocation",
        "create",
        "--exophone",
        exophone,
        "--customer",
        customer,
        "--agent",
        agent,
    ]
}

pub(crate) fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_callmask"))
}

fn run(config: &Path, args: &[&str], input: &str) -> Said {
    let mut child = binary()
        .arg("--config")
        .arg(config)
        .args(args)
        .env_remove("RUST_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that does not read closes its end.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
