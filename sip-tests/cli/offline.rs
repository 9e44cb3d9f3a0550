//! Commands without a server.

use serde_json::{Value, json};

use crate::home::{AGENT, CUSTOMER, EXOPHONE, Home, binary, create};

#[test]
fn an_allocation_from_creation_to_its_end() {
    let home = Home::with_exophone();
    let id = home.allocation();
    assert_eq!(id.len(), 32, "the id alone: {id}");

    let shown = home.json(&["allocation", "show", &id]);
    let fields: Vec<&str> = shown
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let wanted = [
        "account",
        "agent",
        "created",
        "custom",
        "customer",
        "exophone",
        "expires",
        "id",
        "max_call_secs",
        "record",
        "state",
        "updated",
        "usage",
        "version",
    ];
    assert_eq!(fields, wanted);
    assert_eq!(shown["customer"], json!([CUSTOMER]));
    assert_eq!(shown["state"], "active");
    assert_eq!(shown["expires"], Value::Null);
    assert_time(&shown["created"]);

    let listed = home.json(&["allocation", "list"]);
    assert_eq!(listed, json!([shown]));
    assert_eq!(
        home.json(&["allocation", "list", "--state", "expired"]),
        json!([])
    );
    assert_eq!(
        home.json(&["allocation", "list", "--party", AGENT]),
        json!([shown])
    );
    assert!(home.ok(&["allocation", "list"]).contains(CUSTOMER));

    let other = "+919876543299";
    let now = home.json(&[
        "allocation",
        "update",
        &id,
        "--agent",
        other,
        "--expires-in",
        "2h",
        "--custom",
        "order 7",
    ]);
    assert_eq!(
        (&now["agent"], &now["version"]),
        (&json!([other]), &json!(2))
    );
    assert_eq!(now["custom"], "order 7");
    assert_time(&now["expires"]);
    let now = home.json(&["allocation", "update", &id, "--no-expiry", "--custom", ""]);
    assert_eq!(
        (&now["expires"], &now["custom"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(now["agent"], json!([other]), "what is not named stays");

    for _ in 0..2 {
        let ended = home.json(&["allocation", "deactivate", &id]);
        assert_eq!(
            (&ended["state"], &ended["version"]),
            (&json!("deactivated"), &json!(4))
        );
    }
    assert_eq!(
        home.refused(&["allocation", "update", &id, "--custom", "x"])["code"],
        "allocation_ended"
    );
}

#[test]
fn expiry_as_duration_and_as_time() {
    let home = Home::with_exophone();
    let mut args = create(EXOPHONE, CUSTOMER, AGENT).to_vec();
    args.extend([
        "--expires-at",
        "2099-01-31T18:00:00+05:30",
        "--record",
        "on",
        "--max-call",
        "10m",
    ]);
    let made = home.json(&args);
    assert_eq!(made["expires"], "2099-01-31T12:30:00.000Z");
    assert_eq!(
        (&made["record"], &made["max_call_secs"]),
        (&json!("on"), &json!(600))
    );
}

#[test]
fn several_numbers_ring_in_order() {
    let home = Home::with_exophone();
    let second = "+919876543299";
    let mut args = create(EXOPHONE, CUSTOMER, AGENT).to_vec();
    args.extend(["--agent", second]);
    let made = home.json(&args);
    assert_eq!(made["agent"], json!([AGENT, second]));
    let said = home.json(&[
        "allocation",
        "explain",
        "--exophone",
        EXOPHONE,
        "--caller",
        CUSTOMER,
    ]);
    assert_eq!(said["rings"], json!([AGENT, second]));
}

#[test]
fn explain_says_who_would_ring_and_why_not() {
    let home = Home::with_exophone();
    let explain = |caller: Option<&str>, at: Option<&str>| {
        let mut args = vec!["allocation", "explain", "--exophone", EXOPHONE];
        args.extend(caller.map(|c| ["--caller", c]).into_iter().flatten());
        args.extend(at.map(|t| ["--at", t]).into_iter().flatten());
        home.json(&args)
    };
    assert_eq!(explain(Some(CUSTOMER), None)["cause"], "no_allocation");

    let mut args = create(EXOPHONE, CUSTOMER, AGENT).to_vec();
    args.extend(["--expires-at", "2099-01-01T00:00:00Z"]);
    let id = home.ok(&args);
    let said = explain(Some(CUSTOMER), None);
    assert_eq!(
        (&said["outcome"], &said["rings"]),
        (&json!("connect"), &json!([AGENT]))
    );
    assert_eq!(
        (&said["presents"], &said["allocation"]),
        (&json!(EXOPHONE), &json!(id))
    );
    assert_eq!(said["direction"], "customer_to_agent");
    let back = explain(Some(AGENT), None);
    assert_eq!(
        (&back["direction"], &back["rings"]),
        (&json!("agent_to_customer"), &json!([CUSTOMER]))
    );

    let third = explain(Some("+917700990011"), None);
    assert_eq!(
        (&third["outcome"], &third["cause"]),
        (&json!("announce"), &json!("unknown_caller"))
    );
    assert_eq!(third["rings"], json!([]));
    assert_eq!(explain(None, None)["cause"], "unknown_caller");
    assert_eq!(
        explain(Some(CUSTOMER), Some("2099-06-01T00:00:00Z"))["cause"],
        "expired"
    );

    let other = home.json(&["allocation", "explain", "--exophone", "+914400000000"]);
    assert_eq!(other["outcome"], "refuse");
    let text = home.ok(&[
        "allocation",
        "explain",
        "--exophone",
        EXOPHONE,
        "--caller",
        CUSTOMER,
    ]);
    assert!(text.contains("connect") && text.contains(AGENT), "{text}");
}

#[test]
fn an_exophone_is_added_changed_and_removed() {
    let home = Home::new();
    let text = home.ok(&[
        "exophone",
        "add",
        EXOPHONE,
        "--pool",
        "south",
        "--region",
        "TN",
        "--trunk",
        "carrier",
        "--sharing",
        "per-party",
    ]);
    assert_eq!(text, EXOPHONE);
    let shown = home.json(&["exophone", "show", EXOPHONE]);
    assert_eq!(
        (&shown["sharing"], &shown["max_calls"]),
        (&json!("per-party"), &json!(0))
    );
    assert_eq!(
        (&shown["pool"], &shown["trunk"]),
        (&json!("south"), &json!("carrier"))
    );
    let now = home.json(&[
        "exophone",
        "set",
        EXOPHONE,
        "--max-calls",
        "3",
        "--pool",
        "",
        "--record",
        "on",
    ]);
    assert_eq!((&now["max_calls"], &now["pool"]), (&json!(3), &Value::Null));
    assert_eq!(
        (&now["record"], &now["region"]),
        (&json!(true), &json!("TN"))
    );
    assert_eq!(home.json(&["exophone", "list"]), json!([now]));
    assert_eq!(
        home.json(&["exophone", "list", "--pool", "south"]),
        json!([])
    );
    home.ok(&["exophone", "remove", EXOPHONE]);
    assert_eq!(home.json(&["exophone", "list"]), json!([]));
}

#[test]
fn an_exophones_announcement_lies_beside_the_configuration() {
    let home = Home::new();
    let own = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/configs/announcements/not-active.wav"
    );
    std::fs::create_dir(home.path("sounds")).unwrap();
    std::fs::copy(own, home.path("sounds/closed.wav")).unwrap();
    let name = "sounds/closed.wav";
    let made = home.json(&["exophone", "add", EXOPHONE, "--announcement", name]);
    assert_eq!(made["announcement"], name);
    let now = home.json(&["exophone", "set", EXOPHONE, "--announcement", ""]);
    assert_eq!(now["announcement"], Value::Null);
    for bad in [
        own,
        "sounds",
        "callmask.toml",
        "sounds/../sounds/closed.wav",
    ] {
        let error = home.refused(&["exophone", "set", EXOPHONE, "--announcement", bad]);
        assert_eq!(error["code"], "announcement_file", "{bad}");
    }
    let text = std::fs::read_to_string(home.path("callmask.toml")).unwrap();
    home.write(
        "callmask.toml",
        &format!("{text}[announcement]\nfile = \"callmask.toml\"\n"),
    );
    assert_eq!(home.refused(&["check"])["code"], "announcement_file");
}

#[test]
fn imports_make_the_good_rows_and_name_the_bad_ones() {
    let home = Home::new();
    let file = home.write(
        "exophones.csv",
        "number,pool,sharing,record\n+914412345678,a,,on\n+914412345679,a,per-party,\n",
    );
    assert_eq!(
        home.ok(&["exophone", "import", &file]),
        "+914412345678\n+914412345679"
    );
    let file = home.write(
        "allocations.csv",
        "exophone,customer,agent,expires_in,custom\n\
         +914412345678,+919876543210,+919876543211,2h,\"a, b\"\n\
         +914412345678,+919876543212,+919876543213,,\n\
         +914412345679,+919876543214,+919876543215 +919876543216,,\n\
         +914412345679,12,+919876543217,,\n\
         +914412345679,+919876543218,+919876543219,soon,\n",
    );
    let said = home.run(&["allocation", "import", &file, "--json"]);
    assert_eq!(said.code, 1, "{said:?}");
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(report["imported"], 2);
    let refused: Vec<(i64, &str)> = report["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| {
            (
                r["line"].as_i64().unwrap(),
                r["error"]["code"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        refused,
        [
            (3, "exophone_taken"),
            (5, "malformed_number"),
            (6, "bad_field")
        ]
    );
    let on = |exophone: &str| home.json(&["allocation", "list", "--exophone", exophone]);
    let (first, second) = (on("+914412345678"), on("+914412345679"));
    assert_eq!(first[0]["custom"], "a, b");
    assert_eq!(
        second[0]["agent"],
        json!(["+919876543215", "+919876543216"])
    );
    for list in [first, second] {
        assert_eq!(list.as_array().unwrap().len(), 1);
    }

    let said = home.run_with(&["exophone", "import", "-"], "number\n+914412345680\n");
    assert_eq!(
        (said.code, said.out.trim()),
        (0, "+914412345680"),
        "{}",
        said.err
    );
    let file = home.write("wrong.csv", "number,colour\n");
    assert_eq!(
        home.refused(&["exophone", "import", &file])["code"],
        "import_file"
    );
}

#[test]
fn a_store_moves_by_export_and_import() {
    let home = Home::with_exophone();
    let id = home.allocation();
    let file = home.path("backup.jsonl");
    let file = file.to_str().unwrap();
    assert_eq!(
        home.ok(&["store", "export", file]),
        "",
        "data goes to the file"
    );
    let printed = home.ok(&["store", "export"]);
    let saved = std::fs::read_to_string(file).unwrap();
    let rows = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rows(&printed), rows(&saved));

    let other = Home::new();
    let report = other.json(&["store", "import", file]);
    assert_eq!(
        (&report["added"], &report["complete"]),
        (&json!(2), &json!(true))
    );
    assert_eq!(
        other.json(&["allocation", "show", &id])["customer"],
        json!([CUSTOMER])
    );
    let again = other.run_with(&["store", "import", "-", "--json"], &saved);
    let report: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!((again.code, &report["added"]), (0, &json!(0)), "{again:?}");

    let half: String = saved.lines().take(2).collect::<Vec<_>>().join("\n");
    let cut = Home::new().run_with(&["store", "import", "-", "--json"], &half);
    assert_eq!(cut.code, 1, "{cut:?}");
    assert!(cut.err.contains("import_incomplete"), "{cut:?}");

    let report = other.json(&["store", "verify"]);
    assert_eq!(
        (&report["sound"], &report["active"]),
        (&json!(true), &json!(1))
    );
}

#[test]
fn lists_are_bare_arrays_and_the_default_account_is_there() {
    let home = Home::new();
    let accounts = home.json(&["account", "list"]);
    assert_eq!(accounts[0]["name"], "default");
    assert_time(&accounts[0]["created"]);
    let trunks = home.json(&["trunk", "list"]);
    assert_eq!(trunks[0]["name"], "carrier");
    assert_eq!(trunks[0]["targets"], json!(["udp:127.0.0.1:5070"]));
    for list in [
        ["call", "list"],
        ["call", "live"],
        ["report", "calls"],
        ["report", "pool"],
    ] {
        assert_eq!(home.json(&list), json!([]), "{list:?}");
    }
    home.ok(&["exophone", "add", EXOPHONE, "--pool", "a"]);
    home.allocation();
    let pools = home.json(&["report", "pool"]);
    let wanted =
        json!([{"pool": "a", "exophones": 1, "in_use": 1, "free": 0, "active_allocations": 1}]);
    assert_eq!(pools, wanted);
}

#[test]
fn check_shows_the_capacity_and_refuses_what_cannot_be_served() {
    let home = Home::new();
    let shown = home.json(&["check"]);
    assert_eq!(
        (&shown["port_pairs"], &shown["calls_by_ports"]),
        (&json!(5000), &json!(2500))
    );
    assert_eq!(shown["trunks"], json!(["carrier"]));
    home.write(
        "callmask.toml",
        "[media]\nports = \"1024-65535\"\nlisten = [\"127.0.0.1\"]\n",
    );
    let limited = std::process::Command::new("sh")
        .args([
            "-c",
            "ulimit -n 2000 && exec \"$0\" --config \"$1\" check --json",
        ])
        .arg(binary().get_program())
        .arg(home.path("callmask.toml"))
        .output()
        .unwrap();
    let said = String::from_utf8(limited.stderr).unwrap();
    assert_eq!(limited.status.code(), Some(1), "{said}");
    for figure in ["too_few_descriptors", "65024", "2000"] {
        assert!(said.contains(figure), "{said}");
    }
}

#[test]
fn only_the_owner_may_read_what_holds_numbers() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::with_exophone();
    let file = home.path("backup.jsonl");
    home.ok(&["store", "export", file.to_str().unwrap()]);
    for path in [file, home.path("data"), home.path("data/calls.sqlite")] {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
    }
}

#[test]
fn config_stands_before_or_after_the_subcommand() {
    let home = Home::new();
    let config = home.path("callmask.toml");
    let config = config.to_str().unwrap();
    for args in [
        ["--config", config, "trunk", "list"],
        ["trunk", "--config", config, "list"],
        ["trunk", "list", "--config", config],
    ] {
        let output = binary().args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        assert!(
            String::from_utf8(output.stdout)
                .unwrap()
                .contains("carrier")
        );
    }
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let home = Home::with_exophone();
    let mut child = binary()
        .args(["completions", "bash"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    drop(home);
}

/// RFC 3339 in UTC with milliseconds.
fn assert_time(value: &Value) {
    let form = regex::Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$").unwrap();
    assert!(value.as_str().is_some_and(|t| form.is_match(t)), "{value}");
}

#[test]
fn an_answer_that_could_not_be_saved_is_no_success() {
    let home = Home::with_exophone();
    let full = std::fs::File::options().write(true).open("/dev/full");
    let said = crate::home::binary()
        .args(["--config", home.path("callmask.toml").to_str().unwrap()])
        .args(["exophone", "list", "--json"])
        .stdout(full.unwrap())
        .output()
        .unwrap();
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    let error = String::from_utf8(said.stderr).unwrap();
    assert!(error.contains("standard output"), "{error}");
}
